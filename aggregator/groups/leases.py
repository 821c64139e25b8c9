"""The units of a group: those on lease, those that are to be handed out again, and how the others ended. Pure.

Times are seconds of the caller's clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Final

from .journal import (
    BatchEnded,
    BatchForgotten,
    GroupChanged,
    Journal,
    LeaseBegun,
    LeaseMoved,
    UnitChanged,
    UnitGone,
    UnitsGone,
)
from .lease_terms import LeaseTerms
from .unit import Part, Unit

#: Batches of a group that ended without an ack and are remembered with the reason; an ack of an older one is refused too.
ENDED_MAX: Final = 1_000
#: First and longest pause before a batch that failed is handed out again, seconds; doubled at each failure.
RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 30.0
#: Numbers of units that are reserved at a time: the group's row is written once for so many leases. After a restart the numbers
#: go on behind those that were reserved, so that none is given twice.
NUMBERS_RESERVED: Final = 100
#: Why a batch that was pulled ahead is not its worker's any more.
NOT_BEGUN: Final = "it was pulled ahead, and not begun in time"


class Fate(Enum):
    """What has become of a batch."""

    LEASED = auto()
    ACKED = auto()
    #: It ended without an ack, or the group has never handed it out.
    ENDED = auto()


class Leases:
    """All units of one group. Every method that changes something leaves it in `journal`.

    Args:
        next_number: of the next unit. It was never given, and no later one.
        ended_floor: numbers below it are too old to tell a batch that was acked from one that failed.
        ended: why batches ended that were not acked, by number, the oldest first.
    """

    def __init__(
        self, journal: Journal, next_number: int, ended_floor: int, units: Iterable[Unit], ended: Mapping[int, str]
    ) -> None:
        self._journal = journal
        self.next_number = next_number
        #: What is stored as the next number. None of this or a later one has been given.
        self.reserved = next_number
        self.ended_floor = ended_floor
        self._leased: dict[int, Unit] = {}
        #: Of these, what is pulled ahead, the oldest first.
        self._ahead: dict[int, Unit] = {}
        #: Of these, what was handed to pulls with a number, by that.
        self._once: dict[int, Unit] = {}
        #: Those to be handed out again, a heap by (due, number).
        self._again: list[Unit] = []
        self._ended = dict(ended)
        for unit in units:
            if unit.leased:
                self._leased[unit.number] = unit
                if unit.once:
                    self._once[unit.once] = unit
                continue
            heapq.heappush(self._again, unit)
            if unit.due == 0.0:
                self._remember(unit.number, "it was pulled ahead, and the service was restarted before it was begun")
        #: No lease ends earlier.
        self._expiry = min((unit.due for unit in self._leased.values()), default=float("inf"))

    # -- what there is

    def leased(self) -> Iterable[Unit]:
        return self._leased.values()

    def again(self) -> Iterable[Unit]:
        """Those that are to be handed out again, in no order."""
        return self._again

    def __iter__(self) -> Iterator[Unit]:
        yield from self._leased.values()
        yield from self._again

    def leased_count(self) -> int:
        return len(self._leased)

    def ahead(self) -> list[Unit]:
        """Those on lease that are pulled ahead, the oldest first."""
        return list(self._ahead.values())

    def get(self, number: int) -> Unit | None:
        """The unit of that number if it is on lease."""
        return self._leased.get(number)

    def handed_to(self, worker: str, once: int, peer: bytes) -> Unit | None:
        """The unit on lease that was handed to the pull of this worker with this number, unless that came on this connection: the
        reply to it comes first then."""
        unit = self._once.get(once)
        return unit if unit is not None and unit.worker == worker and unit.peer != peer else None

    def fate(self, number: int) -> Fate:
        if number in self._leased:
            return Fate.LEASED
        if number not in self._ended and max(self.ended_floor, 1) <= number < self.next_number:
            return Fate.ACKED
        return Fate.ENDED

    def why_ended(self, number: int) -> str:
        return self._ended.get(number, "the group does not know it")

    def low(self, lane: int, high: int) -> int:
        """Lowest tick of the lane in any unit, if it is less than `high`; else that."""
        return min([unit.low.get(lane, high) for unit in self], default=high)

    def first_due(self, now: float) -> Unit | None:
        """The unit that is to be handed out again first, if it is due."""
        return self._again[0] if self._again and self._again[0].due <= now else None

    def next_due(self, now: float) -> float:
        """When there is something to do again: a lease ends, a unit becomes due. What is due already only lacks a pull."""
        due = self._again[0].due if self._again else now
        return min(self._expiry, due) if due > now else self._expiry

    # -- what happens to them

    def lease(self, unit: Unit, terms: LeaseTerms) -> None:
        """The unit is handed to a worker, under a new number."""
        unit.lease(self._number(), terms)
        self._leased[unit.number] = unit
        if terms.ahead:
            self._ahead[unit.number] = unit
        if terms.once:
            self._once[terms.once] = unit
        self._expiry = min(self._expiry, terms.due)
        self._journal.note(UnitChanged(unit))

    def _number(self) -> int:
        self.next_number += 1
        if self.next_number > self.reserved:
            self.reserved = self.next_number + NUMBERS_RESERVED
            self._journal.note(GroupChanged())
        return self.next_number - 1

    def extend(self, unit: Unit, due: float) -> None:
        unit.move_due(due)
        self._expiry = min(self._expiry, due)
        self._journal.note(LeaseBegun(unit.number, due, unit.worker) if unit.ahead else LeaseMoved(unit.number, due))
        self._begin(unit)

    def _begin(self, unit: Unit) -> None:
        self._ahead.pop(unit.number, None)
        unit.begin()

    def delay(self, by: float) -> None:
        """All leases end later."""
        for unit in self._leased.values():
            unit.move_due(unit.due + by)
            if not unit.ahead:
                self._journal.note(LeaseMoved(unit.number, unit.due))
        self._expiry += by

    def make_due(self, now: float) -> None:
        """Whatever is to be handed out again may be at once."""
        for unit in self._again:
            unit.move_due(now)
        heapq.heapify(self._again)

    def acked(self, unit: Unit) -> None:
        """A unit on lease is done."""
        self._take_off(unit)
        self._journal.note(UnitGone(unit.number))

    def shrunk(self, unit: Unit) -> None:
        """A unit on lease has fewer rows than before: its worker has begun it."""
        self._begin(unit)
        self._journal.note(UnitChanged(unit))

    def split(self, unit: Unit, parts: list[Part]) -> Unit:
        """A unit of its own, not on lease, of rows that were taken out of one. What becomes of it is for the caller to say:
        `give_back` or `drop`."""
        return Unit(self._number(), parts, failures=unit.failures)

    def end(self, unit: Unit, reason: str) -> None:
        """A lease ends without an ack. What becomes of the unit is for the caller to say: `give_back` or `drop`."""
        self._take_off(unit)
        self._remember(unit.number, reason)

    def _take_off(self, unit: Unit) -> None:
        del self._leased[unit.number]
        self._ahead.pop(unit.number, None)
        if self._once.get(unit.once) is unit:
            del self._once[unit.once]

    def end_expired(self, now: float) -> list[Unit]:
        """`end`s the leases that are over, and gives their units."""
        if now < self._expiry:
            return []
        over = [unit for unit in self._leased.values() if unit.due <= now]
        for unit in over:
            self.end(unit, NOT_BEGUN if unit.ahead else f"its lease expired after attempt {unit.failures + 1}")
        self._expiry = min((unit.due for unit in self._leased.values()), default=float("inf"))
        return over

    def _remember(self, number: int, reason: str) -> None:
        self._ended[number] = reason
        self._journal.note(BatchEnded(number, reason))
        if len(self._ended) > ENDED_MAX:
            first = next(iter(self._ended))
            del self._ended[first]
            self.ended_floor = max(self.ended_floor, first + 1)
            self._journal.note_all([BatchForgotten(first), GroupChanged()])

    def give_back(self, unit: Unit, due: float) -> None:
        """A unit that is not on lease is to be handed out again, at `due` or later."""
        unit.give_back(due)
        heapq.heappush(self._again, unit)
        self._journal.note(UnitChanged(unit))

    def drop(self, unit: Unit) -> None:
        """A unit whose lease has ended is not handed out again as it is."""
        self._journal.note(UnitGone(unit.number))

    def add(self, parts: list[Part], due: float, failures: int = 0) -> None:
        """A new unit that is to be handed out at `due` or later."""
        self.give_back(Unit(self._number(), parts, failures=failures), due)

    def take_first(self) -> Unit:
        """Removes the unit that is to be handed out again first, and gives it."""
        unit = heapq.heappop(self._again)
        self._journal.note(UnitGone(unit.number))
        return unit

    def give_up(self, lane: int, low: int) -> None:
        """Rows of the lane with a later tick are not handed out again."""
        for unit in self._again:
            if lane in unit.low:
                unit.give_up(lane, low)
                self._journal.note(UnitChanged(unit) if unit.low else UnitGone(unit.number))
        self._again = [unit for unit in self._again if unit.low or unit.fresh]
        heapq.heapify(self._again)

    def revoke(self, reason: str) -> None:
        """All leases end, and nothing is handed out again."""
        for number in self._leased:
            self._remember(number, reason)
        self._leased, self._ahead, self._once, self._again = {}, {}, {}, []
        self._journal.note(UnitsGone())

    # -- for people

    def describe(self, token: str, now: float) -> list[dict[str, object]]:
        """Those on lease, for `groups` and `status`."""
        return [
            {
                "batch": f"{token}-{unit.number}",
                "worker": unit.worker,
                "paths": unit.paths(),
                "attempt": unit.failures + 1,
                "ends_in_s": round(unit.due - now, 1),
                **({"ahead": True} if unit.ahead else {}),
            }
            for unit in self._leased.values()
        ]


def retry_pause_s(failures: int) -> float:
    """Seconds until a batch that has failed so often (once at least) is handed out again."""
    return min(RETRY_S_MAX, RETRY_S * 2.0 ** min(failures - 1, 16))
