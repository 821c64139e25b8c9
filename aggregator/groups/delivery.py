"""What of the changes is handed out to a group, and what comes next. Pure.

The index re-stamps a changed row only if its tick was noted as handed. So whenever a scan passes a tick, handed out or not,
the index is told (`HolderMark.reach`): a row that was skipped would otherwise change behind the scan and never be seen.
"""

from __future__ import annotations

from .batch import GroupBatch, NoBatch
from .choice import Selection
from .holder_mark import HolderMark
from .index_port import IndexPort
from .lane import Lane
from .lease_terms import LeaseTerms
from .position import Position
from .set_aside import SetAside
from .unacknowledged import Unacknowledged
from .unit import Unit
from .units import Units


class Delivery:
    """Moves rows from the index to units, and the position with them. How units end is for `outcomes` to say."""

    def __init__(
        self, mark: HolderMark, position: Position, units: Units, set_aside: SetAside, unacknowledged: Unacknowledged
    ) -> None:
        self._mark = mark
        self._position = position
        self._units = units
        self._set_aside = set_aside
        self._unacknowledged = unacknowledged
        #: Whether the last pull or peek found nothing in as many rows as one call may look at: pull again.
        self.unfinished = False
        #: The last tick of the index at which everything was handed out; -1: something may be left. Most pulls come right after
        #: an ack, when nothing is.
        self._dry_at = -1

    # -- where it goes on

    def begin(self, index: IndexPort, tick: int, handed: int) -> None:
        """Everything up to `tick` counts as acked, everything up to `handed` as known."""
        self._dry_at = -1
        self._mark.begin(index.tick)
        self._position.begin(tick, handed)

    def keep(self, index: IndexPort, tick: int) -> None:
        """Everything up to `tick` counts as handed out, in every lane, and the scan stays where it is."""
        self._dry_at = -1
        self._position.begin(self._position.base_scan, tick)
        self.tell(index)

    def tell(self, index: IndexPort) -> None:
        """Tells the index, which knows nothing of it yet, what the group holds."""
        self._mark.place(index, self._position.base_reached())
        for number in self._lane_numbers(index):
            self._mark.reach(index, number, self._position.lane(number))
        for number, ticks in self._unacknowledged:
            self._mark.meet_deletions(index, [(number, row.tick) for row in index.rows_at(number, ticks) if not row.kind])

    def fence(self) -> None:
        """Paths that are on lease since before the last start are handed out to nobody else."""
        self._position.fence(self._units.leases)

    def forget(self, reason: str) -> None:
        """Leases are revoked, and everything is pending."""
        self._units.revoke(reason)
        self._position.begin(0, 0)
        self._set_aside.clear()

    def collapse(self, reason: str) -> None:
        """Rows have other lanes now (other priorities): what is not acked is handed out again, from each lane's cursor on."""
        self._dry_at = -1
        cursor = self._unacknowledged.cursor
        lanes = {n: Lane(cursor(n), lane.reached(), lane.skipped) for n, lane in self._position.lanes().items()}
        self._units.revoke(reason)
        self._position.forget()
        self._position.replace(lanes)

    def seek(self, index: IndexPort, tick: int) -> None:
        """What is later than `tick` is handed out again, leases stay."""
        self._dry_at = -1
        for number in self._lane_numbers(index):
            # Forward: everything pending up to `tick` is given up. Backward: the scan will meet it again.
            low = tick if tick < self._position.scan(number) else -1
            self._units.redeliveries.give_up(number, low)
            self._position.seek(number, tick, low)
            self._mark.reach(index, number, self._position.lane(number))
            self._position.changed(number)
        self._position.seek_unmet(tick)

    def _lane_numbers(self, index: IndexPort) -> set[int]:
        return {*index.lanes(), *self._position.lanes()}

    # -- what comes next

    def look_anew(self) -> None:
        """Another pull or peek begins, and has left nothing unfinished yet."""
        self.unfinished = False

    def pull(self, index: IndexPort, now: float, limit: int, terms: LeaseTerms) -> GroupBatch | NoBatch:
        """The next batch, leased on these terms; EMPTY where there is none. As of `Group.pull`, of a group that is active."""
        if self._dry_at == index.tick and not self._units.redeliveries:
            return NoBatch.EMPTY
        choice = self._choose(index, now, limit)
        unit = self._take(index, choice, now)
        # What is held back becomes free without another tick.
        whole = choice.unit is None and not choice.more and not self._position.held_count()
        self._dry_at = index.tick if whole else -1
        if unit is None:
            return NoBatch.EMPTY
        self.lease(unit, terms)
        choice.pair()
        unit.take_moves(choice.moves)
        return GroupBatch(unit.number, unit.failures + 1, unit.due, choice.events, choice.more)

    def peek(self, index: IndexPort, now: float, limit: int) -> GroupBatch | NoBatch:
        """What `pull` would hand out; nothing is leased, and no position moves."""
        choice = self._choose(index, now, limit)
        choice.pair()
        return GroupBatch(0, 1, now, choice.events, choice.more) if choice.events else NoBatch.EMPTY

    def lease(self, unit: Unit, terms: LeaseTerms) -> None:
        """The unit is handed to a worker."""
        self._units.leases.lease(unit, terms)
        self._position.lease(unit)

    def _choose(self, index: IndexPort, now: float, limit: int) -> Selection:
        """What comes next: a unit that is to be handed out again, else what is new. Nothing is taken yet."""
        choice = self._choose_again(index, now, limit)
        if choice is None:
            choice = self._choose_new(index, limit)
        self.unfinished = choice.unfinished
        return choice

    def _choose_again(self, index: IndexPort, now: float, limit: int) -> Selection | None:
        """The first unit that is due. Units of which no row is left to be handed out are dropped."""
        while (unit := self._units.redeliveries.first_due(now)) is not None:
            choice = Selection(self._mark)
            if choice.again(index, unit, self._position.lane, limit):
                return choice
            self._units.redeliveries.take_first()
            self._pass(index, choice)
        return None

    def _choose_new(self, index: IndexPort, limit: int) -> Selection:
        choice = Selection(self._mark)
        for number in index.lanes():
            if not choice.fill(index, number, self._position.lane(number), limit):
                break
        return choice

    def _take(self, index: IndexPort, choice: Selection, now: float) -> Unit | None:
        """Makes a choice come true, save for the lease; None if nothing is handed out."""
        self._pass(index, choice)
        return self._take_new(index, choice) if choice.unit is None else self._take_again(choice, now)

    def _pass(self, index: IndexPort, choice: Selection) -> None:
        """Rows that could not go wait for their path; deletions, whether they went or wait, count once they are acked."""
        for number, count in choice.late.items():
            self._position.take_late(number, count)
        self._position.hold(choice.held)
        self._mark.meet_deletions(index, choice.gone)

    def _take_new(self, index: IndexPort, choice: Selection) -> Unit | None:
        """Moves the position past all that was considered."""
        position = self._position
        parts = [part for part in choice.parts if part.ticks]
        seen = max((*choice.scans.values(), position.highest_scan()))
        for number, scan in choice.scans.items():
            # A lane with nothing behind its scan has considered all that was visible in any lane.
            position.lane(number).consider(seen if number in choice.whole else scan)
        for part in parts:
            position.lane(part.lane).hand_out(part)
            if len(self._set_aside):
                for key in part.keys or ():
                    self._set_aside.take_back(key)
        for number in choice.scans:
            self._mark.reach(index, number, position.lane(number))
            if parts or choice.held or choice.late:
                position.changed(number)
        return Unit(0, parts) if parts else None

    def _take_again(self, choice: Selection, now: float) -> Unit:
        """Takes a unit's first rows; what does not fit stays behind as a unit of its own."""
        unit = self._units.redeliveries.take_first()
        rest = unit.narrow(choice.parts, len(choice.events))
        if rest:
            self._units.redeliveries.add(rest, now, unit.failures)
        return unit
