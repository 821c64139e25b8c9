"""What a group is made of: lanes, units (rows that go together, on lease or due again), and how rows become events. Pure."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from zlib import crc32

from msgspec import Struct

from ..index.holders import Holders
from ..protocol.messages import Event, Fresh

#: (tick, lane, held, kind, directory, path, size, mtime_ns, at_ns, dev, ino, ctime_ns, birth_ns): `index.row.Row` is one.
RowTuple = tuple[int, int, int, int, bool, bytes, int, int, int, int, int, int, int]

class Index(Protocol):
    """What a group asks of the index. Rows become visible in the order of their ticks."""

    incarnation: str

    @property
    def tick(self) -> int: ...

    collected: int

    @property
    def holders(self) -> Holders: ...

    def lanes(self) -> list[int]: ...
    def pending(self, lane: int, after: int, limit: int) -> Sequence[RowTuple]: ...
    def rows_at(self, lane: int, ticks: Sequence[int]) -> Sequence[RowTuple]: ...
    def count(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]: ...
    def note_handed(self, lane: int, tick: int) -> None: ...


class Part:
    """The rows of one lane in a unit."""

    __slots__ = ("handed", "keys", "lane", "sums", "ticks")

    def __init__(self, lane: int, handed: int, ticks: list[int], keys: list[bytes] | None = None, sums: bytes = b"") -> None:
        self.lane = lane
        #: Rows with a tick up to it were handed out before, and are handed out again: it decides the kinds, also of a redelivery.
        self.handed = handed
        self.ticks = ticks
        #: Keys of the rows, beside their ticks; None of a part read from disk.
        self.keys = keys
        #: crc32 of each key: after a restart they keep a leased path fenced though its row may have moved on.
        self.sums = sums

    def crcs(self) -> bytes:
        return self.sums if self.keys is None else array("I", map(crc32, self.keys)).tobytes()


class Unit:
    """Rows that go together: a batch on lease, or one that is to be handed out again."""

    __slots__ = ("due", "failures", "fresh", "leased", "low", "number", "parts", "reason", "worker")

    def __init__(self, number: int, parts: list[Part], *, failures: int = 0, due: float = 0.0, fresh: str = "") -> None:
        self.number = number
        self.parts = parts
        #: Times that it was nacked or expired.
        self.failures = failures
        #: End of the lease, or the time from which it may be handed out again.
        self.due = due
        self.leased = False
        self.worker = ""
        #: Why it failed last.
        self.reason = ""
        #: Not empty: the one event "forget everything", and why.
        self.fresh = fresh
        self.low: dict[int, int] = {}
        self.measure()

    def measure(self) -> None:
        """Lowest tick by lane; to be called when the parts have changed."""
        self.low = {}
        for p in self.parts:
            if p.ticks:
                low = min(p.ticks)
                self.low[p.lane] = min(low, self.low.get(p.lane, low))

    def paths(self) -> int:
        return sum([len(p.ticks) for p in self.parts])

    def __lt__(self, other: Unit) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class Lane:
    """A group's position in one priority."""

    __slots__ = ("deferred", "fenced", "handed", "late", "leased", "scan", "skipped")

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
        self.deferred: dict[bytes, int] = {}
        self.late: deque[int] = deque()

    def reached(self) -> int:
        """Highest tick that was considered or handed out."""
        return max(self.scan, self.handed)

    def consider(self, scan: int) -> None:
        """Every row with a tick up to this one, and later than where the scan was, has been considered: none of them is given
        up any more. What else was given up may end where that began, since one range is all that is kept."""
        (after, upto), was = self.skipped, self.scan
        if was <= after < scan:
            self.skipped = (min(scan, upto), upto)
        elif after < was < min(scan, upto):
            self.skipped = (after, was)
        self.scan = scan

    def free(self, part: Part) -> None:
        """Ends the lease of a part's paths: what waited for them comes next."""
        if part.keys is None:
            # Only sums are known, so everything held is tried again.
            self.late.extend(self.deferred.values())
            self.deferred.clear()
            return
        self.leased.difference_update(part.keys)
        if self.deferred:
            for key in part.keys:
                tick = self.deferred.pop(key, None)
                if tick is not None:
                    self.late.append(tick)


class Parked(Struct, array_like=True):
    """A path that was set aside: it failed alone, attempts_max times."""

    lane: int
    tick: int
    handed: int
    path: bytes
    directory: bool
    attempts: int
    reason: str


class Batch(NamedTuple):
    """What a pull hands out. `number` is 0 where nothing was leased."""

    number: int
    attempt: int
    due: float
    events: list[Event | Fresh]
    more: bool
