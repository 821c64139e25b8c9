"""Tombstones: the rows of paths that are gone. They are kept while a group must learn of the deletion or may move back.

The row of a directory that is there, but is an event no more (`row.LEFT_OUT`), is kept as such for just as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from .file import IndexFile
from .row import LEFT_OUT
from .tables import Tables

#: Tombstones that are looked at in one turn: some 100 ms.
COLLECTED_MAX: Final = 20_000
_NEXT: Final = "SELECT tick, at_ns FROM entry WHERE lane=? AND tick>? AND tick<=? AND kind=0 ORDER BY tick LIMIT ?"
#: The same of directories which are there, and of which groups are told that they are gone.
_NEXT_UNSAID: Final = _NEXT.replace("kind=0", "kind<>0")
_UNSAY: Final = "UPDATE entry SET lane=NULL, tick=0, held=0 WHERE lane=? AND tick=?"
_FORGET: Final = "DELETE FROM entry WHERE lane=? AND tick=? RETURNING dir"


class Tombstones:
    """The tombstones of one index. `wall_ns`: as of `Index`."""

    def __init__(self, file: IndexFile, tables: Tables, wall_ns: Callable[[], int]) -> None:
        self._file = file
        self._tables = tables
        self._wall_ns = wall_ns
        #: The tick that the last turn came to, of each kind and lane, where it was full: behind it others may be due.
        self._after: dict[tuple[str, int], int] = {}

    def collect(
        self, passed: Mapping[int, int], older_than_ns: int, set_aside: Iterable[int] = (), limit: int = COLLECTED_MAX
    ) -> int:
        """Forgets tombstones that every group has passed (lane -> lowest cursor) and that are older than a wall-clock time, save
        those with the ticks in `set_aside`, and commits. It looks at `limit` of each lane, the oldest first, and goes on behind
        them the next time; directories without rows go too. Returns how many were forgotten."""
        file, kept, total = self._file, set(set_aside), 0
        file.begin()
        emptied: set[tuple[int]] = set()
        for lane, cursor in passed.items():
            for tick in self._due(_NEXT, lane, cursor, older_than_ns, kept, limit):
                emptied.update(file.db.execute(_FORGET, (lane, tick)).fetchall())
                file.note_collected(tick)
                total += 1
        for tick in self._due(_NEXT_UNSAID, LEFT_OUT, passed.get(LEFT_OUT, 0), older_than_ns, kept, limit):
            file.db.execute(_UNSAY, (LEFT_OUT, tick))
            file.note_collected(tick)
        if total:
            self._tables.directories.forget_empty(emptied)
        file.commit()
        return total

    def _due(self, sql: str, lane: int, upto: int, older_than_ns: int, kept: Collection[int], limit: int) -> list[int]:
        """The ticks of the next tombstones that are to be forgotten.

        They end at the first one that is not old enough, since those behind it are younger. But it is no end that one is kept, or
        is of a time that is still to come, because the clock was set back: of such there may be any number, for years.
        """
        found = self._file.db.execute(sql, (lane, self._after.pop((sql, lane), 0), upto, limit)).fetchall()
        now = self._wall_ns()
        due: list[int] = []
        for tick, at_ns in found:
            if older_than_ns <= at_ns <= now:
                return due
            if at_ns < older_than_ns and tick not in kept:
                due.append(tick)
        if len(found) == limit:
            self._after[sql, lane] = found[-1][0]
        return due
