"""The position of a group in one priority, the paths that are on lease there, and the rows that wait for them. Pure.

`scan`: every row with a tick up to it has been considered. It was then handed out, skipped, or kept waiting because its
path was on lease. After a seek back, the scan comes again to rows that were handed out before, up to `handed`.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator

from .unit import Part


class Lane:
    """One priority of one group."""

    __slots__ = ("_deferred", "_late", "fenced", "handed", "leased", "scan", "skipped")

    def __init__(self, scan: int, handed: int, skipped: tuple[int, int] = (0, 0)) -> None:
        #: Every row with a tick up to it has been considered. Moved by `consider`, and by a seek.
        self.scan = scan
        #: Highest tick ever handed out, durable before it left.
        self.handed = handed
        #: (after, up to): ticks that the group gave up (`seek`): their rows were not handed to it.
        self.skipped = skipped
        #: Keys of the paths on lease.
        self.leased: set[bytes] = set()
        #: crc32 of the keys that are on lease since before the last restart.
        self.fenced: set[int] = set()
        #: Held rows: those whose path is on lease (key -> tick), and those whose path has become free.
        self._deferred: dict[bytes, int] = {}
        self._late: deque[int] = deque()

    # -- the scan

    def reached(self) -> int:
        """Highest tick that was considered or handed out."""
        return max(self.scan, self.handed)

    def low(self) -> int:
        """Lowest tick that was not considered, or is held."""
        return min((self.scan + 1, *self._deferred.values(), *self._late))

    def consider(self, scan: int) -> None:
        """Every row with a tick up to this one, and later than where the scan was, has been considered: none of them is given
        up any more. What else was given up may end where that began, since one range is all that is kept."""
        (after, upto), was = self.skipped, self.scan
        if was <= after < scan:
            self.skipped = (min(scan, upto), upto)
        elif after < was < min(scan, upto):
            self.skipped = (after, was)
        self.scan = scan

    def hand_out(self, part: Part) -> None:
        """The rows of the part are handed out for the first time since they were stamped, or since a seek."""
        self.handed = max(self.handed, *part.ticks)

    def seek(self, tick: int) -> None:
        """The scan goes on from `tick`. What that leaves out is given up."""
        reached, (after, upto) = self.reached(), self.skipped
        if tick > reached:
            self.skipped = (min(after, reached) if upto >= reached else reached, tick)
        self.scan = tick

    # -- paths on lease

    def lease(self, part: Part) -> None:
        """The paths of the part are on lease."""
        self.leased.update(part.keys or ())

    def fence(self, part: Part) -> None:
        """The paths of a part that was read from disk are on lease: only their sums are known."""
        self.fenced.update(array("I", part.sums))

    def unfence(self) -> None:
        self.fenced = set()

    def free(self, part: Part) -> None:
        """Ends the lease of a part's paths: what waited for them comes next."""
        if part.keys is None:
            # Only sums are known, so everything held is tried again.
            self._late.extend(self._deferred.values())
            self._deferred.clear()
            return
        self.leased.difference_update(part.keys)
        if self._deferred:
            for key in part.keys:
                tick = self._deferred.pop(key, None)
                if tick is not None:
                    self._late.append(tick)

    # -- rows that wait

    def held(self) -> Iterator[int]:
        """Ticks of the rows that were considered and not handed out because of a lease."""
        yield from self._deferred.values()
        yield from self._late

    def held_count(self) -> int:
        return len(self._deferred) + len(self._late)

    def hold(self, key: bytes, tick: int) -> int | None:
        """A row waits until its path is free; gives the tick of an older state of the path that waits no more."""
        before = self._deferred.get(key)
        self._deferred[key] = tick
        return before

    def restore_held(self, tick: int) -> None:
        """A row that waited when the service ended; its path is tried again."""
        self._late.append(tick)

    def late(self, limit: int) -> list[int]:
        """At most so many ticks of held rows whose path has become free, in the order in which it did."""
        return [self._late[i] for i in range(min(len(self._late), limit))]

    def late_count(self) -> int:
        return len(self._late)

    def take_late(self, count: int) -> list[int]:
        """The first of these wait no more."""
        return [self._late.popleft() for _ in range(count)]

    def give_up(self, low: int) -> set[int]:
        """Held rows with a tick later than `low` wait no more; their ticks."""
        gone = {tick for tick in self.held() if tick > low}
        self._late = deque(tick for tick in self._late if tick not in gone)
        self._deferred = {key: tick for key, tick in self._deferred.items() if tick not in gone}
        return gone
