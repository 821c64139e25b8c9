"""One group: its life, and by that, what its parts hand out and say.

Pure: no I/O and no clock of its own (`now` is passed in: seconds of a clock that only goes forward and that all processes of
one boot share, `time.monotonic`). What must become durable is left in the journal, in order; `store` writes it, and nothing
that a call returned may leave the process before that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from ..index.row import Row
from ..protocol.messages import Fresh
from .batch import GroupBatch, NoBatch
from .batches import Batches
from .delivery import Delivery
from .events import Events
from .holder_mark import HolderMark
from .index_port import IndexPort
from .journal import GroupChanged, Journal
from .lease_terms import LeaseTerms
from .outcomes import Outcomes
from .position import Position
from .record import GroupRecord, GroupRow
from .set_aside import SetAside
from .standing import Standing, standing_of
from .unacknowledged import Unacknowledged
from .unit import Unit
from .units import Units

#: Failures after which a batch is handed out in pieces, and a lone path set aside, where nothing else is said.
ATTEMPTS_MAX: Final = 5


class GroupState(StrEnum):
    """Where a group is in its life; as it is stored, and as `groups` shows it."""

    #: It begins when the baseline is there.
    WAITING = "waiting"
    ACTIVE = "active"
    #: Its consumer must be told to forget everything.
    FRESH = "fresh"
    #: As fresh; and it was not used for so long that only its name is kept.
    EXPIRED = "expired"


class Group:
    """One named consumer. Every method leaves what must be made durable in the journal.

    Its parts say for themselves what does not depend on its life: `batches` of what was handed out (extended, given back, failed
    and over), `set_aside` of paths that failed too often, `position` and `unacknowledged` of how far it has come.

    Args:
        record: the group as it was stored. Raises ValueError for a state that there is not.
        attempts_max: failures after which a batch is handed out in pieces, and a lone path set aside.
    """

    def __init__(self, record: GroupRecord, attempts_max: int) -> None:
        row = record.row
        self.key = row.key
        self.name = row.name
        self.created = row.created
        self.seen = row.seen
        self.state = GroupState(row.state)
        self.reason = row.reason
        self.incarnation = row.incarnation
        #: What must become durable of it; whoever changes a group leaves it here.
        self.journal = Journal()
        self.mark = HolderMark(row.bit, row.begun)
        self.position = Position(self.journal, row.base_scan, row.base_handed, record.lanes)
        self._units = units = Units(self.journal, record)
        self.set_aside = SetAside(self.journal, self.mark, units.redeliveries, record.set_aside)
        self.unacknowledged = Unacknowledged(self.mark, self.position, units, self.set_aside)
        self._delivery = Delivery(self.mark, self.position, units, self.set_aside, self.unacknowledged)
        outcomes = Outcomes(self.mark, self.position, units, self.set_aside, attempts_max)
        self.batches = Batches(row.token, units, outcomes)

    @classmethod
    def new(cls, key: int, name: str, token: str, created: float, *, bit: int = 0, attempts_max: int = ATTEMPTS_MAX) -> Group:
        """A group that was not there before, and has not begun. The arguments are those of `GroupRow`."""
        row = GroupRow(key, name, token, created, created, GroupState.WAITING.value, "", "", 0, 0, 1, 0, bit, 0)
        group = cls(GroupRecord(row), attempts_max)
        group.store_row()
        return group

    # -- on disk

    def row(self) -> GroupRow:
        """As `groups.db` has it."""
        position, units = self.position, self._units
        return GroupRow(
            key=self.key,
            name=self.name,
            token=self.batches.token,
            created=self.created,
            seen=self.seen,
            state=self.state.value,
            reason=self.reason,
            incarnation=self.incarnation,
            base_scan=position.base_scan,
            base_handed=position.base_handed,
            next_number=units.numbers.reserved,
            ended_floor=units.ended.floor,
            bit=self.mark.bit,
            begun=self.mark.begun,
        )

    def store_row(self) -> None:
        """The group's own row is written with the journal."""
        self.journal.note(GroupChanged())

    # -- its life

    def begin(self, index: IndexPort, tick: int, handed: int) -> None:
        """Puts the group at `tick`: everything up to it counts as acked, everything up to `handed` as known."""
        self.state, self.reason, self.incarnation = GroupState.ACTIVE, "", index.incarnation
        self._delivery.begin(index, tick, handed)
        self.store_row()
        self.attach(index)

    def keep(self, index: IndexPort, tick: int) -> None:
        """Counts everything up to `tick` as handed out, and nothing as acknowledged: a path that the group has held once it holds
        until its tombstone is forgotten."""
        self._delivery.keep(index, tick)
        self.store_row()

    def attach(self, index: IndexPort) -> None:
        """Tells the index what the group holds, and fences what is on lease. After begin, and after a start."""
        if self.state is GroupState.ACTIVE:
            self._delivery.tell(index)
        self._delivery.fence()

    def take_bit(self, bit: int) -> None:
        """A group of the first format gets its place in the rows."""
        self.mark.take_bit(bit)
        self.store_row()

    def lose_history(self, token: str, reason: str) -> None:
        """What was handed out before is not known any more: batches of then are another group's."""
        self.batches.rename(token)
        self.refresh(reason)

    def refresh(self, reason: str) -> None:
        """The group must forget everything: its leases are revoked, and its next batch says so, alone."""
        self.state, self.reason = GroupState.FRESH, reason
        self._delivery.forget("the group was told to forget everything: " + reason)
        self.store_row()

    def abandon(self) -> None:
        """Not used for too long: only the name stays, so that a consumer that comes back is told to forget everything."""
        self.refresh("it was not used for longer than retention_days")
        self.state = GroupState.EXPIRED

    def collapse(self, reason: str) -> None:
        """Rows have other lanes now (other priorities): what is not acked is handed out again, from each lane's cursor on."""
        self._delivery.collapse(reason)
        self.store_row()

    def use(self, wall: float) -> None:
        """Somebody uses it at that time of the wall clock."""
        self.seen = wall

    def shift_wall(self, by: float) -> None:
        """The wall clock was set: that is no disuse."""
        self.seen += by

    # -- position

    def low_water(self, index: IndexPort) -> int:
        """The lowest cursor of all lanes."""
        cursors = [self.unacknowledged.cursor(lane) for lane in index.lanes()] if self.state is GroupState.ACTIVE else []
        return min(cursors, default=self.position.base_scan)

    def has_handed_out(self, index: IndexPort, tick: int) -> bool:
        """Whether everything up to `tick` that the group is told of is on lease or acked. O(lanes + held + failed batches)."""
        if self.state is not GroupState.ACTIVE:
            return self.state is GroupState.WAITING  # it begins after all that
        return self.unacknowledged.is_handed_out(index, tick)

    def has_acknowledged(self, index: IndexPort, tick: int) -> bool:
        """Whether the group owes nothing of what has a tick up to this one: that is acked, set aside, or not told to the group.
        O(lanes + held + batches)."""
        current = self.state is GroupState.ACTIVE and self.incarnation == index.incarnation
        return current and self.unacknowledged.is_over(index, tick)

    def seek(self, index: IndexPort, tick: int) -> bool:
        """Goes to `tick`: what is later is handed out again, leases stay. False where the group must begin afresh instead,
        because deletions after `tick` are forgotten."""
        if self.state in (GroupState.FRESH, GroupState.EXPIRED):
            return False
        if tick < index.collected:
            self.refresh("it went back beyond the deletions that are kept")
            return False
        if self.state is GroupState.WAITING:
            self.begin(index, tick, 0)
            return True
        self._delivery.seek(index, tick)
        self.store_row()
        return True

    # -- handing out

    def pull(self, index: IndexPort, now: float, limit: int, terms: LeaseTerms, leases_max: int) -> GroupBatch | NoBatch:
        """The next batch, leased on these terms; or why there is none. Nothing that is pulled ahead is `fresh`.

        At most `limit` rows, each path once, no path that is on lease. O(1) amortised a row.

        Args:
            leases_max: with as many batches on lease there is none.
        """
        why = self._stopped(index, now)
        if why is not None:
            return why
        if self.state is not GroupState.ACTIVE:
            return NoBatch.FRESH if terms.ahead else self._pull_fresh(index, now, terms)
        if len(self._units.leases) >= leases_max:
            return NoBatch.LEASES
        return self._delivery.pull(index, now, limit, terms)

    def peek(self, index: IndexPort, now: float, limit: int) -> GroupBatch | NoBatch:
        """What a pull would hand out; nothing is leased, and no position moves."""
        why = self._stopped(index, now)
        if why is not None:
            return why
        if self.state is not GroupState.ACTIVE:
            return GroupBatch(0, 1, now, Events([Fresh(index.tick, self.reason)]), True)
        return self._delivery.peek(index, now, limit)

    @property
    def unfinished(self) -> bool:
        """Whether the last pull or peek found nothing in as many rows as one call may look at: pull again."""
        return self._delivery.unfinished

    def why_unserved(self, index: IndexPort, now: float, leases_max: int) -> NoBatch:
        """Why a pull that has waited until now got nothing."""
        found = self.peek(index, now, 1)
        if isinstance(found, NoBatch):
            return found
        return NoBatch.LEASES if len(self._units.leases) >= leases_max else NoBatch.TURN

    def _stopped(self, index: IndexPort, now: float) -> NoBatch | None:
        """Brings the group up to date; why nothing can be handed out whatever is pending, None if something can."""
        self._delivery.look_anew()
        self.batches.expire(index, now)
        if self.state is GroupState.WAITING:
            return NoBatch.BASELINE
        if self.state is GroupState.ACTIVE and self.incarnation != index.incarnation:
            self.refresh("the index was built anew")
        return NoBatch.FRESH if self.state is not GroupState.ACTIVE and len(self._units.leases) else None

    def _pull_fresh(self, index: IndexPort, now: float, terms: LeaseTerms) -> GroupBatch | NoBatch:
        if not self._units.redeliveries:
            unit = Unit(0, [], fresh=self.reason)
        elif self._units.redeliveries.first_due(now) is not None:
            unit = self._units.redeliveries.take_first()
        else:
            return NoBatch.FRESH
        self.state = GroupState.FRESH
        self._delivery.lease(unit, terms)
        return GroupBatch(unit.number, unit.failures + 1, unit.due, Events([Fresh(index.tick, self.reason)]), True)

    # -- what became of it; of all else about batches see `batches`

    def ack(self, index: IndexPort, number: int, now: float) -> int | None:
        """Done: the batch is never handed out again. Number of its paths; None if it was acked before. Raises RefusedError."""
        unit = self.batches.end_acked(index, number, now)
        if unit is None:
            return None
        if unit.fresh:
            self.begin(index, 0, 0)
        return unit.paths()

    # -- for people

    def standing(self, row: Row, now: float) -> dict[str, object]:
        """What the group was told of a row, or owes about it: `standing`, a `Standing`, and what else is known of that."""
        match self.state:
            case GroupState.WAITING:
                return {"standing": Standing.WAITING}
            case GroupState.ACTIVE:
                return standing_of(row, self.position, self._units, self.set_aside, held=self.mark.is_on(row), now=now)
            case _:
                return {"standing": Standing.FRESH, "reason": self.reason}

    def describe(self, index: IndexPort, now: float, pending: int, listed_max: int) -> dict[str, object]:
        """The group as `groups` and `status` show it.

        Args:
            pending: rows that it has not come to yet.
            listed_max: paths set aside that are listed.
        """
        leases, again = self._units.leases, self._units.redeliveries
        return {
            "name": self.name,
            "state": self.state.value,
            "reason": self.reason,
            "created": self.created,
            "seen": self.seen,
            "cursor": self.low_water(index),
            "backlog": pending + self.position.held_count() + sum(unit.paths() for unit in again),
            "leased": sum(unit.paths() for unit in leases),
            "leases": leases.describe(self.batches.token, now),
            "retrying": sum(unit.paths() for unit in again if unit.failures),
            "parked": self.set_aside.describe(listed_max),
            "parked_paths": len(self.set_aside),
        }
