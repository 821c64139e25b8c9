"""The options that hold gitignore patterns: `include`, `exclude` and `priorities`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import EXCLUDE, INCLUDE, PRIORITY_MAX, Option, Priorities

from .layers import Layer
from .patterns import check_place, checked, expand


def value_of(option: Option[Any], value: object, origin: str) -> tuple[str, ...] | dict[str, int]:
    """The patterns, or the priorities, that somebody gave for the option. Raises UsageError, which names the pattern at fault."""
    return _priorities(option, value, origin) if isinstance(option.kind, Priorities) else _patterns(option, value, origin)


def origins(layers: Iterable[Layer]) -> dict[str, dict[str, str]]:
    """Where the patterns of `include` and `exclude` come from: option -> pattern, as `value_of` gives it -> origin of a layer.

    Args:
        layers: whose patterns `value_of` has accepted. A later one wins, except that patterns to leave out add up; of those that
            several layers have, the first counts.
    """
    found: dict[str, dict[str, str]] = {}
    for layer in layers:
        for name in (INCLUDE.name, EXCLUDE.name):
            if name in layer.values:
                before = found.get(name, {}) if name == EXCLUDE.name else {}
                found[name] = {one: layer.origin for written in _written(layer.values[name]) for one in expand(written)} | before
    return found


def _written(value: object) -> Sequence[str]:
    """A list of patterns that was accepted, as its layer has it."""
    assert isinstance(value, list | tuple)
    return value


def check_places(name: str, patterns: Iterable[str], origin: str, roots: Sequence[bytes]) -> None:
    """Refuses absolute paths among an option's patterns (see `patterns.check_place`). Looks at the disk. Raises UsageError."""
    for pattern in patterns:
        try:
            check_place(pattern, roots)
        except UsageError as error:
            raise UsageError(f"{name} ({origin}): {error.message}", hint=error.hint) from error


def _patterns(option: Option[Any], value: object, origin: str) -> tuple[str, ...]:
    """A list of patterns, each checked and with its braces expanded. Raises UsageError."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{option.name} ({origin}) must be {option.kind.allowed}")
    if option is INCLUDE and not value:
        raise UsageError(f"include ({origin}) is empty: nothing would be kept", hint="use ['*'] for every file")
    return tuple(checked(option.name, value, origin))


def _priorities(option: Option[Any], value: object, origin: str) -> dict[str, int]:
    """A table of patterns, likewise, each with its number. Raises UsageError."""
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{option.name} ({origin}) must be {option.kind.allowed}")
    numbers: dict[str, int] = {}
    for pattern, number in value.items():
        expanded = checked(option.name, [pattern], origin)
        if pattern.startswith("!"):
            raise UsageError(f"{option.name} ({origin}): {pattern!r} can't begin with !", hint="give it a priority of 0")
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > PRIORITY_MAX:
            raise UsageError(
                f"{option.name} ({origin}): {pattern!r} = {number!r} must be a whole number "
                f"from {-PRIORITY_MAX} to {PRIORITY_MAX}"
            )
        numbers.update(dict.fromkeys(expanded, number))
    return numbers
