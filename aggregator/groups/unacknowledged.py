"""What a group has not acknowledged yet, and how far it therefore is. Pure: questions only.

That is exactly: the units (`units`: on lease, or due again), what is held (`position`), what is set aside (`set_aside`), and
what the scan has not passed yet. The low-water cursor, all ticks up to which are acked, follows from the units and the
position, and is never stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .holder_mark import HolderMark
from .index_port import IndexPort
from .position import Position
from .set_aside import SetAside
from .units import Units

#: Rows of a lane that are read at a time to see whether anything is owed. Mostly the first one tells.
OWED_MAX: Final = 1_000


class Unacknowledged:
    """All of one group. Where a tick is asked about, everything up to it is meant."""

    def __init__(self, mark: HolderMark, position: Position, units: Units, set_aside: SetAside) -> None:
        self._mark = mark
        self._position = position
        self._units = units
        self._set_aside = set_aside

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """(lane, ticks) of all that the scan has passed and nobody has acknowledged."""
        for unit in self._units:
            for part in unit.parts:
                yield part.lane, part.ticks
        yield from self._position.held()
        for path in self._set_aside:
            yield path.lane, [path.tick]

    def cursor(self, number: int) -> int:
        """The low-water cursor: every tick of the lane up to it is acked, skipped or set aside. O(units + held)."""
        return self._units.low(number, self._position.low(number)) - 1

    def is_handed_out(self, index: IndexPort, tick: int) -> bool:
        """Whether everything that the group is told of is on lease or acked. False also where that needs more than one look at a
        lane; a pull then has something to pass. O(lanes + held + failed batches)."""
        if any(low <= tick for unit in self._units.redeliveries for low in unit.low.values()):
            return False
        for number in index.lanes():
            lane = self._position.lanes().get(number)
            if lane is not None and any(held <= tick for held in lane.held()):
                return False
            found = index.pending(number, self._position.scan(number), 1)
            if not found.covers(tick) or any(row.tick <= tick for row in found.rows):
                return False
        return True

    def is_over(self, index: IndexPort, tick: int) -> bool:
        """Whether everything is acked or set aside, or is nothing that the group is told of. False also until a pull has passed
        more than OWED_MAX deletions in a row that the group is not told of. O(lanes + held + batches)."""
        if any(low <= tick for unit in self._units for low in unit.low.values()):
            return False
        if any(held <= tick for _, ticks in self._position.held() for held in ticks):
            return False
        return not any(self._owes(index, number, tick) for number in index.lanes())

    def _owes(self, index: IndexPort, number: int, tick: int) -> bool:
        """Whether any row of a lane up to `tick` that was not considered yet is one that the group is to be told of."""
        found = index.pending(number, self._position.scan(number), OWED_MAX)
        known = (row for row in found.rows if row.tick <= tick)
        return any(row.kind or self._mark.is_on(row) for row in known) or not found.covers(tick)
