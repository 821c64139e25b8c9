"""Tombstones: the rows of paths that are gone. They are kept while a group must learn of the deletion or may move back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .file import IndexFile
from .tables import Tables

#: Tombstones that are looked at in one turn: some 100 ms.
COLLECTED_MAX: Final = 20_000
_OLDEST: Final = "SELECT tick, at_ns FROM entry WHERE lane=? AND tick<=? AND kind=0 ORDER BY tick LIMIT ?"
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
        if total:
            self._tables.forget_empty(emptied)
        file.commit()
        return total
