"""Wakes supervisord's loop when something is due, instead of once a second. Runs inside supervisord.

Stock supervisord sleeps in poll(1 s). So it notices the death of a child after 1 to 2 s, and every deadline (start-up
grace, restart delay, stop wait) is late by up to a second. Here each signal writes a byte into a pipe that the loop
polls, and the sleep ends at the next deadline. In return an idle loop sleeps for IDLE_S instead of 1 s.

Nothing here may raise: an exception in a callback would end supervisord and orphan its children.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from supervisor import events
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor

from .map_entry import MapEntry, drop_closed

#: Longest sleep of the loop, seconds. supervisord's shortest tick is 5 s, and its clock may jump.
IDLE_S: Final = 5.0
#: Sleep while an answer to a client is deferred (start and stop with waiting), seconds.
DEFERRED_S: Final = 0.05
#: Sleep between two groups while supervisord shuts down, seconds.
PASS_S: Final = 0.01
#: A deadline is met when the clock is *past* it.
PAST_S: Final = 0.001

Poll = Callable[[float], tuple[list[int], list[int]]]


class Wake(MapEntry):
    """A pipe in supervisord's socket map. It is readable after a signal or the end of a child."""

    def __init__(self, supervisord: Supervisor) -> None:
        self._supervisord = supervisord
        self._map = supervisord.options.get_socket_map()
        drop_closed(self._map, Wake)
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._map[self._read_fd] = self
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for kind in (events.ProcessStateExitedEvent, events.ProcessStateBackoffEvent):
            events.subscribe(kind, self.kick)
        self._stock_poll: Poll = supervisord.options.poller.poll
        supervisord.options.poller.poll = self._poll
        self.kick()

    def kick(self, event: object = None) -> None:
        """Requests one more pass of the loop. Never raises, never blocks."""
        try:
            os.write(self._write_fd, b"k")
        except OSError:
            pass

    def _poll(self, timeout: float) -> tuple[list[int], list[int]]:
        try:
            timeout = min(self._sleep_s(time.time()), self._next_due() - time.monotonic())
        except Exception:  # noqa: BLE001 - whatever it is, supervisord must live on, with its own timeout
            pass
        found = self._stock_poll(max(0.0, timeout))
        self._serve(time.monotonic())
        return found

    def _serve(self, now: float) -> None:
        """Calls the entries whose time has come."""
        try:
            for entry in self._entries():
                if now >= entry.next_due():
                    entry.on_time(now)
        except Exception:  # noqa: BLE001 - whatever it is, supervisord must live on
            pass

    def _entries(self) -> list[MapEntry]:
        return [entry for entry in self._map.values() if isinstance(entry, MapEntry)]

    def _next_due(self) -> float:
        return min(entry.next_due() for entry in self._entries())

    def _sleep_s(self, now: float) -> float:
        """Seconds until something is due."""
        due = now + IDLE_S
        running = self._supervisord.options.mood >= SupervisorStates.RUNNING
        stopping = False
        for group in self._supervisord.process_groups.values():
            for process in group.processes.values():
                state = process.state
                if state == ProcessStates.RUNNING:
                    continue
                if state == ProcessStates.STARTING:
                    due = min(due, process.laststart + process.config.startsecs + PAST_S)
                elif state == ProcessStates.STOPPING:
                    stopping = True
                    due = min(due, process.delay + PAST_S)
                elif state == ProcessStates.BACKOFF and running:
                    due = min(due, process.delay + PAST_S)
                elif (state == ProcessStates.EXITED or not process.laststart) and running:
                    due = now
        if not running and not stopping:
            # The next group is stopped before a sleep and left after it, even one without processes.
            due = min(due, now + PASS_S)
        if any(getattr(channel, "delay", 0) for channel in self._map.values()):
            due = min(due, now + DEFERRED_S)
        return max(0.0, due - now)

    def handle_read_event(self) -> None:
        try:
            os.read(self._read_fd, 1)  # One byte: every queued signal gets a pass of its own.
        except OSError:
            pass


class StdinGuard(MapEntry):
    """Ends supervisord when its standard input ends, because the process that started it holds the other end of the pipe."""

    def __init__(self, supervisord: Supervisor) -> None:
        self._ended = False
        supervisord.options.get_socket_map()[0] = self

    def readable(self) -> bool:
        return not self._ended

    def handle_read_event(self) -> None:
        try:
            if os.read(0, 4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._ended = True
        os.kill(os.getpid(), signal.SIGTERM)
