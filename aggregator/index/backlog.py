"""The index as groups read it: rows by lane, in the order of their ticks. The index is the queue."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from .file import IndexFile
from .holders import Holders
from .moments import Moments
from .portion import Count, Portion
from .row import ROW, Row, rows_from

#: Ticks of one SELECT; SQLite bounds the number of its arguments.
_TICKS_MAX: Final = 500


class Backlog:
    """The backlog of one index. It writes nothing: what groups note here is kept in memory only."""

    def __init__(self, file: IndexFile, moments: Moments) -> None:
        self._file = file
        self._moments = moments
        self._db: Any = file.db
        self._ticks = file.ticks
        #: The lanes, and for which number of commits they hold: each pull asks for them, and only a commit changes them.
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
        if self._lanes_of != self._file.commits or self._file.is_open:
            self._lanes, self._lanes_of = self._read_lanes(), -1 if self._file.is_open else self._file.commits
        return self._lanes

    def _read_lanes(self) -> list[int]:
        lanes = []
        lane = self._db.execute("SELECT max(lane) FROM entry WHERE lane IS NOT NULL").fetchone()[0]
        while lane is not None:
            lanes.append(lane)
            lane = self._db.execute("SELECT max(lane) FROM entry WHERE lane IS NOT NULL AND lane < ?", (lane,)).fetchone()[0]
        return lanes

    def pending(self, lane: int, after: int, limit: int) -> Portion:
        """See `IndexPort`. It ends early nowhere: there are fewer than `limit` rows only at the end."""
        if after >= self._ticks.last:
            return Portion((), after, True)  # most pulls come when there is nothing new
        rows = self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick>? ORDER BY e.tick LIMIT ?", (lane, after, limit))
        if rows and rows[-1].tick > self._ticks.last:  # a group that passed it would miss all that comes before it
            raise sqlite3.DatabaseError(f"a row has the tick {rows[-1].tick}, the last one given is {self._ticks.last}")
        upto = rows[-1].tick if rows else after
        return Portion(rows, upto, len(rows) < limit or upto == self._ticks.last)

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        """The rows of a lane that still have one of these ticks, oldest first."""
        rows: list[Row] = []
        ordered = sorted(ticks)
        for begin in range(0, len(ordered), _TICKS_MAX):
            some = ordered[begin : begin + _TICKS_MAX]
            marks = ",".join("?" * len(some))
            rows += self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick IN ({marks}) ORDER BY e.tick", (lane, *some))
        return rows

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        """See `Moments.tick_at`."""
        return self._moments.tick_at(at_ns)

    def rows_of(self, path: bytes) -> list[Row]:
        """The rows of a path that are events: of a file, of a directory, or of both, at most one each."""
        above, name = os.path.split(path)
        return self._rows(f"SELECT {ROW} WHERE d.path=? AND e.name=? AND e.lane IS NOT NULL ORDER BY e.tick", (above, name))

    def _rows(self, sql: str, arguments: Sequence[object]) -> list[Row]:
        return rows_from(self._db.execute(sql, arguments))

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        """See `IndexPort`."""
        some = "SELECT tick FROM entry WHERE lane=? AND tick>? AND tick<=? ORDER BY tick LIMIT ?"
        sql = f"SELECT count(*), coalesce(max(tick), 0) FROM ({some})"
        rows, last = self._db.execute(sql, (lane, after, upto, limit)).fetchone()
        return Count(rows, last if rows == limit else upto)

    @property
    def holders(self) -> Holders:
        """Which groups hold which paths, as it follows from the positions that the groups note there."""
        return self._ticks.holders

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out, so each of them gets a new tick when it changes."""
        self._ticks.note_handed(lane, tick)
