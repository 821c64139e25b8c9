"""The runs of one command that go on: begins them, passes on what they write, and ends them. Never blocks but in `end_all`.

Which run is the next one, and what follows from its end, is decided by others.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from shardwatch.shard.contract.input.shown import shown

from ...runs.change import FRESH, Change
from ...runs.command import Command, Run, inherited
from ...runs.echoes import Echoes
from ...runs.output import Relay, RunOutput, flush
from ...runs.pace import Pace
from ...runs.process import Program, RunProcess, why_failed
from ...runs.program_place import ProgramPlace
from ...terminal.streams import say

#: Seconds between the stop signal and the end by force.
GRACE_S: Final = 3.0
#: Seconds for which a run that was ended by force is waited for at the end. One that the kernel can't end is left alone.
_KILLED_S: Final = 5.0
#: Seconds for which the last output may wait for its reader, when everything else has ended.
_LAST_OUTPUT_S: Final = 1.0
#: Clears a terminal and what was scrolled out of it (ECMA-48, xterm).
_CLEAR: Final = b"\x1b[H\x1b[2J\x1b[3J"


@dataclass(frozen=True, slots=True)
class Manner:
    """How runs are run."""

    #: Asks a run to end.
    stop_signal: int
    #: Tells a run that something has changed (`Signal`).
    busy_signal: int
    #: None: as long as they like.
    timeout_s: float | None
    #: Each line of output begins with the run's path.
    prefix: bool
    #: The terminal, if standard output is one, is cleared before a run begins while no other goes on.
    clear: bool
    #: Runs write where we do, with nothing in between: for one run at a time.
    direct: bool
    #: Failures are told with the number of the attempt: what failed comes again.
    attempts: bool
    umask: int
    #: In the names of all runs.
    token: str


@dataclass(slots=True)
class _Going:
    """A run that goes on. Times are of time.monotonic."""

    run: Run
    process: RunProcess
    #: None: it writes where we do.
    output: RunOutput | None
    began: float
    #: When something is to be done to it: its time is up, or its grace period. Infinite for never.
    due: float
    #: Why it was asked to end; empty where it was not.
    stopped: str = ""
    #: It was asked to end because it is not wanted any more, which is nothing to complain of.
    unwanted: bool = False


class Runner:
    """Owned by one thread. Close it after `end_all`.

    Args:
        pace: is told how long runs last.
        echoes: is told when which run goes on.
        next_run: takes out the run that is to begin next; None: there is none, or not yet.
        ended: is told of each run that has ended, why it failed (empty: it succeeded), and the end of what it has written.
    """

    def __init__(
        self, command: Command, manner: Manner, pace: Pace, echoes: Echoes,
        *, next_run: Callable[[], Run | None], ended: Callable[[Run, str, str], None],
    ) -> None:  # fmt: skip
        self._command = command
        self._manner = manner
        self._pace = pace
        self._echoes = echoes
        self._next_run = next_run
        self._ended = ended
        self._program = Program(manner.umask)
        self._program_place = ProgramPlace(os.fsdecode(command.argv[0]))
        self._epoll = select.epoll()
        self._relay = Relay(self._epoll)
        #: By the descriptor that can be read when the run has ended.
        self._going: dict[int, _Going] = {}
        #: A run could not begin, which may have taken seconds: signals are heard, and a pulse is sent, before the next one.
        self._refused = False
        self._environ = inherited(os.environb)

    def __len__(self) -> int:
        """How many runs go on."""
        return len(self._going)

    def fileno(self) -> int:
        """Can be read when `turn` has something to do."""
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()
        self._program_place.close()

    def due(self) -> float:
        """When something is to be done without being woken (time.monotonic); infinite for never."""
        if self._refused:
            return 0.0
        return min([self._relay.due(), *[going.due for going in self._going.values()]])

    def turn(self) -> None:
        """Looks what has happened to runs and to their output, and ends those whose time is up."""
        self._refused = False
        self.notice_ends()
        now = time.monotonic()
        self._relay.hear(now)
        self._end_overdue(now)

    def notice_ends(self) -> None:
        """Looks what has happened to runs and to their output."""
        for fd, going in [(fd, self._going.get(fd)) for fd, _ in self._epoll.poll(0)]:
            if going is not None and self._going.get(fd) is going:  # otherwise it is another's by now, which has begun since
                self._end(fd)
            elif self._relay.owns(fd):
                self._relay.ready(fd)

    def begin_next(self) -> None:
        """All runs that may begin now, until one is refused."""
        while not self._refused and (run := self._next_run()) is not None:
            self._begin(run)

    def stop(self, run: Run) -> None:
        """It is asked to end, because it is not wanted any more."""
        for going in self._going.values():
            if going.run is run and not going.stopped:
                self._stop(going)

    def signal(self, run: Run, changes: Iterable[Change]) -> None:
        """It is told that something has changed."""
        for going in self._going.values():
            if going.run is run:
                self._echoes.begin(run.number, (change.path for change in changes), time.time_ns())
                going.process.signal(self._manner.busy_signal)

    def end_all(self, between: Callable[[], None]) -> None:
        """Ends all runs: by the stop signal, and by force after the grace period. Those that succeed all the same are reported
        as `ended`, the others are not. What the kernel can't end (it hangs in a filesystem) is left alone after _KILLED_S.
        Idempotent.

        Args:
            between: is called whenever some have ended, since we may be killed before the last one has.
        """
        self._relay.hear(float("inf"))
        for going in self._going.values():
            if not going.stopped:
                self._stop(going)
        left_alone = time.monotonic() + GRACE_S + _KILLED_S
        while self._going and (now := time.monotonic()) < left_alone:
            due = min(left_alone, *[going.due for going in self._going.values()])
            ready = self._epoll.poll(max(0.0, due - now))
            for fd, _ in ready:
                if fd in self._going:
                    self._end_at_last(fd)
                elif self._relay.owns(fd):
                    self._relay.ready(fd)
            between()
            self._end_overdue(time.monotonic())
        for going in self._going.values():
            what = shown(os.fsdecode(self._about(going.run)))
            say(f"shardwatch: {what}: its run was killed, and does not end: it is left alone (does its filesystem answer?)")
        self._going.clear()

    def flush(self) -> None:
        """Passes on what runs have written, as far as anybody reads it."""
        flush(self._relay, self._epoll, _LAST_OUTPUT_S)

    def _begin(self, run: Run) -> None:
        environ = self._environ | self._command.environment(run, self._manner.token)
        began = time.monotonic()
        if self._manner.clear and not self._going and os.isatty(1):
            self._relay.write(_CLEAR)
        output: RunOutput | None = None
        self._echoes.begin(run.number, (change.path for change in run.changes), time.time_ns())
        try:
            if not self._manner.direct:
                output = self._relay.begin(self._prefix(run), began)
            self._program_place.demand()
            process = self._program.run(
                self._command.arguments(run.changes),
                environ,
                self._command.standard_input(run.changes),
                stdout=1 if output is None else output.writers[0],
                stderr=2 if output is None else output.writers[1],
            )
            try:
                self._epoll.register(process.ended, select.EPOLLIN)
            except OSError:  # nobody would hear of its end
                process.give_up()
                raise
        except OSError as error:
            if output is not None:
                self._relay.end(output)
            self._refused = True
            self._note_end(run, f"can't be run: {error.strerror}")
            return
        if output is not None:
            output.close_writers()
        due = float("inf") if self._manner.timeout_s is None else began + self._manner.timeout_s
        self._going[process.ended] = _Going(run, process, output, began, due)

    def _prefix(self, run: Run) -> bytes:
        return self._about(run) + b": " if self._manner.prefix else b""

    def _about(self, run: Run) -> bytes:
        """What people are told that a run is for: its first path."""
        if not run.changes:
            return self._command.argv[0]
        return run.changes[0].path or FRESH.encode()

    def _end(self, fd: int) -> None:
        self._epoll.unregister(fd)
        going = self._going.pop(fd)
        failure = why_failed(going.process.close())
        self._pace.note(time.monotonic() - going.began)
        if not failure and not going.stopped and not self._manner.clear:
            # The next run begins first, and what this one has written is passed on while that one starts: otherwise a processor
            # would have nothing to do meanwhile.
            self._note_end(going.run, "")
            self.begin_next()
            self._end_output(going)
            return
        self._end_output(going)
        output = "" if going.output is None else going.output.end()
        self._note_end(going.run, going.stopped or failure, output, told=not going.unwanted)

    def _end_output(self, going: _Going) -> None:
        if going.output is not None:
            self._relay.end(going.output)

    def _note_end(self, run: Run, failure: str, output: str = "", *, told: bool = True) -> None:
        self._echoes.end(run.number, time.time_ns())
        if failure and told:
            what = shown(os.fsdecode(self._about(run)))
            more = f" and {len(run.changes) - 1} more" if len(run.changes) > 1 else ""
            attempt = f" (attempt {run.attempt})" if self._manner.attempts else ""
            say(f"shardwatch: {what}{more}: {failure}{attempt}")
        self._ended(run, failure, output)

    def _stop(self, going: _Going, why: str = "") -> None:
        """It is asked to end, because it is not wanted any more if no other reason is given. Later it is ended by force."""
        going.stopped, going.unwanted = why or "it was to end", not why
        going.due = time.monotonic() + GRACE_S
        going.process.stop(self._manner.stop_signal)

    def _end_overdue(self, now: float) -> None:
        for going in self._going.values():
            if going.due > now:
                continue
            if going.stopped:
                going.due = float("inf")
                going.process.signal(signal.SIGKILL)
            else:
                self._stop(going, f"timeout of {self._manner.timeout_s:g} s")

    def _end_at_last(self, fd: int) -> None:
        """A run that was ended has not failed, and one that has succeeded all the same is done."""
        self._epoll.unregister(fd)
        going = self._going.pop(fd)
        code = going.process.close()
        self._end_output(going)
        if code == 0:
            self._ended(going.run, "", "")
