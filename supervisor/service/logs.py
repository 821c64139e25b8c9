"""Reads the logs in a state directory, whether the service runs or not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, Self

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state.directory import StateDirectory

from ..terminal.log_lines import LogLine, in_order, lines_of, program_of

#: Bytes of one log that are read at once; a log is rotated long before.
_BYTES_MAX: Final = 16 << 20


class ServiceLogs:
    """The logs in a state directory, and how far each has been read.

    Raises UsageError for a program that has no log.
    """

    def __init__(self, state: StateDirectory, wanted: Iterable[str]) -> None:
        self._state = state
        self._wanted = list(wanted)
        #: By program: the open file, the time of its last line.
        self._open: dict[str, tuple[int, str]] = {}
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd, _time in self._open.values():
            os.close(fd)

    def programs(self) -> list[str]:
        return list(self._open)

    def read(self) -> list[list[LogLine]]:
        """What was not read yet, of each log by itself; of one that was rotated meanwhile the rest, and then the new one."""
        found = []
        for program, file in self._files().items():
            if program not in self._open:
                self._open[program] = self._state.open(file), ""
            lines = self._rest(program)
            if self._state.identity_of(file) not in (None, _identity(self._open[program][0])):
                os.close(self._open[program][0])
                self._open[program] = self._state.open(file), self._open[program][1]
                lines += self._rest(program)
            found.append(lines)
        return found

    def older(self) -> list[LogLine]:
        """What was rotated away."""
        found = []
        for program, file in self._files().items():
            if self._state.identity_of(f"{file}.1") is not None:
                fd = self._state.open(f"{file}.1")
                try:
                    found.append(list(lines_of(program, _text(fd))))
                finally:
                    os.close(fd)
        return in_order(found)

    def _rest(self, program: str) -> list[LogLine]:
        fd, time = self._open[program]
        lines = list(lines_of(program, _text(fd), time))
        if lines:
            self._open[program] = fd, lines[-1].time
        return lines

    def _files(self) -> dict[str, str]:
        """The logs that are wanted, by program, as they are now."""
        return {program: file for program, file in self._all().items() if not self._wanted or self._is_wanted(program)}

    def _all(self) -> dict[str, str]:
        """Every log, by program."""
        try:
            with self._state.below("logs") as logs:
                names = logs.names()
        except FileNotFoundError:
            return {}
        return {program: f"logs/{name}" for name in sorted(names) if (program := program_of(name)) is not None}

    def _is_wanted(self, program: str) -> bool:
        return program in self._wanted or program.removeprefix("shards:") in self._wanted

    def _check(self) -> None:
        there = self._all()
        for name in self._wanted:
            if name not in there and f"shards:{name}" not in there:
                raise UsageError(f"there is no log of {shown(name)}", hint=f"there are those of {', '.join(there) or 'nobody'}")


def _text(fd: int) -> str:
    """What follows the position of the file, up to its last complete line; all of it where the file was emptied meanwhile."""
    if os.fstat(fd).st_size < os.lseek(fd, 0, os.SEEK_CUR):
        os.lseek(fd, 0, os.SEEK_SET)
    data = os.read(fd, _BYTES_MAX)
    complete = data[: data.rfind(b"\n") + 1]
    os.lseek(fd, len(complete) - len(data), os.SEEK_CUR)
    return complete.decode(errors="replace")


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
