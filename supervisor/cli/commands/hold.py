"""Hold back batches while COMMAND runs: no group of the running service is handed anything until it has ended.

Then everything that is pending is delivered at once, and the last batch of it is marked. The hold is a lease that this command
renews. If this command is killed, the lease ends by itself after a few seconds. With --for S and no COMMAND, the hold is taken
for S seconds and this command returns; `shardwatch release` ends the hold earlier. The exit code is that of COMMAND.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from ...host.process import ended_fd
from ...host.readable import readable
from ...terminal.streams import say
from ..options import add_config_option, add_state_dir_option, number

if TYPE_CHECKING:
    from shardwatch.aggregator.client.blocking import ExtractClient

#: Name of a hold without a command, where none is given; `release` ends it by the same default.
NAME = "manual"
#: The lease of a hold with a command, and how often it is renewed, seconds: a renewal may be late, or lost once.
LEASE_S, RENEW_S = 5.0, 1.5
SECONDS_MAX = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    meaning = f"name of the hold, as `status` shows it (default: COMMAND:PID; with --for {NAME})"
    parser.add_argument("--name", metavar="N", help=meaning)
    parser.add_argument(
        "--for", dest="seconds", type=number, metavar="S", help="hold for S seconds (hold_ms_max at most), and return at once"
    )
    parser.add_argument(
        "--timeout",
        type=number,
        metavar="S",
        help="end the hold after S seconds even if COMMAND still runs (default and maximum: the service's hold_ms_max)",
    )
    add_config_option(parser)
    add_state_dir_option(parser)
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run while batches are held back")


def run(options: argparse.Namespace) -> int:
    from shardwatch.aggregator.client.blocking import ExtractClient
    from shardwatch.aggregator.client.replies import RequestError
    from shardwatch.aggregator.protocol.codes import WRONG_REQUESTS
    from shardwatch.shard.contract.errors import UsageError

    from ..link.place import running_layout

    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if bool(argv) == (options.seconds is not None):
        raise UsageError("give either a command or --for S", hint="as in `shardwatch hold -- make`")
    if options.timeout is not None and not argv:
        raise UsageError("--timeout is for a command", hint="--for S alone says how long to hold")
    for flag, seconds in (("--for", options.seconds), ("--timeout", options.timeout)):
        if seconds is not None and not 0 < seconds <= SECONDS_MAX:
            raise UsageError(f"{flag} {seconds:g} is out of range", hint=f"give seconds above 0, at most {SECONDS_MAX:g}")
    name = options.name or (f"{_printable(os.path.basename(argv[0]))}:{os.getpid()}" if argv else NAME)
    with ExtractClient(running_layout(options).state_dir, timeout_s=LEASE_S / 2) as client:
        holder = _Holder(client, name)
        longest_s = client.request("hello")["limits"]["hold_ms"] / 1000
        for flag, seconds in (("--for", options.seconds), ("--timeout", options.timeout)):
            if seconds is not None and seconds > longest_s:
                raise UsageError(
                    f"{flag} {seconds:g}: this service holds for {longest_s:g} s at one go, and no longer",
                    hint=f"give at most {longest_s:g}, or raise hold_ms_max in the service's configuration",
                )
        try:
            holder.take(options.seconds or LEASE_S)
        except RequestError as error:
            raise UsageError(error.message, hint=error.hint) if error.code in WRONG_REQUESTS else error from None
        return holder.run(argv, options.timeout) if argv else 0


def _printable(text: str) -> str:
    """What the service takes for a name, whatever a command is called."""
    return "".join(c if c.isprintable() else "?" for c in text[:100]).strip()


class _Holder:
    """One hold, and the command that runs under it."""

    def __init__(self, client: ExtractClient, name: str) -> None:
        self._client = client
        self._name = name
        self._said: set[str] = set()

    def take(self, lease_s: float) -> None:
        """Takes or renews the hold. Raises what the client raises."""
        if not self._client.hold(self._name, lease_s):
            self._say("the hold has lasted for the service's hold_ms_max: batches flow again, while the command runs on")

    def run(self, argv: Sequence[str], timeout_s: float | None) -> int:
        """Runs the command to its end; its exit code, as a shell has it."""
        from shardwatch.shard.contract.errors import ShardwatchError

        from ...runs.program_place import NOT_FOUND, NOT_RUN, ProgramPlace

        end = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        try:
            with ProgramPlace(argv[0]) as place:
                place.demand()
            with _started(argv) as (process, ended):
                while not _has_ended(process, ended, min(RENEW_S, end - time.monotonic())):
                    if time.monotonic() >= end:
                        break
                    try:
                        self.take(LEASE_S)
                    except ShardwatchError as error:
                        self._say(f"the hold can't be renewed now: {error.message}")
                self._let_go()
                code = process.wait()
        except OSError as error:
            self._let_go()
            self._say(f"error: can't run {argv[0]}: {error.strerror}")
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
        return code if code >= 0 else 128 - code

    def _let_go(self) -> None:
        from shardwatch.shard.contract.errors import ShardwatchError

        with contextlib.suppress(ShardwatchError):  # else the lease ends by itself
            self._client.unhold(self._name)

    def _say(self, text: str) -> None:
        """On standard error, each thing once."""
        if text not in self._said:
            self._said.add(text)
            say(f"shardwatch: {text}")


@contextlib.contextmanager
def _started(argv: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], int | None]]:
    """The command, and a descriptor that is readable when it has ended; None where none is free. Signals that ask to end are its
    to obey: SIGTERM and SIGHUP are passed on, Ctrl-C reaches it by itself."""
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        if process is None:
            early.append(signum)
        elif signum != signal.SIGINT:
            process.send_signal(signum)

    passed_on = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in passed_on}
    try:
        process = subprocess.Popen(argv, close_fds=False)  # what it inherits from us is what we inherited: make's job server
        for signum in early:
            process.send_signal(signum)
        ended: int | None = None
        with contextlib.suppress(OSError):  # it runs by now, so it is held for
            ended = ended_fd(process.pid)
        try:
            yield process, ended
        finally:
            if ended is not None:
                os.close(ended)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_ended(process: subprocess.Popen[bytes], ended: int | None, timeout_s: float) -> bool:
    """Waits for its end, for so many seconds."""
    if ended is not None:
        return readable(ended, timeout_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, timeout_s))  # looks again and again
    return process.returncode is not None
