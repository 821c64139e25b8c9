"""The options that are a single value, checked by pydantic: switches, numbers, and one of several names.

Importing pydantic takes longer than everything else that `shardwatch watch` does before it starts its service. So
`resolve` imports this module only if such an option is set.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from shardwatch.shard.contract.state.options import Choice, Kind, Number, Option, Switch, Whole


def value_of(option: Option[Any], value: object, *, text: bool) -> Any:
    """The value. `text`: it is written as a text, which is converted as pydantic does it (`"50"` is 50, and `"no"` is False);
    otherwise it must have the option's type. Raises ValueError for what it may not be.
    """
    try:
        return _adapter(option.kind).validate_python(value, strict=not text)
    except ValidationError as error:
        quoted = isinstance(value, str) and not text and not isinstance(option.kind, Choice)
        raise ValueError(f"must be {option.kind.allowed}{', without quotes' if quoted else ''}") from error


def _adapter(kind: Kind) -> TypeAdapter[Any]:
    match kind:
        case Switch():
            return TypeAdapter(bool)
        case Whole(low=low, high=high):
            return TypeAdapter(Annotated[int, _NUMBER, Field(ge=low, le=high)])
        case Number(low=low, high=high):
            return TypeAdapter(Annotated[float, _NUMBER, Field(ge=low, le=high)], config=_FINITE)
        case Choice(names=names):
            return TypeAdapter(Literal[names])  # type: ignore[arg-type]  # mypy wants the names here
        case _:
            raise TypeError(f"{type(kind).__name__} is no kind of a single value")


def _no_switch(value: object) -> object:
    """pydantic takes true for 1; a person who writes `shards = true` means something else."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


_NUMBER: Final = BeforeValidator(_no_switch)
_FINITE: Final = ConfigDict(allow_inf_nan=False)
