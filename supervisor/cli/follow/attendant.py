"""The connection to a service that this command has started: waits until it is ready, and says what is wrong with it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from shardwatch.aggregator.protocol.codes import RETRYABLE

from ...host.process import ended_fd
from ...service.child import ChildService
from ...service.state_dir import Prepared
from ...terminal import render
from ...terminal.ends import Ends
from ...terminal.lines import status_object
from ...terminal.streams import say_line
from ..link.connection import ProcessEnded, ServiceConnection, checked
from ..link.in_flight import Reply
from . import rounds
from .trouble import Trouble

#: Seconds between two steps of the progress bar.
PROGRESS_EVERY_S: Final = 0.2

Tell = Callable[[list[dict[str, str]]], object]


def say_troubles(lines: list[dict[str, str]]) -> None:
    """For people, on standard error."""
    for line in lines:
        say_line(render.status_line(line, colour=render.wants_colour(sys.stderr)))


def launched_s() -> float:
    """Seconds since this process was launched: by the kernel's word (proc_pid_stat(5), field 22), to 10 ms."""
    try:
        with open("/proc/self/stat", "rb") as f:  # noqa: PTH123 - pathlib costs more than this whole function
            fields = f.read().rpartition(b")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return time.process_time()


class Attendant:
    """Enter it once the service was started.

    Args:
        tell: is given status lines (docs/formats.md), as what they say appears, changes or ends.
    """

    def __init__(self, ends: Ends, prepared: Prepared, child: ChildService, tell: Tell = say_troubles) -> None:
        self._ends = ends
        self._prepared = prepared
        self._child = child
        self._tell = tell
        self._ended = ended_fd(child.process.pid)
        self.connection = ServiceConnection(prepared.layout, process_fd=self._ended, asked_again=RETRYABLE, on_absence=None)
        self._trouble = Trouble()
        self._ready = False
        self._status_asked: int | None = None
        self._rounds = rounds.Rounds(time.monotonic())

    def __enter__(self) -> Attendant:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.connection.__exit__(kind, error, trace)
        os.close(self._ended)

    def wait_ready(self, *, bar: bool) -> Reply:
        """Tells what `prepare` had to note, and waits for every shard's baseline, with a progress bar on a terminal if `bar`;
        returns what the engine says of it. Raises as `wait` does."""
        self._tell([status_object("warning", note) for note in self._prepared.notes])
        scanning = render.Scanning(sys.stderr if bar else None)
        wait_s = PROGRESS_EVERY_S if scanning.shown else rounds.EVERY_S
        try:
            asked = self.connection.ask("ready", wait_s=wait_s, wait_ms=int(wait_s * 1000))
            while True:
                for number, reply in self.wait():
                    if number != asked:
                        continue
                    ready: Reply | None = checked(reply).get("ready")
                    if ready is not None:
                        self._ready = True
                        return ready
                    scanning.show(reply.get("progress") or {})
                    asked = self.connection.ask("ready", wait_s=wait_s, wait_ms=int(wait_s * 1000))
        finally:
            scanning.close()

    def request(self, op: str, **fields: object) -> Reply:
        """The answer to a request, while there are no others. Raises as `wait` does, and the error that it is refused with."""
        asked = self.connection.ask(op, wait_s=0.0, **fields)
        while True:
            for number, reply in self.wait():
                if number == asked:
                    return checked(reply)

    def ask_status(self) -> None:
        """What is wrong will be told in a moment, and not with the next look only."""
        self._status_asked = self.connection.ask("status")

    @property
    def owes_status(self) -> bool:
        """Whether a status was asked for and not answered."""
        return self._status_asked is not None

    def wait(self, timeout_s: float | None = None, also: int | None = None) -> list[tuple[int, Reply]]:
        """Answers, once there are some; the service's own troubles are asked for and told on the way. Empty where only the status
        was answered, after `timeout_s`, and when the descriptor `also` may be readable.

        Raises Ended, and ServiceError when supervisord is no more.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if time.monotonic() >= self._rounds.due:
                self._look_after_service()
            answers = []
            reported = False
            for number, reply in self._await_answers(deadline, also):
                if number == self._status_asked:
                    self._status_asked = None
                    reported = True
                    lines = self._trouble.lines(reply.get("status") or {})
                    self._rounds.answered(time.monotonic(), calm=not lines and not self._trouble)
                    self._tell(lines)
                else:
                    answers.append((number, reply))
            if answers or reported or also is not None or (deadline is not None and time.monotonic() >= deadline):
                return answers

    def _await_answers(self, deadline: float | None, also: int | None) -> list[tuple[int, Reply]]:
        """Answers, or none when the next status is due. Raises Ended, and ServiceError when supervisord is no more."""
        until = self._rounds.due if deadline is None else min(self._rounds.due, deadline)
        try:
            return self.connection.wait(self._ends, max(0.0, until - time.monotonic()), also)
        except ProcessEnded:
            raise self._child.why_it_ended() from None

    def _look_after_service(self) -> None:
        """Asks for the next status; if the last one is still owed, that is trouble too. Raises ServiceError."""
        now = time.monotonic()
        late = self._rounds.is_late(now)
        self._rounds.begin(now)
        if not self._ready:
            self._child.check()
        if self._status_asked is None:
            self.ask_status()
        elif self._ready and not late:
            self._tell(self._trouble.lines({"silent": True}))
