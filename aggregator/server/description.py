"""Describes all groups, as `groups` and `status` show them. Used by `serve` only. It reads the index, and changes nothing.

It works in small steps, because a thousand groups may have ten million files pending each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from ..groups.group import Group, GroupState
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..index.row import Row
from ..protocol.messages import RefusedError
from .call import Call

#: Rows that one step counts, which takes some milliseconds.
_ROWS: Final = 50_000
#: How many paths that are set aside are listed, for one group and for all groups.
SET_ASIDE_OF_ONE_MAX: Final = 100
SET_ASIDE_MAX: Final = 1_000
#: How many requests of one connection may wait for one description.
ASKED_MAX: Final = 20


class Description:
    """One description, which is complete when `step` has returned False. Rows are counted once for all groups, from the last
    tick backwards.

    Args:
        waiting: how many pulls of a group wait.
        now: seconds of the monotonic clock, for leases.
        wall: seconds since 1970, for the age of what is pending.
    """

    def __init__(
        self, index: IndexPort, registry: Registry, waiting: Callable[[str], int], now: float, wall: float
    ) -> None:
        self._index = index
        self._registry = registry
        self._waiting = waiting
        self._now = now
        self._wall = wall
        self.rows: list[dict[str, object]] = []
        self._steps = self._run()

    def step(self) -> bool:
        """Works for some milliseconds. Returns False when everything is done."""
        return next(self._steps, False)

    def _run(self) -> Iterator[bool]:
        groups = self._registry.named()
        lanes = self._index.lanes()
        # Groups go on while their rows are counted: what is described is where they are now.
        passed = [[(lane, _passed(group, lane)) for lane in lanes] for group in groups]
        behind: dict[tuple[int, int], int] = {}
        oldest: dict[tuple[int, int], int] = {}
        for lane in lanes:
            upto, total = self._index.tick, 0
            for after in sorted({after for places in passed for of, after in places if of == lane}, reverse=True):
                low = after
                while low < upto:
                    counted, low = self._index.count(lane, low, upto, _ROWS)
                    total += counted
                    yield True
                upto = min(upto, after)
                behind[lane, after] = total
                if total and (first := self._index.pending(lane, after, 1).rows):
                    oldest[lane, after] = self._pending_since_ns(first[0])
                    yield True
        room = SET_ASIDE_MAX
        for group, places in zip(groups, passed, strict=True):
            if self._registry.by_name.get(group.name) is group:
                places = [] if group.state is GroupState.WAITING else places  # it begins after all that
                pending = sum(behind[place] for place in places)
                row = group.describe(self._index, self._now, pending, min(room, SET_ASIDE_OF_ONE_MAX))
                room -= min(room, len(group.set_aside))
                waiting_s = self._age([oldest[place] for place in places if place in oldest])
                self.rows.append({**row, "oldest_pending_s": waiting_s, "waiting_pulls": self._waiting(group.name)})
                yield True

    def _pending_since_ns(self, first: Row) -> int:
        """Since when the first of the rows that are pending is, ns since 1970.

        What changes again keeps its tick, and is always new by its last change, however long others have waited behind it.
        """
        noted_ns = self._index.given_by(first.tick)
        return first.at_ns if noted_ns is None else min(first.at_ns, noted_ns)

    def _age(self, changed_ns: list[int]) -> float | None:
        """Seconds since the first of these times; None if there is none."""
        return round(max(0.0, self._wall - min(changed_ns) / 1e9), 1) if changed_ns else None


class Descriptions:
    """The requests for a description. One description is made at a time, for all requests that came before it was begun."""

    def __init__(
        self, index: IndexPort, registry: Registry, waiting: Callable[[str], int], wall: Callable[[], float]
    ) -> None:
        self._index = index
        self._registry = registry
        self._waiting = waiting
        self._wall = wall
        self._asked: deque[Call] = deque()
        self._audience: deque[Call] = deque()
        self._current: Description | None = None
        #: Whether requests wait.
        self.wanted = False

    def ask(self, call: Call) -> None:
        """Adds a request. Raises RefusedError if too many of the same connection wait already."""
        peer = call.envelope[:1]
        if sum(1 for c in self._asked if c.envelope[:1] == peer) >= ASKED_MAX:
            remedy = "wait for the answers before asking again"
            raise RefusedError("busy", f"{ASKED_MAX} such requests of this connection wait already", remedy)
        self._asked.append(call)
        self.wanted = True

    def work(self, now: float, over: Callable[[], bool]) -> Iterator[tuple[Call, list[dict[str, object]]]]:
        """Continues until no request waits, or until the time for this is `over`. Yields the requests that can be answered, and
        the description for each.
        """
        while self._asked or self._audience:
            if self._current is None:
                self._audience, self._asked = self._asked, deque()
                self._current = Description(self._index, self._registry, self._waiting, now, self._wall())
            while self._current.step():
                if over():
                    return
            rows = self._current.rows
            while self._audience:
                yield self._audience.popleft(), rows
                if self._audience and over():
                    return
            self._current = None
        self.wanted = False

    def give_up(self) -> list[Call]:
        """Takes out all requests that wait."""
        calls = [*self._asked, *self._audience]
        self._asked, self._audience, self._current = deque(), deque(), None
        self.wanted = False
        return calls


def _passed(group: Group, lane: int) -> int:
    return group.position.scan(lane) if group.state is GroupState.ACTIVE else 0
