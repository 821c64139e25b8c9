"""Chooses the rows of a group's next batch, and the kinds of its events. Pure; used by `group` only.

Nothing is changed here, so a peek is a choice alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final
from zlib import crc32

from msgspec import UNSET

from shardwatch.shard.compiled.choice import native
from shardwatch.shard.contract.files.identity import moved

from ..index.portion import Pieces, first, total
from ..index.row import Row
from ..index.stretch import Columns, Stretch, columns, columns_of
from ..protocol.messages import Event, path_fields
from ..protocol.packing import pack_events
from .events import Events
from .holder_mark import HolderMark
from .index_port import IndexPort
from .lane import Lane
from .unit import Part, Unit

#: What a rename keeps of a file: dev, ino, size, mtime_ns.
Identity = tuple[int, int, int, int]
#: Rows looked at by one pull. Only a backlog of skipped or held rows reaches it; the pull then goes on at the next turn.
LOOKED_MAX: Final = 20_000
#: Rows by themselves of which events are made together at least: of fewer, one by one takes less time.
_ALIKE_MIN: Final = 4
_pack_events: Final = native(pack_events)


class Selection:
    """Rows chosen for a batch of the group with this mark."""

    __slots__ = (
        "chunks",
        "events",
        "gone",
        "held",
        "late",
        "looked",
        "mark",
        "more",
        "moves",
        "parts",
        "scans",
        "unfinished",
        "unit",
        "whole",
    )

    def __init__(self, mark: HolderMark) -> None:
        self.mark = mark
        self.events = Events()
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
        #: Whether there is more, as far as is known.
        self.more = False
        #: Nothing was found in as many rows as one call may look at.
        self.unfinished = False
        #: Rows that were added.
        self.chunks: list[Sequence[Row]] = []
        #: Of each event `moved`: its tick, and that of the deletion of its old path.
        self.moves: dict[int, int] = {}
        #: (lane, tick) of those that say that a path is gone, be they among the events or held.
        self.gone: list[tuple[int, int]] = []

    def again(self, index: IndexPort, unit: Unit, lane: Callable[[int], Lane], limit: int) -> bool:
        """Adds the rows of a unit that is to be handed out again, at most `limit`; False if none can be: those with another
        tick by now follow from there."""
        for old in unit.parts:
            part = Part(old.lane, old.handed, [], [])
            self.parts.append(part)
            self.add(index.rows_at(old.lane, old.ticks), old.lane, old.handed, lane(old.lane), part)
        if not self.events:
            return False
        self.unit = unit
        self.more = True
        self.events = self.events.first(limit)
        return True

    def fill(self, index: IndexPort, number: int, lane: Lane, limit: int) -> bool:
        """Adds a lane's rows; True if that are all. At most `limit` events in all."""
        whole = self._fill(index, number, lane, limit)
        if not whole:
            self.more = True
            self.unfinished = not self.events
        return whole

    def _fill(self, index: IndexPort, number: int, lane: Lane, limit: int) -> bool:
        part = Part(number, lane.handed, [], [])
        self.parts.append(part)
        self.scans[number] = lane.scan
        waiting = lane.late_count()
        if waiting:
            late = lane.late(limit - len(self.events))
            self.late[number] = len(late)
            self.add(index.rows_at(number, sorted(late)), number, lane.handed, lane, part)
            if len(late) < waiting:
                return False
        while len(self.events) < limit and self.looked < LOOKED_MAX:
            want = limit - len(self.events)
            pieces, upto, end = index.pending(number, self.scans[number], want + 1)
            found = total(pieces)
            torn = found > want
            if torn:
                count, found = found, cut(pieces, want, limit // 2 - len(self.events), found)
                pieces = first(pieces, found, count)
                upto = pieces[-1][-1].tick
            self.scans[number] = upto
            self.looked += found
            self.add_pieces(pieces, number, lane, part)
            if torn and found < want and self.events:
                break
            if not torn and end:
                self.whole.append(number)
                return True
            if not torn:
                self.looked += want - found  # the look has cost as much as if it had found them
        return False

    def add(self, rows: Sequence[Row], number: int, handed: int, lane: Lane, part: Part) -> None:
        """Makes events of rows. The hot loop: nothing is made for a row but its event.

        A row is `created` unless the group holds its path, or was handed that very stamp before (it is not later than
        `handed`). A gone row is skipped unless the group holds its path.
        """
        self.chunks.append(rows)
        events, ticks, keys, bit, begun = self.events.last(), part.ticks, part.keys, self.mark.bit, self.mark.begun
        assert keys is not None
        leased, fenced = lane.leased, lane.fenced
        blocked = bool(leased or fenced)
        after, upto = lane.skipped
        for tick, _, held, kind, directory, path, size, mtime_ns, at_ns, _, _, _, _ in rows:
            known = tick > begun and held >> bit & 1
            if not kind:
                if not known:
                    continue
                self.gone.append((number, tick))
            key = path + b"/" if directory else path
            if blocked and (key in leased or (fenced and crc32(key) in fenced)):
                self.held.append((number, key, tick))
                continue
            try:
                text, exact = path.decode(), UNSET
            except UnicodeDecodeError:
                text, exact = path_fields(path)  # type: ignore[assignment]
            if not kind:
                event = Event("deleted", text, directory == 1, None, None, tick, at_ns / 1e9, exact)
            else:
                what = "modified" if known or (tick <= handed and not after < tick <= upto) else "created"
                event = Event(what, text, directory == 1, size, mtime_ns, tick, at_ns / 1e9, exact)
            events.append(event)
            ticks.append(tick)
            keys.append(key)

    def add_pieces(self, pieces: Pieces, number: int, lane: Lane, part: Part) -> None:
        """The same of pieces of a lane that were not considered yet: pages that follow one another all at once, if they are
        alike, else each by itself."""
        for held, same in groupby(pieces, _held_of):
            some = list(same)
            pages = [piece for piece in some if isinstance(piece, Stretch)]
            if held is None or not self._add_alike(pages, held, lane, part):
                for piece in some:
                    if not (
                        self._add_alike([piece], piece.held, lane, part)
                        if isinstance(piece, Stretch)
                        else self._add_rows_alike(piece, lane, part)
                    ):
                        self.add(piece, number, lane.handed, lane, part)

    def _add_alike(self, stretches: Sequence[Stretch], held: int, lane: Lane, part: Part) -> bool:
        """Adds rows of pages that all note the same groups, if all events are of one kind; no line of Python is run for one of
        them alone. False, and nothing was done, if they are not, or if some can't go now.
        """
        if not self._told_alike(stretches[0].ticks[0], stretches[-1].ticks[-1], lane) or not self._add_columns(
            columns(stretches), held, lane, part
        ):
            return False
        self.chunks += stretches
        return True

    def _add_rows_alike(self, rows: Sequence[Row], lane: Lane, part: Part) -> bool:
        """The same of rows that are by themselves."""
        if len(rows) < _ALIKE_MIN or not self._told_alike(rows[0].tick, rows[-1].tick, lane):
            return False
        found = columns_of(rows)
        if found is None or not self._add_columns(found, rows[0].held, lane, part):
            return False
        self.chunks.append(rows)
        return True

    def _told_alike(self, begin: int, end: int, lane: Lane) -> bool:
        """Whether the kind of an event is the same for all rows from one tick to another that note the same groups."""
        after, upto = lane.skipped
        return not (
            begin <= self.mark.begun < end or begin <= lane.handed < end or (begin <= upto and after < end) or lane.fenced
        )

    def _add_columns(self, found: Columns, held: int, lane: Lane, part: Part) -> bool:
        """Adds events of which `_told_alike` holds. False, and nothing was done, if some can't go now."""
        begin, end = found.ticks[0], found.ticks[-1]
        if not lane.leased.isdisjoint(found.paths):
            return False
        known = begin > self.mark.begun and held >> self.mark.bit & 1
        what = "modified" if known or end <= lane.handed else "created"
        try:
            packed = _pack_events(what, found.paths, found.sizes, found.mtimes_ns, found.ticks, found.observed_at)
        except UnicodeDecodeError:
            return False
        self.events.add_packed(len(found.paths), packed)
        part.ticks += found.ticks
        assert part.keys is not None
        part.keys += found.paths
        return True

    def pair(self) -> None:
        """Makes one `moved` of a `deleted` and a `created` event where it is certain: the same file (`identity.moved`; inode,
        size and mtime), of which the group holds the old path and not the new one, both in this batch, and no other name of it.

        Both rows stay on the lease. What is not certain stays two events, which say the same to a mirror.
        """
        if not self.gone:
            return
        bit, begun = self.mark.bit, self.mark.begun
        #: Identity -> (tick, when the source was changed last, or when the destination was made).
        sources: dict[Identity, tuple[int, int] | None] = {}
        targets: dict[Identity, tuple[int, int] | None] = {}
        for rows in self.chunks:
            for tick, _, held, kind, directory, _, size, mtime_ns, _, dev, ino, ctime_ns, birth_ns in rows:
                known = tick > begun and held >> bit & 1
                if directory or not ino or bool(kind) == bool(known):
                    continue
                side = targets if kind else sources
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
                self.moves[came] = went
        self.events = Events(by_tick.values())


def _held_of(piece: Sequence[Row]) -> int | None:
    """Which groups the rows of a page note; None of rows of which each has its own."""
    return piece.held if isinstance(piece, Stretch) else None


def kind_told(row: Row, part: Part, lane: Lane, mark: HolderMark) -> str:
    """Of the event that the group with this mark was handed for a row that says that its path is there."""
    free = Lane(lane.scan, lane.handed, lane.skipped)  # the path is another batch's by now, perhaps
    choice = Selection(mark)
    choice.add([row], part.lane, part.handed, free, Part(part.lane, part.handed, [], []))
    return choice.events[0].event_type if isinstance(choice.events[0], Event) else ""


def cut(pieces: Pieces, want: int, least: int, count: int) -> int:
    """Where to end a batch of at most `want` of the rows, of which there are `count`, want + 1 or more: before the run of rows of
    one directory that would be torn, if `least` rows are left, else at `want`."""
    least, torn = max(least, 1), b""
    begun = want
    for begin, directory in _runs_backwards(pieces, count):
        if torn and directory != torn:
            return begun
        if begin > want:
            continue
        torn, begun = directory, begin
        if begin < least:
            break
    return want


def _runs_backwards(pieces: Pieces, count: int) -> Iterator[tuple[int, bytes]]:
    """Runs of rows of one directory, from the last one on: where each begins, and its directory. Several that follow one another
    may be of the same directory."""
    begin = count
    for piece in reversed(pieces):
        if isinstance(piece, Stretch):
            begin -= len(piece)
            yield begin, piece.above
            continue
        for row in reversed(piece):
            begin -= 1
            yield begin, row.path[: row.path.rfind(b"/") + 1]
