"""The index as groups read it: rows by lane, in the order of their ticks. The index is the queue."""

from __future__ import annotations

import os
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from .file import IndexFile
from .holders import Holders
from .moments import Moments
from .page import ENTRIES_MAX
from .pages import Pages
from .portion import Count, Pieces, Portion, first, mixed, total
from .row import ROW, Row, rows_from
from .stretch import Stretch

#: Whether one lane is in use, and no other.
_ALONE: Final = "SELECT " + " AND ".join(
    [
        "(EXISTS (SELECT 1 FROM entry WHERE lane=?1) OR EXISTS (SELECT 1 FROM page WHERE lane=?1))",
        *(f"NOT EXISTS (SELECT 1 FROM {table} WHERE lane{other}?1)" for table in ("entry", "page") for other in "<>"),
    ]
)
_TICK_MAX: Final = (1 << 63) - 1
_tick: Final = attrgetter("tick")
#: Ticks of one SELECT; SQLite bounds the number of its arguments.
_TICKS_MAX: Final = 500


class Backlog:
    """The backlog of one index. It writes nothing: what groups note here is kept in memory only."""

    def __init__(self, file: IndexFile, pages: Pages, moments: Moments) -> None:
        self._file = file
        self._moments = moments
        self._db: Any = file.db
        self._pages = pages
        self._ticks = file.ticks
        #: The lanes, and for which `relaned` of the file they hold: each pull asks for them, and few commits change them.
        self._lanes: list[int] = []
        self._lanes_of = -1

    @property
    def incarnation(self) -> str:
        return self._file.incarnation

    @property
    def tick(self) -> int:
        """The last tick that was given."""
        return self._ticks.last

    @property
    def collected(self) -> int:
        """Highest tick of a tombstone that was forgotten."""
        return self._file.collected

    def lanes(self) -> list[int]:
        """Priorities in use, highest first."""
        if self._lanes_of != self._file.relaned or self._file.is_open:
            self._lanes, self._lanes_of = self._read_lanes(), -1 if self._file.is_open else self._file.relaned
        return self._lanes

    def _read_lanes(self) -> list[int]:
        if len(self._lanes) == 1 and self._db.execute(_ALONE, self._lanes).fetchone()[0]:
            return self._lanes  # mostly: one question in place of four
        lanes = set()
        for table in ("entry", "page"):
            lane = self._db.execute(f"SELECT max(lane) FROM {table} WHERE lane IS NOT NULL").fetchone()[0]
            while lane is not None:
                lanes.add(lane)
                sql = f"SELECT max(lane) FROM {table} WHERE lane IS NOT NULL AND lane < ?"
                lane = self._db.execute(sql, (lane,)).fetchone()[0]
        return sorted(lanes, reverse=True)

    def pending(self, lane: int, after: int, limit: int) -> Portion:
        """See `IndexPort`. It ends early nowhere: there are fewer than `limit` rows only at the end.

        A group that has come to the newest rows gets them from memory.
        """
        if after >= self._ticks.last:
            return Portion((), after, True)  # most pulls come when there is nothing new
        pieces = self._ticks.newest.pending(lane, after, self._ticks.last, limit)
        if pieces is None:
            pieces = self._pending(lane, after, limit)
        upto = pieces[-1][-1].tick if pieces else after
        if upto > self._ticks.last:  # a group that passed it would miss all that comes before it
            raise sqlite3.DatabaseError(f"a row has the tick {upto}, the last one given is {self._ticks.last}")
        return Portion(pieces, upto, total(pieces) < limit or upto == self._ticks.last)

    def _pending(self, lane: int, after: int, limit: int) -> Pieces:
        """Rows of a lane after a tick: those before the next page, then those of pages, and between and after them."""
        base = self._pages.next_base(lane, after)
        rows = self._between(lane, after, _TICK_MAX if base is None else base - 1, limit)
        pieces = [rows] if rows else []
        if base is None or len(rows) == limit:
            return pieces
        stretches: list[Stretch] = []
        upto, missing = _TICK_MAX, limit - len(rows)
        for stretch in self._pages.stretches(lane, after):
            stretches.append(stretch)
            missing -= len(stretch)
            if missing <= 0:
                upto = stretch.ticks[-1]
                break
        others = self._between(lane, max(after, base - 1), upto, limit - len(rows))
        count = limit - missing + len(others)
        return first([*pieces, *(mixed(stretches, others) if others else stretches)], limit, count)

    def _between(self, lane: int, after: int, upto: int, limit: int) -> list[Row]:
        sql = f"SELECT {ROW} WHERE e.lane=? AND e.tick>? AND e.tick<=? ORDER BY e.tick LIMIT ?"
        return self._rows(sql, (lane, after, upto, limit))

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        """The rows of a lane that still have one of these ticks, oldest first."""
        rows: list[Row] = []
        ordered = sorted(ticks)
        for begin in range(0, len(ordered), _TICKS_MAX):
            some = ordered[begin : begin + _TICKS_MAX]
            marks = ",".join("?" * len(some))
            rows += self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick IN ({marks}) ORDER BY e.tick", (lane, *some))
        if len(rows) < len(ordered) and (paged := self._paged_at(lane, sorted(set(ordered).difference(map(_tick, rows))))):
            rows = sorted(rows + paged)
        return rows

    def _paged_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        """What pages have of these ticks, which are in ascending order."""
        rows: list[Row] = []
        at = 0
        while at < len(ticks) and (found := next(self._pages.ticked(lane, ticks[at]), None)) is not None:
            page, path = found
            end = bisect_right(ticks, page.tick, at)
            wanted = set(ticks[at:end])
            if ticks[end - 1] >= page.base:
                rows += [row for row in page.stretch(path) if row.tick in wanted]
            at = end
        return rows

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        """See `Moments.tick_at`."""
        return self._moments.tick_at(at_ns)

    def given_by(self, tick: int) -> int | None:
        """See `Moments.given_by`."""
        return self._moments.given_by(tick)

    def rows_of(self, path: bytes) -> list[Row]:
        """The rows of a path that are events: of a file, of a directory, or of both, at most one each."""
        above, name = os.path.split(path)
        rows = self._rows(f"SELECT {ROW} WHERE d.path=? AND e.name=? AND e.lane IS NOT NULL ORDER BY e.tick", (above, name))
        found = self._db.execute("SELECT id FROM directory WHERE path=?", (above,)).fetchone()
        if found is not None and not any(not row.directory for row in rows):
            for page, _ in self._pages.holding(found[0], [name]):
                rows = sorted(rows + [row for row in page.stretch(above) if row.path == path])
        return rows

    def _rows(self, sql: str, arguments: Sequence[object]) -> list[Row]:
        return rows_from(self._db.execute(sql, arguments))

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        """See `IndexPort`."""
        if limit < 2 * ENTRIES_MAX:  # less than two pages: nobody asks that often
            ticks = [row.tick for piece in self._pending(lane, after, limit) for row in piece]
            if len(ticks) == limit and ticks[-1] <= upto:
                return Count(limit, ticks[-1])
            return Count(bisect_right(ticks, upto), upto)
        paged, upto = self._count_paged(lane, after, upto, limit // 2)
        some = "SELECT tick FROM entry WHERE lane=? AND tick>? AND tick<=? ORDER BY tick LIMIT ?"
        sql = f"SELECT count(*), coalesce(max(tick), 0) FROM ({some})"
        rows_, last = self._db.execute(sql, (lane, after, upto, limit - paged)).fetchone()
        if rows_ == limit - paged and last < upto:
            upto = last
            paged, upto = self._count_paged(lane, after, upto, limit)
        return Count(rows_ + paged, upto)

    def _count_paged(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]:
        """How many entries pages have after one tick and up to another, and up to which tick they are counted: up to the last one
        of a page, if there are about as many as `limit`, which is more than a page has."""
        counted = 0
        for base, live in self._pages.lives(lane, after, upto):
            begin, end = max(0, after + 1 - base), upto + 1 - base
            found = live.count(1, begin, end)
            if counted + found > limit:
                return counted, base - 1
            counted += found
        return counted, upto

    @property
    def holders(self) -> Holders:
        """Which groups hold which paths, as it follows from the positions that the groups note there."""
        return self._ticks.holders

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out, so each of them gets a new tick when it changes."""
        self._ticks.note_handed(lane, tick)
