"""The units of a group that are to be handed out again, and when. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from .journal import Journal, UnitChanged, UnitGone
from .unit import Part, Unit
from .unit_numbers import UnitNumbers


class Redeliveries:
    """All of one group, none of which is on lease. Every method that changes something leaves it in `journal`.

    Times are seconds of the caller's clock.
    """

    def __init__(self, journal: Journal, numbers: UnitNumbers, units: Iterable[Unit]) -> None:
        self._journal = journal
        self._numbers = numbers
        #: A heap by (due, number).
        self._units = list(units)
        heapq.heapify(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        """In no order."""
        return iter(self._units)

    def first_due(self, now: float) -> Unit | None:
        """The unit that is to be handed out again first, if it is due."""
        return self._units[0] if self._units and self._units[0].due <= now else None

    def next_due(self) -> float:
        """When the first one becomes due, or became it; infinity where there is none."""
        return self._units[0].due if self._units else float("inf")

    def add(self, parts: list[Part], due: float, failures: int = 0) -> None:
        """A new unit that is to be handed out at `due` or later."""
        self.give_back(Unit(self._numbers.take(), parts, failures=failures), due)

    def give_back(self, unit: Unit, due: float) -> None:
        """A unit that is not on lease is to be handed out again, at `due` or later."""
        unit.give_back(due)
        heapq.heappush(self._units, unit)
        self._journal.note(UnitChanged(unit))

    def drop(self, unit: Unit) -> None:
        """A unit whose lease has ended is not handed out again as it is."""
        self._journal.note(UnitGone(unit.number))

    def take_first(self) -> Unit:
        """Removes the unit that is to be handed out again first, and gives it."""
        unit = heapq.heappop(self._units)
        self._journal.note(UnitGone(unit.number))
        return unit

    def make_due(self, now: float) -> None:
        """All of them may be handed out at once."""
        for unit in self._units:
            unit.move_due(now)
        heapq.heapify(self._units)

    def give_up(self, lane: int, low: int) -> None:
        """Rows of the lane with a later tick are not handed out again."""
        for unit in self._units:
            if lane in unit.low:
                unit.give_up(lane, low)
                self._journal.note(UnitChanged(unit) if unit.low else UnitGone(unit.number))
        self._units = [unit for unit in self._units if unit.low or unit.fresh]
        heapq.heapify(self._units)

    def clear(self) -> None:
        """None is handed out again. For `Units.revoke`, which leaves in the journal that all units are gone."""
        self._units = []
