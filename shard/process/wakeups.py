"""What wakes a shard's process: its descriptors, and the time."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable


class Wakeups:
    """Waits for descriptors. It reads none of them, and closes none.

    Args:
        hints: is readable when the backend has hints.
        room: is readable when the line to the aggregator may take what could not be sent.
        others: all others that are always waited for.
        clock: monotonic, ns.
    """

    def __init__(
        self, hints: int, room: int, others: Iterable[int], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._clock = clock
        self._hints = hints
        self._room = room
        self._awaits_room = False
        self._poller = select.poll()
        for fd in (hints, *others):
            self._poller.register(fd, select.POLLIN)

    def await_room(self, *, wanted: bool) -> None:
        """Whether the next wait ends, too, when there is room."""
        if wanted and not self._awaits_room:
            self._poller.register(self._room, select.POLLIN)
        elif self._awaits_room and not wanted:
            self._poller.unregister(self._room)
        self._awaits_room = wanted

    def wait(self, wait_ns: int, *, names: bool) -> set[int]:
        """Waits for descriptors, `wait_ns` at most; returns those that are ready.

        `names`: names are debounced. The last part of a millisecond is then waited for hints alone: to wait one more for each
        save would be felt, and to wake twice at other times.
        """
        if not names:
            return {fd for fd, _ in self._poller.poll(-(-wait_ns // 1_000_000))}
        until = self._clock() + wait_ns
        ready = {fd for fd, _ in self._poller.poll(wait_ns // 1_000_000)}
        rest = until - self._clock()
        if not ready and 0 < rest < 1_000_000 and select.select([self._hints], [], [], rest / 1e9)[0]:
            ready.add(self._hints)
        return ready
