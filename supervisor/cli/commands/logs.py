"""Print the last lines of the logs of a service, in the order of their times, each with the name of its program.

PROGRAM is what `shardwatch status` calls it: aggregator, coordinator, shards:ID (or only ID), exec:NAME, ship; or supervisord.
The logs are those of the state directory, so this works after the service has ended, too. With --follow, later lines are printed
as they come, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import select
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..options import add_config_option, add_state_dir_option

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.directory import StateDirectory

    from ...terminal.log_lines import LogLine

LINES: Final = 50
LINES_MAX: Final = 1_000_000
#: Bytes of one log that are read at once; a log is rotated long before.
_BYTES_MAX: Final = 16 << 20
#: Seconds between two looks at the logs with --follow. Programs write few lines, and each look reads only what is new.
_LOOK_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only the logs of these programs (default: all)")
    parser.add_argument("-n", "--lines", type=int, default=LINES, metavar="N", help=f"print the last N lines (default: {LINES})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with later lines, until Ctrl-C")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import NotRunningError, UsageError
    from shardwatch.shard.contract.input.shown import shown
    from shardwatch.shard.contract.state.directory import StateDirectory

    from ...terminal.ends import Ended, Ends
    from ...terminal.log_lines import in_order, text_of
    from ..link.place import state_dir_of

    if not 0 <= options.lines <= LINES_MAX:
        raise UsageError(f"--lines {options.lines} is out of range", hint=f"give 0 to {LINES_MAX:,}")
    place = state_dir_of(options)
    try:
        state = StateDirectory(place, foreign=True)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunningError(f"there is no state directory {shown(os.fspath(place))}", hint="give --state-dir") from None
    with state, Ends() as ends, _Logs(state, options.programs) as logs:
        found = logs.read()
        if not logs.programs():
            raise UsageError(f"there are no logs in {shown(os.fspath(place))}", hint="no service has run there")
        lines = in_order([logs.older(), *found])
        ends.write(text_of(lines[len(lines) - min(options.lines, len(lines)) :], logs.programs()).encode())
        waiting = select.poll()
        waiting.register(ends.wake_fd, select.POLLIN)
        while options.follow:
            waiting.poll(int(_LOOK_S * 1000))
            try:
                ends.check()
            except Ended as ended:
                if ended.signum is not None:
                    break
                raise
            ends.write(text_of(in_order(logs.read()), logs.programs()).encode())
    return 0


class _Logs:
    """The logs in a state directory, and how far each has been read.

    Raises UsageError for a program that has no log.
    """

    def __init__(self, state: StateDirectory, wanted: Iterable[str]) -> None:
        self._state = state
        self._wanted = list(wanted)
        #: By program: the open file, the time of its last line.
        self._open: dict[str, tuple[int, str]] = {}
        self._check()

    def __enter__(self) -> _Logs:
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
        from ...terminal.log_lines import in_order, lines_of

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
        from ...terminal.log_lines import lines_of

        fd, time = self._open[program]
        lines = list(lines_of(program, _text(fd), time))
        if lines:
            self._open[program] = fd, lines[-1].time
        return lines

    def _files(self) -> dict[str, str]:
        """The logs that are wanted, by program, as they are now."""
        from ...terminal.log_lines import program_of

        try:
            with self._state.below("logs") as logs:
                names = logs.names()
        except FileNotFoundError:
            return {}
        programs = {program: f"logs/{name}" for name in sorted(names) if (program := program_of(name)) is not None}
        return {program: file for program, file in programs.items() if not self._wanted or self._is_wanted(program)}

    def _is_wanted(self, program: str) -> bool:
        return program in self._wanted or program.removeprefix("shards:") in self._wanted

    def _check(self) -> None:
        from shardwatch.shard.contract.errors import UsageError
        from shardwatch.shard.contract.input.shown import shown

        wanted, self._wanted = self._wanted, []
        there = self._files()
        self._wanted = wanted
        for name in wanted:
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
