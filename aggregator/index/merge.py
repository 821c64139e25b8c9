"""Records against rows: only a difference becomes a change. Pure: knows no SQLite, no socket, no clock.

A row is about a path *and* whether it is a directory: a file that becomes a directory is a deletion of one row and a creation
of another, in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.wire.frames import DIRECTORY, Entry

from .holders import Holders, stored

GONE = 0
_NO_BIRTHS: Final[Mapping[bytes, int]] = MappingProxyType({})


class Known(NamedTuple):
    """What the index holds of one name in a directory."""

    name: bytes
    directory: int
    kind: int
    dev: int
    ino: int
    nlink: int
    size: int
    mtime_ns: int
    ctime_ns: int
    racy: int
    lane: int | None
    tick: int
    #: Which groups hold the path by what they were handed before this tick (`aggregator.index.holders`).
    held: int


#: (kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, tick, held, at_ns, birth_ns, name, directory): ready for an UPDATE.
Update = tuple[int, int, int, int, int, int, int, bool, int, int | bytes, int, int, bytes, int]
#: (name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, tick, at_ns, birth_ns): ready for an INSERT,
#: of a row that nobody holds.
Insert = tuple[bytes, int, int, int, int, int, int, int, int, bool, int | None, int, int, int]


@dataclass
class Changes:
    """What to write for one directory, in the order: deletions, updates, insertions."""

    inserts: list[Insert] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    #: (name, directory) of rows that no group holds: nobody needs a tombstone.
    forgotten: list[tuple[bytes, int]] = field(default_factory=list)
    #: Directories that are gone: everything below them goes too.
    gone_directories: list[bytes] = field(default_factory=list)
    #: (dev, ino) of changed files that have, or may have had, other names: writing by one name tells the others' directories
    #: nothing. Where a name is gone, how many there were by its row (which may be too few: linking tells it nothing); else 0.
    linked: dict[tuple[int, int], int] = field(default_factory=dict)
    #: A file with several names was seen.
    links: bool = False
    files: int = 0
    directories: int = 0

    def __bool__(self) -> bool:
        return bool(self.inserts or self.updates or self.forgotten)


class Ticks:
    """Hands out change numbers, and knows up to where rows of each lane were handed to any group, and to which.

    A row that no group has been handed since its last stamp is not stamped again: else a path that changes all the time
    would move to the tail for ever, and never be served.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self.handed: dict[int, int] = {}
        self.holders = Holders()

    def next(self) -> int:
        self.last += 1
        return self.last

    def seen(self, lane: int, tick: int) -> bool:
        """Whether some group may have been handed a row of this lane with this tick."""
        return tick <= self.handed.get(lane, 0)

    def again(self, row: Known) -> tuple[int, int]:
        """The tick of a row that changes, and who holds its path by then. A row without a lane is never an event."""
        if row.lane is None or not self.seen(row.lane, row.tick):
            return row.tick, row.held
        held = self.holders.superseded(row.lane, row.tick, row.held, there=row.kind != GONE)
        return self.next(), held


def merge(
    known: dict[tuple[bytes, int], Known],
    entries: Iterable[Entry],
    absent: Iterable[bytes],
    *,
    complete: bool,
    at: int,
    ticks: Ticks,
    lane_of: dict[bytes, int] | int | None,
    directories_are_events: bool,
    births: Mapping[bytes, int] = _NO_BIRTHS,
    content_only: bool = False,
) -> Changes:
    """Compares what was seen in one directory with its rows.

    Args:
        known: rows of the names in question, by (name, is it about a directory); consumed.
        entries: what was seen.
        absent: names that were looked at and are not there (or are nothing of ours).
        complete: every row left in `known` that was not seen is gone.
        at: wall clock of the look, ns.
        lane_of: lane of new rows: one for all, or by name.
        births: of names that came by a rename: when the file was made, ns since 1970.
        content_only: as `identity.compare` has it.
    """
    changes = Changes()
    new: list[Entry] = []
    for entry in entries:
        name, kind = entry[0], entry[1]
        about = 1 if kind == DIRECTORY else 0
        other = known.pop((name, 1 - about), None)
        if other is not None and other.kind != GONE:
            _bury(changes, other, at, ticks)
        row = known.pop((name, about), None)
        if row is None:
            new.append(entry)
        elif row.kind == GONE:
            _revive(changes, row, entry, at, ticks, births.get(name, 0))
        elif about == 0:
            verdict = compare(row[2:10], entry[1:9], content_only=content_only)
            if verdict is Verdict.SAME:
                continue
            tick, held = ticks.again(row) if verdict is Verdict.CHANGED else (row.tick, row.held)
            changes.updates.append((*entry[1:9], tick, stored(held), at, births.get(name, 0), name, about))
            if row.ino != entry[3] and row.ino and entry[3]:
                changes.linked[row.dev, row.ino] = row.nlink
            _link(changes, entry)
    for name in absent:
        for about in (0, 1):
            row = known.pop((name, about), None)
            if row is not None and row.kind == GONE and row.nlink > 1 and row.ino:
                changes.linked[row.dev, row.ino] = row.nlink  # what hints at it now is done to the file by a descriptor
            elif row is not None and row.kind != GONE:
                _bury(changes, row, at, ticks)
    if complete:
        for row in known.values():
            if row.kind != GONE:
                _bury(changes, row, at, ticks)
    for entry in new:
        about = 1 if entry[1] == DIRECTORY else 0
        lane: int | None = None
        tick = 0
        if not about or directories_are_events:
            lane = lane_of.get(entry[0], 0) if isinstance(lane_of, dict) else lane_of
            tick = ticks.next()
        changes.inserts.append((entry[0], about, *entry[1:9], lane, tick, at, births.get(entry[0], 0)))
        _link(changes, entry)
        _count(changes, about, 1)
    return changes


def _link(changes: Changes, entry: Entry) -> None:
    if entry[4] > 1 and entry[3]:
        changes.linked.setdefault((entry[2], entry[3]), 0)
        changes.links = True


def _count(changes: Changes, about: int, by: int) -> None:
    if about:
        changes.directories += by
    else:
        changes.files += by


def burial(row: Known, ticks: Ticks) -> tuple[int, int] | None:
    """The tick of the tombstone of a row that is gone, and who is to be told; None where nobody is, so that it needs none."""
    if row.lane is None:
        return None
    if ticks.seen(row.lane, row.tick):
        held = ticks.holders.superseded(row.lane, row.tick, row.held, there=row.kind != GONE)
        return (ticks.next(), held) if held else None
    held = ticks.holders.holding(row.tick, row.held)
    return (row.tick, held) if held else None


def _bury(changes: Changes, row: Known, at: int, ticks: Ticks) -> None:
    _count(changes, row.directory, -1)
    if row.directory:
        changes.gone_directories.append(row.name)
    elif row.ino:
        changes.linked[row.dev, row.ino] = row.nlink
    buried = burial(row, ticks)
    if buried is None:
        changes.forgotten.append((row.name, row.directory))
    else:
        changes.updates.append(tombstone(row, *buried, at))


def tombstone(row: Known, tick: int, held: int, at: int) -> Update:
    """What stays of a row that is gone: which file it was, since that tells a rename, and who is to be told."""
    stat = (row.dev, row.ino, row.nlink, row.size, row.mtime_ns, row.ctime_ns)
    return (GONE, *stat, False, tick, stored(held), at, 0, row.name, row.directory)


def _revive(changes: Changes, row: Known, entry: Entry, at: int, ticks: Ticks, birth_ns: int) -> None:
    _count(changes, row.directory, 1)
    tick, held = ticks.again(row)  # the same where no group was told that it was gone
    changes.updates.append((*entry[1:9], tick, stored(held), at, birth_ns, row.name, row.directory))
    _link(changes, entry)
