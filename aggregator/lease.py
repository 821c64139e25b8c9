"""What a group is made of: lanes, units (rows that go together, on lease or due again), and how rows become events.

Pure; imported by `groups` and `group_store` only.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from zlib import crc32

from msgspec import UNSET, Struct

from shardwatch.aggregator.protocol import Event, Fresh, path_fields
from shardwatch.shard.contract.identity import moved

#: (tick, lane, born, died, made, kind, directory, path, size, mtime_ns, at_ns, dev, ino, ctime_ns, birth_ns):
#: `aggregator.row.Row` is one.
RowTuple = tuple[int, int, int, int, int, int, bool, bytes, int, int, int, int, int, int, int]
#: What a rename keeps of a file: dev, ino, size, mtime_ns.
Identity = tuple[int, int, int, int]


class Index(Protocol):
    """What a group asks of the index. Rows become visible in the order of their ticks."""

    incarnation: str

    @property
    def tick(self) -> int: ...

    collected: int

    def lanes(self) -> list[int]: ...
    def pending(self, lane: int, after: int, limit: int) -> Sequence[RowTuple]: ...
    def rows_at(self, lane: int, ticks: Sequence[int]) -> Sequence[RowTuple]: ...
    def backlog(self, lane: int, after: int) -> int: ...
    def note_handed(self, lane: int, tick: int) -> None: ...


class Part:
    """The rows of one lane in a unit."""

    __slots__ = ("handed", "keys", "lane", "sums", "ticks")

    def __init__(self, lane: int, handed: int, ticks: list[int], keys: list[bytes] | None = None, sums: bytes = b"") -> None:
        self.lane = lane
        #: The lane's `handed` before these rows were first handed out: it decides the kinds, also of a redelivery.
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

    __slots__ = ("deferred", "fenced", "handed", "late", "leased", "scan")

    def __init__(self, scan: int, handed: int) -> None:
        #: Every row with a tick up to it has been considered.
        self.scan = scan
        #: Highest tick ever handed out, durable before it left: a gone row is skipped only if it was born after it.
        self.handed = handed
        #: Keys of the paths on lease.
        self.leased: set[bytes] = set()
        #: crc32 of the keys that are on lease since before the last restart.
        self.fenced: set[int] = set()
        #: Held rows: those whose path is on lease (key -> tick), and those whose path has become free.
        self.deferred: dict[bytes, int] = {}
        self.late: deque[int] = deque()

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


class Choice:
    """Rows chosen for a batch, before anything is changed: a peek ends here."""

    __slots__ = ("chunks", "events", "gone", "held", "late", "looked", "more", "parts", "scans", "unit", "whole")

    def __init__(self) -> None:
        self.events: list[Event | Fresh] = []
        self.parts: list[Part] = []
        #: Where each lane's scan has come to, and the lanes with nothing behind it.
        self.scans: dict[int, int] = {}
        self.whole: list[int] = []
        self.looked = 0
        #: How many late ticks were considered, by lane.
        self.late: dict[int, int] = {}
        #: Rows that can't go now because their path is on lease: (lane, key, tick).
        self.held: list[tuple[int, bytes, int]] = []
        #: The unit that is handed out again.
        self.unit: Unit | None = None
        self.more = False
        #: Rows that were added, with the `handed` that decides their kinds; and whether a file is among them that is gone.
        self.chunks: list[tuple[Sequence[RowTuple], int]] = []
        self.gone = False

    def add(self, rows: Sequence[RowTuple], number: int, handed: int, lane: Lane, part: Part) -> None:
        """Makes events of rows. The hot loop: nothing is made for a row but its event.

        A gone row is skipped only if its path was born after `handed`: then the group was never handed it.
        """
        self.chunks.append((rows, handed))
        events, ticks, keys = self.events, part.ticks, part.keys
        assert keys is not None
        leased, fenced = lane.leased, lane.fenced
        blocked = bool(leased or fenced)
        for tick, _, born, died, made, kind, directory, path, size, mtime_ns, at_ns, _, _, _, _ in rows:
            if not kind and born > handed:
                continue
            key = path + b"/" if directory else path
            if blocked and (key in leased or (fenced and crc32(key) in fenced)):
                self.held.append((number, key, tick))
                continue
            try:
                text, exact = path.decode(), UNSET
            except UnicodeDecodeError:
                text, exact = path_fields(path)  # type: ignore[assignment]
            if not kind:
                self.gone = True
                event = Event("deleted", text, directory, None, None, tick, at_ns / 1e9, exact)
            else:
                new = born > handed or (0 < died <= handed < made)
                event = Event("created" if new else "modified", text, directory, size, mtime_ns, tick, at_ns / 1e9, exact)
            events.append(event)
            ticks.append(tick)
            keys.append(key)

    def pair(self) -> None:
        """Makes one `moved` of a `deleted` and a `created` event where it is certain: the same file (`identity.moved`; inode,
        size and mtime), whose source the group was handed and whose destination it was not, both in this batch, and no other
        name of it.

        Both rows stay on the lease. What is not certain stays two events, which say the same to a mirror.
        """
        if not self.gone:
            return
        #: Identity -> (tick, when the source was changed last, or when the destination was made).
        sources: dict[Identity, tuple[int, int] | None] = {}
        targets: dict[Identity, tuple[int, int] | None] = {}
        for rows, handed in self.chunks:
            for tick, _, born, died, made, kind, directory, _, size, mtime_ns, _, dev, ino, ctime_ns, birth_ns in rows:
                if directory or not ino:
                    continue
                if not kind:
                    side = sources if made <= handed else None
                else:
                    side = targets if born > handed or 0 < died <= handed < made else None
                if side is not None:
                    identity = (dev, ino, size, mtime_ns)
                    side[identity] = None if identity in side else (tick, birth_ns if kind else ctime_ns)
        pairs: dict[int, int] = {}
        for identity, target in targets.items():
            source = sources.get(identity)
            if target and source and moved(source[1], target[1]):
                pairs[target[0]] = source[0]
        if not pairs:
            return
        by_tick = {event.tick: event for event in self.events}
        for came, went in pairs.items():
            event, left = by_tick.get(came), by_tick.get(went)
            if isinstance(event, Event) and isinstance(left, Event) and event.event_type == "created":
                event.event_type = "moved"
                event.moved_from, event.moved_from_b64 = left.path, left.path_b64
                del by_tick[left.tick]
        self.events = list(by_tick.values())


def cut(rows: Sequence[RowTuple], want: int, least: int) -> int:
    """Where to end a batch of at most `want` of the rows (there are want + 1 or more): before the run of rows of one directory
    that would be torn, if `least` rows are left, else at `want`."""
    path = rows[want][7]
    directory = path[: path.rfind(b"/") + 1]
    end, least = want, max(least, 1)
    while end >= least:
        path = rows[end - 1][7]
        if path[: path.rfind(b"/") + 1] != directory:
            return end
        end -= 1
    return want
