"""All units of a group: those on lease, those that are to be handed out again, and how the others ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from .ended import EndedBatches
from .journal import Journal, UnitsGone
from .leases import Leases
from .record import GroupRecord
from .redeliveries import Redeliveries
from .unit import Part, Unit
from .unit_numbers import UnitNumbers


class Fate(Enum):
    """What has become of a batch."""

    LEASED = auto()
    ACKED = auto()
    #: It ended without an ack, or the group has never handed it out.
    ENDED = auto()


class Units:
    """What `leases`, `redeliveries` and `ended` say together. Every method that changes something leaves it in `journal`.

    Args:
        record: the group as it was stored.
    """

    def __init__(self, journal: Journal, record: GroupRecord) -> None:
        self._journal = journal
        self.numbers = UnitNumbers(journal, record.row.next_number)
        self.ended = EndedBatches(journal, record.row.ended_floor, record.ended)
        back = [unit for unit in record.units if not unit.leased]
        for unit in back:
            if unit.due == 0.0:
                self.ended.remember(unit.number, "it was pulled ahead, and the service was restarted before it was begun")
        self.leases = Leases(journal, self.numbers, self.ended, [unit for unit in record.units if unit.leased])
        self.redeliveries = Redeliveries(journal, self.numbers, back)

    def __iter__(self) -> Iterator[Unit]:
        yield from self.leases
        yield from self.redeliveries

    def low(self, lane: int, high: int) -> int:
        """Lowest tick of the lane in any unit, if it is less than `high`; else that."""
        return min([unit.low.get(lane, high) for unit in self], default=high)

    def fate(self, number: int) -> Fate:
        """What has become of the batch of that number."""
        if self.leases.get(number) is not None:
            return Fate.LEASED
        return Fate.ACKED if self.ended.was_acked(number, self.numbers.next) else Fate.ENDED

    def next_due(self, now: float) -> float:
        """When there is something to do again: a lease ends, a unit becomes due. What is due already only lacks a pull. Seconds
        of the caller's clock."""
        due = self.redeliveries.next_due()
        return min(self.leases.expiry, due) if due > now else self.leases.expiry

    def split(self, unit: Unit, parts: list[Part]) -> Unit:
        """A unit of its own, not on lease, of rows that were taken out of one. What becomes of it is for the caller to say:
        `Redeliveries.give_back` or `drop`."""
        return Unit(self.numbers.take(), parts, failures=unit.failures)

    def revoke(self, reason: str) -> None:
        """All leases end, and nothing is handed out again."""
        self.leases.clear(reason)
        self.redeliveries.clear()
        self._journal.note(UnitsGone())
