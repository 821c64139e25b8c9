"""Which changes go to one run of a command, and the arguments, standard input and environment of that run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..config.names import RUN_VARIABLES, WITHIN_VARIABLE
from .change import Change

#: What stands for a path among the arguments.
PLACE: Final = b"{}"
#: Paths of one run, at most.
PATHS_MAX: Final = 1000
#: Bytes that an argument costs beside its own: its end, and a pointer to it (execve(2)).
_ARGUMENT_COST: Final = 9
_VARIABLES: Final = tuple(name.encode() for name in RUN_VARIABLES)
_WITHIN: Final = WITHIN_VARIABLE.encode()


class Input(StrEnum):
    """How a run is told its paths."""

    #: In place of `{}`.
    ARGS = "args"
    #: On standard input, each with a NUL behind it.
    NUL = "nul"
    #: On standard input, one JSON object a line.
    JSON = "json"
    #: Not at all.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command."""

    number: int
    #: That its changes belong to; empty if they belong to none.
    batch: str
    attempt: int
    changes: tuple[Change, ...]

    def paths(self) -> set[bytes]:
        return {path for change in self.changes for path in change.paths()}


class Command:
    """A command line, and how it takes paths.

    Args:
        argv: the program and its arguments. Each argument with `{}` in it stands for one argument for each path.
        paths_max: paths that one run is given at most, 1 or more; None: 1 where they are among the arguments, so that a run that
            fails tells which path it is; else PATHS_MAX.
        bytes_max: bytes that the arguments of one run may take, as execve(2) counts them.
        group: name of the group, for the environment.
        former: of what was moved, the former path is told, too, before the new one.
    """

    def __init__(
        self, argv: Sequence[bytes], given: Input, paths_max: int | None, bytes_max: int, group: str, *, former: bool = True
    ) -> None:
        self.argv = list(argv)
        self.given = given
        #: Whether paths come in place of each argument.
        self._places = [given is Input.ARGS and PLACE in argument for argument in argv]
        self.paths_max = paths_max or (1 if self.has_places else PATHS_MAX)
        self._bytes_max = bytes_max
        self._group = group
        self._former = former

    @property
    def has_places(self) -> bool:
        """Whether paths are among its arguments."""
        return any(self._places)

    @property
    def is_told_paths(self) -> bool:
        """Whether a run knows which paths it is for."""
        return self.has_places or self.given in (Input.NUL, Input.JSON)

    def split(self, changes: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
        """The changes of each run, in their order: as many as both limits take, and one at least."""
        arguments = zip(self.argv, self._places, strict=True)
        fixed = sum(len(argument) + _ARGUMENT_COST for argument, place in arguments if not place)
        run: list[Change] = []
        size = fixed
        for change in changes:
            cost = sum(len(text) + _ARGUMENT_COST for path in self.told(change) for text in self._filled(path))
            if run and (len(run) >= self.paths_max or size + cost > self._bytes_max):
                yield tuple(run)
                run, size = [], fixed
            run.append(change)
            size += cost
        if run:
            yield tuple(run)

    def told(self, change: Change) -> tuple[bytes, ...]:
        """The paths that a run is given for a change, where it is given paths; none for what concerns no path."""
        return (change.moved_from, change.path) if change.moved_from and self._former else (change.path,) if change.path else ()

    def arguments(self, changes: Sequence[Change]) -> list[bytes]:
        """Of a run: the argument that has `{}` in it once for each path, in their order."""
        result = []
        for argument, place in zip(self.argv, self._places, strict=True):
            if place:
                result += [argument.replace(PLACE, path) for change in changes for path in self.told(change)]
            else:
                result.append(argument)
        return result

    def standard_input(self, changes: Sequence[Change]) -> bytes:
        """What a run reads; empty where it is told nothing that way."""
        match self.given:
            case Input.NUL:
                return b"".join(path + b"\0" for change in changes for path in self.told(change))
            case Input.JSON:
                return b"".join(change.line + b"\n" for change in changes)
            case _:
                return b""

    def environment(self, run: Run, token: str) -> dict[bytes, bytes]:
        """What a run has in its environment beside what we have: its own name (made of `token`, which all runs of one process
        share), group, batch, attempt, and the kinds of its changes."""
        kinds = run.changes[0].kind if len(run.changes) == 1 else ",".join(sorted({change.kind for change in run.changes}))
        values = (f"{token}.{run.number}", self._group, run.batch, str(run.attempt), kinds)
        return dict(zip(_VARIABLES, map(str.encode, values), strict=True))

    def _filled(self, path: bytes) -> list[bytes]:
        return [argument.replace(PLACE, path) for argument, place in zip(self.argv, self._places, strict=True) if place]


def inherited(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What runs inherit of an environment. If we are in a run of another process, it says so, and in which ones that is."""
    runs = [runs for name in (_WITHIN, _VARIABLES[0]) if (runs := environ.get(name))]
    return {**environ, **({_WITHIN: b" ".join(runs)} if runs else {})}
