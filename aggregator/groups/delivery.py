"""What of the changes has been handed out to a group, and what comes next. Pure.

What is not acked yet is exactly: the units (`leases`: on lease, or due again), what is held (`position`), and what is set aside
(`set_aside`). The low-water cursor, all ticks up to which are acked, follows from the first two and is never stored.

The index re-stamps a changed row only if its tick was noted as handed. So whenever a scan passes a tick, handed out or not,
the index is told (`note_handed`): a row that was skipped would otherwise change behind the scan and never be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from ..index.row import Row
from .choice import Selection, kind_told
from .index_port import IndexPort
from .journal import Journal
from .lane import Lane
from .lease_terms import LeaseTerms
from .position import Position
from .record import GroupRecord, SetAsidePath
from .set_aside import SetAside
from .standing import standing_of
from .unit import Part, Unit
from .units import Units

#: First and longest pause before a batch that failed is handed out again, seconds; doubled at each failure.
RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 30.0
#: Rows of a lane that are read at a time to see whether anything is owed. Mostly the first one tells.
OWED_MAX: Final = 1_000


class Delivery:
    """Moves rows from the index to units, and units to where they belong when they end. Every method that changes something
    leaves it in `journal`.

    Args:
        record: the group as it was stored.
        units: of the group.
        attempts_max: failures after which a batch is handed out in pieces, and a lone path set aside.
    """

    def __init__(self, journal: Journal, record: GroupRecord, units: Units, attempts_max: int) -> None:
        row = record.row
        #: The group's place in the `held` of rows.
        self.bit = row.bit
        #: Last tick given when it began: it holds nothing of what has a tick up to it but by its position.
        self.begun = row.begun
        self.position = Position(journal, row.base_scan, row.base_handed, record.lanes)
        self.set_aside = SetAside(journal, record.set_aside)
        self._units = units
        self._attempts_max = attempts_max

    # -- where it is

    def begin(self, index: IndexPort, tick: int, handed: int) -> None:
        """Everything up to `tick` counts as acked, everything up to `handed` as known."""
        self.begun = index.tick
        self.position.begin(tick, handed)

    def keep(self, index: IndexPort, tick: int) -> None:
        """Everything up to `tick` counts as handed out, in every lane, and the scan stays where it is."""
        self.position.begin(self.position.base_scan, tick)
        self.tell(index)

    def take_bit(self, bit: int) -> None:
        self.bit = bit

    def tell(self, index: IndexPort) -> None:
        """Tells the index, which knows nothing of it yet, what the group holds."""
        index.holders.place(self.bit, self.begun, self.position.base_reached())
        for number in self._lane_numbers(index):
            self._tell_position(index, number)
        for number, ticks in self._unacked():
            gone = [(number, row.tick) for row in index.rows_at(number, ticks) if not row.kind]
            index.holders.deletions_pending(self.bit, gone)

    def fence(self) -> None:
        """Paths that are on lease since before the last start are handed out to nobody else."""
        self.position.fence(self._units.leases)

    def forget(self, reason: str) -> None:
        """Leases are revoked, and everything is pending."""
        self._units.revoke(reason)
        self.position.begin(0, 0)
        self.set_aside.clear()

    def collapse(self, reason: str) -> None:
        """Rows have other lanes now (other priorities): what is not acked is handed out again, from each lane's cursor on."""
        lanes = {n: Lane(self.cursor(n), lane.reached(), lane.skipped) for n, lane in self.position.lanes().items()}
        self._units.revoke(reason)
        self.position.forget()
        self.position.replace(lanes)

    def seek(self, index: IndexPort, tick: int) -> None:
        """What is later than `tick` is handed out again, leases stay."""
        for number in self._lane_numbers(index):
            # Forward: everything pending up to `tick` is given up. Backward: the scan will meet it again.
            low = tick if tick < self.position.scan(number) else -1
            self._units.redeliveries.give_up(number, low)
            self.position.seek(number, tick, low)
            self._tell_position(index, number)
            self.position.changed(number)
        self.position.seek_unmet(tick)

    def cursor(self, number: int) -> int:
        """The low-water cursor: every tick of the lane up to it is acked, skipped or set aside. O(units + held)."""
        return self._units.low(number, self.position.low(number)) - 1

    def has_passed(self, index: IndexPort, tick: int) -> bool:
        """Whether everything up to `tick` that the group is told of is on lease or acked. False also where that needs more than
        one look at a lane; a pull then has something to pass. O(lanes + held + failed batches)."""
        if any(low <= tick for unit in self._units.redeliveries for low in unit.low.values()):
            return False
        for number in index.lanes():
            lane = self.position.lanes().get(number)
            if lane is not None and any(held <= tick for held in lane.held()):
                return False
            found = index.pending(number, self.position.scan(number), 1)
            if not found.covers(tick) or any(row.tick <= tick for row in found.rows):
                return False
        return True

    def standing(self, row: Row, now: float) -> dict[str, object]:
        """See `standing_of`."""
        held = row.tick > self.begun and bool(row.held >> self.bit & 1)
        return standing_of(row, self.position, self._units, self.set_aside, held=held, now=now)

    def has_acknowledged(self, index: IndexPort, tick: int) -> bool:
        """Whether everything up to `tick` is acked or set aside, or is nothing that the group is told of. False also until a pull
        has passed more than OWED_MAX deletions in a row that the group is not told of."""
        if any(low <= tick for unit in self._units for low in unit.low.values()):
            return False
        if any(held <= tick for _, ticks in self.position.held() for held in ticks):
            return False
        return not any(self._owes(index, number, tick) for number in index.lanes())

    def _owes(self, index: IndexPort, number: int, tick: int) -> bool:
        """Whether any row of a lane up to `tick` that was not considered yet is one that the group is to be told of."""
        found = index.pending(number, self.position.scan(number), OWED_MAX)
        known = (row for row in found.rows if row.tick <= tick)
        owed = any(row.kind or (row.tick > self.begun and row.held >> self.bit & 1) for row in known)
        return owed or not found.covers(tick)

    def _lane_numbers(self, index: IndexPort) -> set[int]:
        return {*index.lanes(), *self.position.lanes()}

    def _tell_position(self, index: IndexPort, number: int) -> None:
        """What the index must know before a row of the lane changes."""
        lane = self.position.lane(number)
        index.note_handed(number, lane.reached())
        index.holders.reach(self.bit, number, lane.reached(), lane.scan)
        index.holders.skip(self.bit, number, *lane.skipped)

    def _unacked(self) -> Iterator[tuple[int, list[int]]]:
        """(lane, ticks) of all that the scan has passed and nobody has acknowledged."""
        for unit in self._units:
            for part in unit.parts:
                yield part.lane, part.ticks
        yield from self.position.held()
        for path in self.set_aside:
            yield path.lane, [path.tick]

    # -- what comes next

    def choose(self, index: IndexPort, now: float, limit: int) -> Selection:
        """What comes next: a unit that is to be handed out again, else what is new. Nothing is taken yet; only units of which
        no row is left to be handed out are dropped."""
        while (unit := self._units.redeliveries.first_due(now)) is not None:
            choice = Selection(self.bit, self.begun)
            if choice.again(index, unit, self.position.lane, limit):
                return choice
            self._units.redeliveries.take_first()
            self._pass(index, choice)
        choice = Selection(self.bit, self.begun)
        for number in index.lanes():
            if not choice.fill(index, number, self.position.lane(number), limit):
                break
        return choice

    def take(self, index: IndexPort, choice: Selection, now: float) -> Unit | None:
        """Makes a choice come true, save for the lease; None if nothing is handed out."""
        self._pass(index, choice)
        return self._take_new(index, choice) if choice.unit is None else self._take_again(choice, now)

    def _pass(self, index: IndexPort, choice: Selection) -> None:
        """Rows that could not go wait for their path; deletions, whether they went or wait, count once they are acked."""
        for number, count in choice.late.items():
            self.position.take_late(number, count)
        self.position.hold(choice.held)
        index.holders.deletions_pending(self.bit, choice.gone)

    def _take_new(self, index: IndexPort, choice: Selection) -> Unit | None:
        """Moves the position past all that was considered."""
        position = self.position
        parts = [part for part in choice.parts if part.ticks]
        seen = max((*choice.scans.values(), position.highest_scan()))
        for number, scan in choice.scans.items():
            # A lane with nothing behind its scan has considered all that was visible in any lane.
            position.lane(number).consider(seen if number in choice.whole else scan)
        for part in parts:
            position.lane(part.lane).hand_out(part)
            if len(self.set_aside):
                for key in part.keys or ():
                    self.set_aside.take_back(key)
        for number in choice.scans:
            self._tell_position(index, number)
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

    def lease(self, unit: Unit, terms: LeaseTerms) -> None:
        """The unit is handed to a worker."""
        self._units.leases.lease(unit, terms)
        self.position.lease(unit)

    # -- how units end

    def acked(self, index: IndexPort, unit: Unit) -> None:
        """The unit is done."""
        self._units.leases.acked(unit)
        self.position.free(unit, self._units.leases)
        for part in unit.parts:
            index.holders.acknowledged(self.bit, part.lane, part.ticks)

    def acked_some(self, index: IndexPort, unit: Unit, ticks: Collection[int]) -> int:
        """The rows of the unit with these ticks are done, the others stay on lease. Number of the former."""
        done = unit.take_out(ticks)
        if not unit.parts:
            unit.parts = done.parts
            self.acked(index, unit)
        elif done.parts:
            self._units.leases.shrunk(unit)
            self.position.free(done, self._units.leases)
            for part in done.parts:
                index.holders.acknowledged(self.bit, part.lane, part.ticks)
        return done.paths()

    def give_back(self, unit: Unit, now: float, why: str) -> None:
        """The unit is handed out again at once, and that does not count as a failure."""
        self._units.leases.end(unit, why)
        self.position.free(unit, self._units.leases)
        self._units.redeliveries.give_back(unit, now)

    def nacked(
        self, index: IndexPort, unit: Unit, now: float, reason: str, retry_s: float | None = None, output: str = ""
    ) -> float:
        """A worker says that the unit failed; the pause until it is handed out again, seconds."""
        self._units.leases.end(unit, "it was nacked")
        return self._failed(index, unit, now, reason, retry_s, output)

    def nacked_some(
        self, index: IndexPort, unit: Unit, now: float, ticks: Collection[int], reason: str, retry_s: float | None, output: str
    ) -> float:
        """A worker says that the rows of the unit with these ticks failed, which are a unit of their own from then on; the others
        stay on lease. The pause, seconds; 0 if there are none."""
        failed = unit.take_out({*ticks, *self._deletions_of(index, unit, ticks)})
        if not unit.parts:
            unit.parts = failed.parts
            return self.nacked(index, unit, now, reason, retry_s, output)
        if not failed.parts:
            return 0.0
        self._units.leases.shrunk(unit)
        return self._failed(index, self._units.split(unit, failed.parts), now, reason, retry_s, output)

    def _deletions_of(self, index: IndexPort, unit: Unit, ticks: Collection[int]) -> set[int]:
        """The ticks of the deletions that events `moved` with these ticks stand for. After a restart it is not known what the
        events were: then that of every deletion, because none may be acknowledged that the worker has not applied."""
        if unit.moves is not None:
            return {unit.moves[tick] for tick in ticks if tick in unit.moves}
        if not any(tick in ticks for part in unit.parts for tick in part.ticks):
            return set()
        return {row.tick for part in unit.parts for row in index.rows_at(part.lane, part.ticks) if not row.kind}

    def expire(self, index: IndexPort, now: float) -> None:
        """Ends the leases that are over."""
        for unit in self._units.leases.end_expired(now):
            if unit.ahead:
                self.position.free(unit, self._units.leases)
                self._units.redeliveries.give_back(unit, now)
                continue
            self._failed(index, unit, now, "its lease expired" + (f" at worker {unit.worker}" * bool(unit.worker)), 0)

    def retry(self, now: float, places: Collection[bytes] | None = None) -> int:
        """Hands out again what was set aside at these paths or below them; None: everything. Number of paths."""
        paths = self.set_aside.take_back_at(places)
        for path in paths:
            self._units.redeliveries.add([Part(path.lane, path.handed, [path.tick])], now)
        return len(paths)

    def discard(self, index: IndexPort, places: Collection[bytes] | None = None) -> int:
        """Acknowledges what was set aside at these paths or below them; None: everything. Number of paths."""
        paths = self.set_aside.take_back_at(places)
        for path in paths:
            index.holders.acknowledged(self.bit, path.lane, [path.tick])
        return len(paths)

    def _failed(self, index: IndexPort, unit: Unit, now: float, reason: str, retry_s: float | None, output: str = "") -> float:
        """A unit whose lease has ended counts as failed; the pause until it is handed out again, seconds."""
        self.position.free(unit, self._units.leases)
        unit.fail(reason)
        pause_s = retry_pause_s(unit.failures) if retry_s is None else retry_s
        if unit.failures < self._attempts_max or unit.fresh:
            self._units.redeliveries.give_back(unit, now + pause_s)
            return pause_s
        self._units.redeliveries.drop(unit)
        if unit.paths() > 1:
            for piece in unit.pieces():
                self._units.redeliveries.add([piece], now)
        else:
            self._set_path_aside(index, unit, output)
        return pause_s

    def _set_path_aside(self, index: IndexPort, unit: Unit, output: str) -> None:
        """The only path of a unit; nothing where its row has moved on."""
        part = unit.parts[0]
        for row in index.rows_at(part.lane, part.ticks):
            path = SetAsidePath(part.lane, row.tick, part.handed, row.path, bool(row.directory), unit.failures, unit.reason)
            kind = "deleted" if not row.kind else kind_told(row, part, self.position.lane(part.lane), self.bit, self.begun)
            self.set_aside.add(path, kind, output)


def retry_pause_s(failures: int) -> float:
    """Seconds until a batch that has failed so often (once at least) is handed out again."""
    return min(RETRY_S_MAX, RETRY_S * 2.0 ** min(failures - 1, 16))
