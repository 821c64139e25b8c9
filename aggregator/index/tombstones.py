"""Tombstones: the rows of paths that are gone. They are kept while a group must learn of the deletion or may move back.

The row of a directory that is there, but is an event no more (`row.LEFT_OUT`), is kept as such for just as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .file import IndexFile
from .row import LEFT_OUT
from .tables import Tables

#: Tombstones that are looked at in one turn: some 100 ms.
COLLECTED_MAX: Final = 20_000
_OLDEST: Final = "SELECT tick, at_ns FROM entry WHERE lane=? AND tick<=? AND kind=0 ORDER BY tick LIMIT ?"
#: The same of directories which are there, and of which groups are told that they are gone.
_OLDEST_UNSAID: Final = "SELECT tick, at_ns FROM entry WHERE lane=? AND tick<=? AND kind<>0 ORDER BY tick LIMIT ?"
_UNSAY: Final = "UPDATE entry SET lane=NULL, tick=0, held=0 WHERE lane=? AND tick=?"
_FORGET: Final = "DELETE FROM entry WHERE lane=? AND tick=? RETURNING dir"


class Tombstones:
    """The tombstones of one index."""

    def __init__(self, file: IndexFile, tables: Tables) -> None:
        self._file = file
        self._tables = tables

    def collect(
        self, passed: Mapping[int, int], older_than_ns: int, set_aside: Iterable[int] = (), limit: int = COLLECTED_MAX
    ) -> int:
        """Forgets tombstones that every group has passed (lane -> lowest cursor) and that are older than a wall-clock time, save
        those with the ticks in `set_aside`, and commits. It looks at the `limit` oldest of each lane; directories without rows go
        too. Returns how many were forgotten."""
        file, kept, total = self._file, set(set_aside), 0
        file.begin()
        emptied: set[tuple[int]] = set()
        for lane, cursor in passed.items():
            for tick, at_ns in file.db.execute(_OLDEST, (lane, cursor, limit)).fetchall():
                if at_ns < older_than_ns and tick not in kept:
                    emptied.update(file.db.execute(_FORGET, (lane, tick)).fetchall())
                    file.note_collected(tick)
                    total += 1
        for tick, at_ns in file.db.execute(_OLDEST_UNSAID, (LEFT_OUT, passed.get(LEFT_OUT, 0), limit)).fetchall():
            if at_ns < older_than_ns and tick not in kept:
                file.db.execute(_UNSAY, (LEFT_OUT, tick))
                file.note_collected(tick)
        if total:
            self._tables.directories.forget_empty(emptied)
        file.commit()
        return total
