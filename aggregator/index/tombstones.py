"""Tombstones: the rows of paths that are gone, kept while a group must be told or may move back. Used by `index` only.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

#: Tombstones that are looked at in one turn: some 100 ms.
COLLECTED_MAX: Final = 20_000
#: Forgets a directory without rows, by its id.
FORGET_DIRECTORY: Final = "DELETE FROM directory WHERE id=?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE dir=?1)"
_OLDEST: Final = "SELECT tick, at_ns FROM entry WHERE lane=? AND tick<=? AND kind=0 ORDER BY tick LIMIT ?"
_FORGET: Final = "DELETE FROM entry WHERE lane=? AND tick=? RETURNING dir"


def collect(
    db: Any, passed: Mapping[int, int], older_than_ns: int, parked: Container[int], limit: int = COLLECTED_MAX
) -> tuple[int, int]:
    """Forgets tombstones that every group has passed (lane -> lowest cursor) and that are older than a wall-clock time, save
    those with the ticks in `parked`, within the caller's transaction. It looks at the `limit` oldest of each lane;
    directories without rows go too. Returns how many were forgotten, and the highest tick of them, or 0."""
    total = highest = 0
    for lane, cursor in passed.items():
        emptied: set[tuple[int]] = set()
        for tick, at_ns in db.execute(_OLDEST, (lane, cursor, limit)).fetchall():
            if at_ns < older_than_ns and tick not in parked:
                emptied.update(db.execute(_FORGET, (lane, tick)).fetchall())
                highest = max(highest, tick)
                total += 1
        db.executemany(FORGET_DIRECTORY, list(emptied))
    return total, highest
