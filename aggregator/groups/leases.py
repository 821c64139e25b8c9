"""The units of a group that are on lease. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .ended import EndedBatches
from .journal import Journal, LeaseBegun, LeaseMoved, UnitChanged, UnitGone
from .lease_terms import LeaseTerms
from .unit import Unit
from .unit_numbers import UnitNumbers

#: Why a batch that was pulled ahead is not its worker's any more.
NOT_BEGUN: Final = "it was pulled ahead, and not begun in time"


class Leases:
    """All of one group. Every method that changes something leaves it in `journal`.

    Times are seconds of the caller's clock.

    Args:
        ended: where a lease that ends without an ack is remembered.
    """

    def __init__(self, journal: Journal, numbers: UnitNumbers, ended: EndedBatches, units: Iterable[Unit]) -> None:
        self._journal = journal
        self._numbers = numbers
        self._ended = ended
        self._units = {unit.number: unit for unit in units}
        #: Of these, what is pulled ahead, the oldest first.
        self._ahead: dict[int, Unit] = {}
        #: Of these, what was handed to pulls with a number, by that.
        self._once = {unit.once: unit for unit in self._units.values() if unit.once}
        #: No lease ends earlier.
        self.expiry = self._first_end()

    # -- what there is

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units.values())

    def ahead(self) -> list[Unit]:
        """Those that are pulled ahead, the oldest first."""
        return list(self._ahead.values())

    def get(self, number: int) -> Unit | None:
        """The unit of that number if it is on lease."""
        return self._units.get(number)

    def handed_to(self, worker: str, once: int, peer: bytes) -> Unit | None:
        """The unit on lease that was handed to the pull of this worker with this number, unless that came on this connection: the
        reply to it comes first then."""
        unit = self._once.get(once)
        return unit if unit is not None and unit.worker == worker and unit.peer != peer else None

    def _first_end(self) -> float:
        return min((unit.due for unit in self._units.values()), default=float("inf"))

    # -- what happens to them

    def lease(self, unit: Unit, terms: LeaseTerms) -> None:
        """The unit is handed to a worker, under a new number."""
        unit.lease(self._numbers.take(), terms)
        self._units[unit.number] = unit
        if terms.ahead:
            self._ahead[unit.number] = unit
        if terms.once:
            self._once[terms.once] = unit
        self.expiry = min(self.expiry, terms.due)
        self._journal.note(UnitChanged(unit))

    def extend(self, unit: Unit, due: float) -> None:
        unit.move_due(due)
        self.expiry = min(self.expiry, due)
        self._journal.note(LeaseBegun(unit.number, due, unit.worker) if unit.ahead else LeaseMoved(unit.number, due))
        self._begin(unit)

    def _begin(self, unit: Unit) -> None:
        self._ahead.pop(unit.number, None)
        unit.begin()

    def delay(self, by: float) -> None:
        """All leases end later."""
        for unit in self._units.values():
            unit.move_due(unit.due + by)
            if not unit.ahead:
                self._journal.note(LeaseMoved(unit.number, unit.due))
        self.expiry += by

    def acked(self, unit: Unit) -> None:
        """A unit on lease is done."""
        self._take_off(unit)
        self._journal.note(UnitGone(unit.number))

    def shrunk(self, unit: Unit) -> None:
        """A unit on lease has fewer rows than before: its worker has begun it."""
        self._begin(unit)
        self._journal.note(UnitChanged(unit))

    def end(self, unit: Unit, reason: str) -> None:
        """A lease ends without an ack. What becomes of the unit is for the caller to say: `Redeliveries.give_back` or `drop`."""
        self._take_off(unit)
        self._ended.remember(unit.number, reason)

    def _take_off(self, unit: Unit) -> None:
        del self._units[unit.number]
        self._ahead.pop(unit.number, None)
        if self._once.get(unit.once) is unit:
            del self._once[unit.once]

    def end_expired(self, now: float) -> list[Unit]:
        """`end`s the leases that are over, and gives their units."""
        if now < self.expiry:
            return []
        over = [unit for unit in self._units.values() if unit.due <= now]
        for unit in over:
            self.end(unit, NOT_BEGUN if unit.ahead else f"its lease expired after attempt {unit.failures + 1}")
        self.expiry = self._first_end()
        return over

    def clear(self, reason: str) -> None:
        """All of them end, and are remembered with the reason. For `Units.revoke`, which leaves in the journal that all units are
        gone."""
        for number in self._units:
            self._ended.remember(number, reason)
        self._units, self._ahead, self._once = {}, {}, {}

    # -- for people

    def describe(self, token: str, now: float) -> list[dict[str, object]]:
        """For `groups` and `status`."""
        return [
            {
                "batch": f"{token}-{unit.number}",
                "worker": unit.worker,
                "paths": unit.paths(),
                "attempt": unit.failures + 1,
                "ends_in_s": round(unit.due - now, 1),
                **({"ahead": True} if unit.ahead else {}),
            }
            for unit in self._units.values()
        ]
