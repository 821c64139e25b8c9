"""Deletions that a group was handed and has not acknowledged. Pure; used by `group` only.

Whoever was handed a row holds what it says, except for a deletion: until that is acknowledged, the consumer may still have the
path, because a worker may die before it has applied the batch. If the path comes back and goes again meanwhile, the row has
another tick by then, so the deletion is not handed out again as it was; unless the group counts as holding the path, nobody
would tell it that the path is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .lease import Index, Part, RowTuple


class Deletions:
    """Of one group. `Holders` is told of each tick as of a row that was passed and not handed out."""

    def __init__(self, bit: int) -> None:
        self._bit = bit
        self._ticks: dict[int, set[int]] = {}

    def handed(self, index: Index, chunks: Iterable[Sequence[RowTuple]], parts: Iterable[Part]) -> None:
        """Rows of `chunks` were handed out as `parts`. Call before any row changes."""
        gone = {row[0] for rows in chunks for row in rows if not row[3]}
        for part in parts:
            for tick in gone.intersection(part.ticks):
                self._ticks.setdefault(part.lane, set()).add(tick)
                index.holders.wait(self._bit, part.lane, tick)

    def load(self, index: Index, parts: Iterable[Part]) -> None:
        """After a start: what these parts, all of which are not acknowledged, have of deletions."""
        self._ticks = {}
        for part in parts:
            self.handed(index, [index.rows_at(part.lane, part.ticks)], [part])

    def settled(self, index: Index, parts: Iterable[Part]) -> None:
        """These parts were acknowledged, or no row carries their ticks any more."""
        for part in parts:
            if ticks := self._ticks.get(part.lane):
                for tick in ticks.intersection(part.ticks):
                    ticks.discard(tick)
                    index.holders.waits_no_more(self._bit, part.lane, tick)
