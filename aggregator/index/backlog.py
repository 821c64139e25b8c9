"""The index as groups read it: rows by lane, in the order of their ticks. The index is the queue."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from .file import IndexFile
from .holders import Holders
from .moments import Moments
from .row import ROW, Row, row_from

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

    def pending(self, lane: int, after: int, limit: int) -> list[Row]:
        """The rows of a lane whose tick is later than `after`, oldest first, and at most `limit` of them."""
        if after >= self._ticks.last:
            return []  # most pulls come when there is nothing new
        rows = self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick>? ORDER BY e.tick LIMIT ?", (lane, after, limit))
        if rows and rows[-1].tick > self._ticks.last:  # a group that passed it would miss all that comes before it
            raise sqlite3.DatabaseError(f"a row has the tick {rows[-1].tick}, the last one given is {self._ticks.last}")
        return rows

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
        return [row_from(columns) for columns in self._db.execute(sql, arguments)]

    def count(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]:
        """Counts the rows of a lane with a tick after `after` and up to `upto`, but not more than `limit` of them. Returns their
        number and the tick of the last one counted, or 0 if there is none.
        """
        some = "SELECT tick FROM entry WHERE lane=? AND tick>? AND tick<=? ORDER BY tick LIMIT ?"
        sql = f"SELECT count(*), coalesce(max(tick), 0) FROM ({some})"
        rows, last = self._db.execute(sql, (lane, after, upto, limit)).fetchone()
        return rows, last

    @property
    def holders(self) -> Holders:
        """Which groups hold which paths, as it follows from the positions that the groups note there."""
        return self._ticks.holders

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out, so each of them gets a new tick when it changes."""
        self._ticks.note_handed(lane, tick)
