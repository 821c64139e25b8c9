"""One `watch`, from the start of its service to its end: waits until it is ready, prints batches, and reports problems.

Imported when the service has been started: what this module needs is loaded while supervisord starts.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from base64 import b64encode
from types import TracebackType
from typing import Any

from shardwatch.aggregator.protocol.codes import RETRYABLE
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.limits import BEAT_S, next_beat
from shardwatch.shard.contract.state.settings import Settings

from ...host.process import ended_fd
from ...service.child import ChildService
from ...service.state_dir import Prepared
from ...terminal import render
from ...terminal.ends import Ends
from ...terminal.lines import FORMAT, Printer, status_object
from ...terminal.streams import say_line
from ..link.connection import ProcessEnded, ServiceConnection, checked
from ..link.in_flight import Reply, hands_out
from .puller import BATCH_MAX, PULL_WAIT_S, Puller
from .trouble import Trouble

#: The group whose position a kept state directory remembers between two watches.
GROUP = "watch"
#: Seconds between two looks at the service's own troubles, at multiples of this time: a multiple of the beat, at which the
#: service is awake in any case. And seconds between two steps of the progress bar.
STATUS_EVERY_S = 2 * BEAT_S
PROGRESS_EVERY_S = 0.2
#: Seconds by which such a look may be late. If it is later, this process was held up itself (by a reader that stalls, or with
#: the whole machine), and what it was not answered meanwhile says nothing of the service.
LATE_S_MAX = 1.0


def launched_s() -> float:
    """Seconds since this process was launched: by the kernel's word (proc_pid_stat(5), field 22), to 10 ms."""
    try:
        with open("/proc/self/stat", "rb") as f:  # noqa: PTH123 - pathlib costs more than this whole function
            fields = f.read().rpartition(b")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return time.process_time()


class Session:
    """One watch, from the start of the service to its end: entered once the service was started."""

    def __init__(
        self,
        options: argparse.Namespace,
        ends: Ends,
        prepared: Prepared,
        settings: Settings,
        child: ChildService,
    ) -> None:
        self._options = options
        self._ends = ends
        self._prepared = prepared
        self._settings = settings
        self._child = child
        self._ended = ended_fd(child.process.pid)
        self._connection = ServiceConnection(prepared.layout, process_fd=self._ended, asked_again=RETRYABLE, on_absence=None)
        self._printer = Printer(ends, as_json=options.json)
        self._puller = Puller(self._connection, self._printer, ends, group=GROUP, start=options.start, worker=GROUP)
        self._trouble = Trouble()
        self._ready = False
        self._status_asked: int | None = None
        self._status_due = time.monotonic() + STATUS_EVERY_S

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._puller.release()
        self._connection.__exit__(kind, error, trace)
        os.close(self._ended)

    def run(self) -> None:
        """Prints until Ended, or until ServiceError says that the service ended by itself."""
        self._tell([status_object("warning", note) for note in self._prepared.notes])
        ready = self._wait_ready()
        self._ready = True
        # What is polled is said before `ready`, and the group's position taken: nothing after that line can be missed.
        first = self._first_pull()
        self._print_ready(ready)
        self._puller.print(first)
        self._follow()

    def _wait_ready(self) -> Reply:
        """Waits for every shard's baseline, with a progress bar on a terminal; returns what the engine says of it."""
        scanning = render.Scanning(None if self._options.json else sys.stderr)
        wait_s = PROGRESS_EVERY_S if scanning.shown else STATUS_EVERY_S
        try:
            asked = self._connection.ask("ready", wait_s=wait_s, wait_ms=int(wait_s * 1000))
            while True:
                for number, reply in self._wait():
                    if number != asked:
                        continue
                    ready: Reply | None = checked(reply).get("ready")
                    if ready is not None:
                        return ready
                    scanning.show(reply.get("progress") or {})
                    asked = self._connection.ask("ready", wait_s=wait_s, wait_ms=int(wait_s * 1000))
        finally:
            scanning.close()

    def _first_pull(self) -> Reply:
        """The answer of a pull that does not wait. Returns when the status has been answered too, so troubles have been reported.

        A status may be answered after a pull that was asked later, because the service describes its groups in steps.
        """
        self._status_asked = self._connection.ask("status")
        if self._prepared.resumed:  # what a watch that was killed had been handed
            self._connection.ask("release", group=GROUP, worker=GROUP)
        asked = self._puller.ask(BATCH_MAX, 0.0)
        first: Reply | None = None
        while first is None or self._status_asked is not None:
            for number, reply in self._wait():
                if number == asked:
                    first = reply
        return first

    def _follow(self) -> None:
        self._puller.ask(BATCH_MAX, PULL_WAIT_S)
        while True:
            for number, reply in self._wait():
                if number == self._puller.asked:
                    self._puller.print(reply)
                    self._puller.ask(BATCH_MAX, PULL_WAIT_S)
                elif hands_out(reply):  # an answer that came twice
                    self._puller.print(reply)

    def _wait(self) -> list[tuple[int, Reply]]:
        """Answers, once there are some; the service's own troubles are asked for and reported on the way. Empty where only the
        status was answered.

        Raises Ended, and ServiceError when supervisord is no more.
        """
        while True:
            if time.monotonic() >= self._status_due:
                self._look_after_service()
            answers = []
            reported = False
            for number, reply in self._await_answers():
                if number == self._status_asked:
                    self._status_asked = None
                    reported = True
                    self._tell(self._trouble.lines(reply.get("status") or {}))
                else:
                    answers.append((number, reply))
            if answers or reported:
                return answers

    def _await_answers(self) -> list[tuple[int, Reply]]:
        """Answers, or none when the next status is due. Raises Ended, and ServiceError when supervisord is no more."""
        try:
            return self._connection.wait(self._ends, max(0.0, self._status_due - time.monotonic()))
        except ProcessEnded:
            raise self._child.why_it_ended() from None

    def _look_after_service(self) -> None:
        """Asks for the next status; if the last one is still owed, that is trouble too. Raises ServiceError."""
        late = time.monotonic() - self._status_due > LATE_S_MAX
        self._status_due = next_beat(time.monotonic() + STATUS_EVERY_S - LATE_S_MAX, STATUS_EVERY_S)
        if not self._ready:
            self._child.check()
        if self._status_asked is None:
            self._status_asked = self._connection.ask("status")
        elif self._ready and not late:
            self._tell(self._trouble.lines({"silent": True}))

    def _tell(self, lines: list[dict[str, str]]) -> None:
        """Trouble: among the JSON lines, or for people on standard error."""
        if self._options.json:
            self._printer.write(lines)
        else:
            for line in lines:
                say_line(render.status_line(line, colour=render.wants_colour(sys.stderr)))

    def _print_ready(self, ready: Reply) -> None:
        roots = self._settings.roots
        line: dict[str, Any] = {
            "type": "ready",
            "format": FORMAT,
            "roots": [root.decode("utf-8", "replace") for root in roots],
            "files": ready["files"],
            "directories": ready["directories"],
            "shards": ready["shards"],
            "backend": ready["backend"],
            "ready_s": round(launched_s(), 3),
        }
        if self._options.json:
            if any(not _is_utf8(root) for root in roots):
                line["roots_b64"] = [b64encode(root).decode("ascii") for root in roots]
            self._printer.write([line])
        else:
            kept = Filter(self._settings.include, self._settings.exclude).describe()
            if self._prepared.settings.roots == self._prepared.settings.only:
                kept = "the files that were named"
            where = "temporary" if self._options.state_dir is None else os.fspath(self._prepared.layout.state_dir)
            self._printer.text(render.banner(line, keeps=kept, state_dir=where, resumed=self._prepared.resumed))


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
