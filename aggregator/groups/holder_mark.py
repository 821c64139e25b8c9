"""The mark of a group in the index: how rows note that the group holds their paths. Pure.

What the rows do not say of a group, `index.holders` knows from here.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..index.row import Row
from .index_port import IndexPort
from .lane import Lane
from .unit import Part


class HolderMark:
    """One bit of the `held` of rows, and since when it speaks of this group.

    Args:
        bit: the group's place in the `held` of rows; less than 0 where it has none yet.
        begun: last tick given when the group began: it holds nothing of what has a tick up to it but by its position.
    """

    __slots__ = ("begun", "bit")

    def __init__(self, bit: int, begun: int) -> None:
        self.bit = bit
        self.begun = begun

    def take_bit(self, bit: int) -> None:
        """A group of the first format gets its place in the rows."""
        self.bit = bit

    def begin(self, tick: int) -> None:
        """The group begins, and this is the last tick given."""
        self.begun = tick

    def is_on(self, row: Row) -> bool:
        """Whether the group held the path when the row got its tick."""
        return row.tick > self.begun and bool(row.held >> self.bit & 1)

    # -- what the index is told

    def place(self, index: IndexPort, base: int) -> None:
        """The index knows nothing of the group yet. `base`: the tick that it has come to in every lane."""
        index.holders.place(self.bit, self.begun, base)

    def reach(self, index: IndexPort, number: int, lane: Lane) -> None:
        """What the index must know before a row of the lane changes: where the group is."""
        index.note_handed(number, lane.reached())
        index.holders.reach(self.bit, number, lane.reached(), lane.scan)
        index.holders.skip(self.bit, number, *lane.skipped)

    def meet_deletions(self, index: IndexPort, gone: Iterable[tuple[int, int]]) -> None:
        """The group has come to these rows (lane, tick), which say that a path is gone. Idempotent."""
        index.holders.deletions_pending(self.bit, gone)

    def acknowledge(self, index: IndexPort, parts: Iterable[Part]) -> None:
        """The group has applied these rows, whatever they say. Idempotent."""
        for part in parts:
            index.holders.acknowledged(self.bit, part.lane, part.ticks)

    def remove(self, index: IndexPort) -> None:
        """The group is gone, or holds nothing any more. Idempotent."""
        index.holders.remove(self.bit)
