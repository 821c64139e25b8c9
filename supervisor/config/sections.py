"""What the sections of a configuration file have in common: they become the arguments of a command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shardwatch.shard.contract.errors import UsageError

from .layers import short


class SectionOptions(NamedTuple):
    """What a section may have."""

    #: Options that are true or false, and the arguments for either.
    switches: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    #: Options with a value, and the type that it has in the file.
    values: Mapping[str, type | tuple[type, ...]]
    #: Options that are no arguments of that form.
    others: tuple[str, ...]

    def arguments(self, section: Mapping[str, Any], where: str) -> list[str]:
        """A section, without `others`, as arguments. What their values may be is checked by the command.

        `where`: the file and the section, for messages.

        Raises UsageError for an unknown option, and for a value of another type.
        """
        return [argument for option, value in section.items() for argument in self._arguments(option, value, where)]

    def _arguments(self, option: str, value: object, where: str) -> Iterator[str]:
        if option in self.switches:
            if not isinstance(value, bool):
                raise UsageError(f"{where}: {option} = {short(value)} must be true or false")
            yield from self.switches[option][not value]
        elif option in self.values:
            if not isinstance(value, self.values[option]) or isinstance(value, bool):
                raise UsageError(f"{where}: {option} = {short(value)} must be {_wanted(self.values[option], value)}")
            yield f"--{option.replace('_', '-')}={value}"
        else:
            known = ", ".join(sorted([*self.others, *self.switches, *self.values]))
            raise UsageError(f"{where}: unknown option {short(option)}", hint=f"there are {known}")


def _wanted(kind: type | tuple[type, ...], value: object) -> str:
    """What an option of this type must be, which `value` is not."""
    if kind is str:
        return "a text"
    return ("a whole number" if kind is int else "a number") + (", without quotes" if isinstance(value, str) else "")
