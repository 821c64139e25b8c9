"""Groups: where each consumer is, what it holds on lease, and what it is handed next.

Pure: no I/O and no clock of its own (`now` is passed in: seconds of a clock that only goes forward and that all processes of
one boot share, `time.monotonic`). What must become durable is left in `Group.journal`, in order; `store` writes it, and
nothing that a call returned may leave the process before that.

The position of a group is kept per lane (priority). `scan`: every row with a tick up to it has been considered; it was then
handed out, skipped, or *held* (its path was on lease). So what is not acked yet is exactly: the units (leased, or due again),
what is held, and what is set aside. The low-water cursor, all ticks up to which are acked, follows from the first two and is
never stored. After a seek back the scan comes to rows again that were handed out before, up to `handed`.

The index re-stamps a changed row only if its tick was noted as handed. So whenever a scan passes a tick, handed out or not,
the index is told (`note_handed`): a row that was skipped would otherwise change behind the scan and never be seen.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from ..protocol.messages import Fresh, RefusedError
from .choice import Choice
from .lease import Batch, Index, Lane, Parked, Part, Unit

#: First and longest pause before a batch that failed is handed out again, seconds; doubled at each failure.
RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 30.0
#: Batches of a group that ended without an ack and are remembered with the reason; an ack of an older one is refused too.
ENDED_MAX: Final = 1_000


class Group:
    """One named consumer. Every method leaves what must be made durable in `journal`."""

    def __init__(self, key: int, name: str, token: str, created: float, *, bit: int = 0, attempts_max: int = 5) -> None:
        self.key = key
        self.name = name
        #: Part of every batch id: batches of an earlier group of this name are told apart.
        self.token = token
        #: Its place in the `held` of rows, which no other group of that time has.
        self.bit = bit
        #: Last tick given when it began: it holds nothing of what has a tick up to it but by its position.
        self.begun = 0
        #: Wall clock, seconds.
        self.created = created
        self.seen = created
        self.attempts_max = attempts_max
        #: waiting (for the baseline) | active | fresh (must be told to forget) | expired (a stub)
        self.state = "waiting"
        self.reason = ""
        self.incarnation = ""
        #: Where a lane begins that the group has not met yet.
        self.base_scan = 0
        self.base_handed = 0
        self.next_number = 1
        #: Numbers below it are too old to tell an acked batch from one that failed.
        self.ended_floor = 0
        self.lanes: dict[int, Lane] = {}
        self.leases: dict[int, Unit] = {}
        #: Units to be handed out again, a heap by (due, number).
        self.redo: list[Unit] = []
        self.ended: dict[int, str] = {}
        self.parked: dict[bytes, Parked] = {}
        #: True: the last pull stopped at LOOKED_MAX with nothing found; pull again.
        self.unfinished = False
        self._expiry = float("inf")
        self.journal: list[tuple[object, ...]] = []

    # -- position ---------------------------------------------------------------------------------------------------

    def begin(self, index: Index, tick: int, handed: int) -> None:
        """Puts the group at `tick`: everything up to it counts as acked, everything up to `handed` as known."""
        self.state, self.reason, self.incarnation = "active", "", index.incarnation
        self.base_scan, self.base_handed, self.begun = tick, handed, index.tick
        self.lanes = {}
        self.journal += [("lanes-",), ("group",)]
        self.attach(index)

    def attach(self, index: Index) -> None:
        """Tells the index what the group holds, and fences what is on lease. After begin, and after a start."""
        if self.state == "active":
            index.holders.place(self.bit, self.begun, max(self.base_scan, self.base_handed))
            for number in {*index.lanes(), *self.lanes}:
                self._passed(index, number)
            for number, ticks in self._unacked():
                gone = [(number, row[0]) for row in index.rows_at(number, ticks) if not row[3]]
                index.holders.deletions_pending(self.bit, gone)
        self._expiry = min((u.due for u in self.leases.values()), default=float("inf"))
        self._fence()

    def _unacked(self) -> Iterator[tuple[int, list[int]]]:
        """(lane, ticks) of all that the scan has passed and nobody has acknowledged."""
        for unit in self.units():
            for part in unit.parts:
                yield part.lane, part.ticks
        for number, lane in self.lanes.items():
            yield number, [*lane.deferred.values(), *lane.late]
        for parked in self.parked.values():
            yield parked.lane, [parked.tick]

    def _lane(self, number: int) -> Lane:
        lane = self.lanes.get(number)
        if lane is None:
            lane = self.lanes[number] = Lane(self.base_scan, self.base_handed)
        return lane

    def _passed(self, index: Index, number: int) -> None:
        """What the index must know before a row of the lane changes."""
        lane = self._lane(number)
        index.note_handed(number, lane.reached())
        index.holders.reach(self.bit, number, lane.reached(), lane.scan)
        index.holders.skip(self.bit, number, *lane.skipped)

    def _fence(self) -> None:
        for lane in self.lanes.values():
            lane.fenced = set()
        for unit in self.leases.values():
            for part in unit.parts:
                if part.keys is None:
                    self._lane(part.lane).fenced.update(array("I", part.sums))

    def collapse(self, reason: str) -> None:
        """Rows have other lanes now (other priorities): what is not acked is handed out again, from each lane's cursor on."""
        lanes = {n: Lane(self.cursor(n), lane.reached(), lane.skipped) for n, lane in self.lanes.items()}
        self._forget(reason)
        self.lanes = lanes
        self.journal += [("lane", number, lane) for number, lane in lanes.items()]
        self.journal.append(("group",))

    def cursor(self, number: int) -> int:
        """The low-water cursor: every tick of the lane up to it is acked, skipped or set aside. O(units + held)."""
        lane = self._lane(number)
        low = lane.scan + 1
        for unit in self.units():
            low = min(low, unit.low.get(number, low))
        for ticks in (lane.deferred.values(), lane.late):
            low = min(low, min(ticks, default=low))
        return low - 1

    def scan(self, number: int) -> int:
        """Rows of the lane with a later tick were not looked at yet."""
        return self.lanes[number].scan if number in self.lanes else self.base_scan

    def reached(self) -> int:
        """Highest tick that was considered or handed out in any lane."""
        return max(self.base_scan, self.base_handed, *[lane.reached() for lane in self.lanes.values()])

    def units(self) -> Iterator[Unit]:
        yield from self.leases.values()
        yield from self.redo

    def waiting_paths(self) -> int:
        """Paths that are pending behind the forward scan: held, or to be handed out again."""
        return sum(len(x.deferred) + len(x.late) for x in self.lanes.values()) + sum(u.paths() for u in self.redo)

    def refresh(self, reason: str) -> None:
        """The group must forget everything: its leases are revoked, and its next batch says so, alone."""
        self._forget("the group was told to forget everything: " + reason)
        self.state, self.reason, self.base_scan, self.base_handed = "fresh", reason, 0, 0
        self.parked = {}
        self.journal += [("parked-",), ("group",)]

    def abandon(self) -> None:
        """Not used for too long: only the name stays, so that a consumer that comes back is told to forget everything."""
        self.refresh("it was not used for longer than retention_days")
        self.state = "expired"

    def _forget(self, reason: str) -> None:
        for number in self.leases:
            self._end(number, reason)
        self.leases, self.redo, self.lanes = {}, [], {}
        self.journal += [("units-",), ("lanes-",)]

    def seek(self, index: Index, tick: int) -> bool:
        """Goes to `tick`: what is later is handed out again, leases stay. False where the group must begin afresh instead,
        because deletions after `tick` are forgotten."""
        if self.state in ("fresh", "expired"):
            return False
        if tick < index.collected:
            self.refresh("it went back beyond the deletions that are kept")
            return False
        if self.state == "waiting":
            self.begin(index, tick, 0)
            return True
        for number in {*index.lanes(), *self.lanes}:
            self._seek_lane(index, number, tick)
        self.base_scan = tick
        self.redo = [u for u in self.redo if u.low]
        heapq.heapify(self.redo)
        self.journal.append(("group",))
        return True

    def _seek_lane(self, index: Index, number: int, tick: int) -> None:
        lane = self._lane(number)
        # Forward: everything pending up to `tick` is given up. Backward: the scan will meet it again.
        low = tick if tick < lane.scan else -1
        gone = {t for t in (*lane.late, *lane.deferred.values()) if t > low}
        lane.late = deque(t for t in lane.late if t not in gone)
        lane.deferred = {k: t for k, t in lane.deferred.items() if t not in gone}
        self._unhold(number, gone)
        for unit in self.redo:
            if number in unit.low:
                for part in unit.parts:
                    if part.lane == number:
                        part.ticks = [t for t in part.ticks if t <= low]
                unit.measure()
                self.journal.append(("unit", unit) if unit.low else ("unit-", unit.number))
        reached, (after, upto) = lane.reached(), lane.skipped
        if tick > reached:
            lane.skipped = (min(after, reached) if upto >= reached else reached, tick)
        lane.scan = tick
        self._passed(index, number)
        self.journal.append(("lane", number, lane))

    # -- handing out ------------------------------------------------------------------------------------------------

    def pull(self, index: Index, now: float, limit: int, lease_s: float, leases_max: int, worker: str) -> Batch | str:
        """The next batch, leased to `worker` until now + lease_s; or why there is none: baseline | fresh | leases | empty.

        At most `limit` rows, each path once, no path that is on lease. O(1) amortised a row.
        """
        self.expire(index, now)
        why = self._stopped(index)
        if why:
            return why
        if self.state != "active":
            return self._pull_fresh(index, now, lease_s, worker)
        if len(self.leases) >= leases_max:
            return "leases"
        choice = self._choose(index, now, limit)
        unit = self._take(index, choice, now)
        if unit is None:
            return "empty"
        self._lease(unit, now + lease_s, worker)
        for part in unit.parts:
            self.lanes[part.lane].leased.update(part.keys or ())
        choice.pair()
        return Batch(unit.number, unit.failures + 1, unit.due, choice.events, choice.more)

    def peek(self, index: Index, now: float, limit: int) -> Batch | str:
        """What a pull would hand out; nothing is leased, nothing moves."""
        self.expire(index, now)
        why = self._stopped(index)
        if why:
            return why
        if self.state != "active":
            return Batch(0, 1, now, [Fresh(index.tick, self.reason)], True)
        choice = self._choose(index, now, limit)
        choice.pair()
        return Batch(0, 1, now, choice.events, choice.more) if choice.events else "empty"

    def _stopped(self, index: Index) -> str:
        if self.state == "waiting":
            return "baseline"
        if self.state == "active" and self.incarnation != index.incarnation:
            self.refresh("the index was built anew")
        return "fresh" if self.state != "active" and self.leases else ""

    def _pull_fresh(self, index: Index, now: float, lease_s: float, worker: str) -> Batch | str:
        if self.redo and self.redo[0].due > now:
            return "fresh"
        self.state = "fresh"
        unit = self.redo.pop() if self.redo else Unit(0, [], fresh=self.reason)
        if unit.number:
            self.journal.append(("unit-", unit.number))
        self._lease(unit, now + lease_s, worker)
        return Batch(unit.number, unit.failures + 1, unit.due, [Fresh(index.tick, self.reason)], True)

    def _lease(self, unit: Unit, due: float, worker: str) -> None:
        unit.number, unit.due, unit.worker, unit.leased = self._number(), due, worker, True
        self.leases[unit.number] = unit
        self._expiry = min(self._expiry, due)
        self.journal += [("unit", unit), ("group",)]

    def _number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def _choose(self, index: Index, now: float, limit: int) -> Choice:
        choice = Choice(self.bit, self.begun)
        self.unfinished = False
        while self.redo and self.redo[0].due <= now:
            unit = self.redo[0]
            for old in unit.parts:
                part = Part(old.lane, old.handed, [], [])
                # Rows with another tick by now follow from there.
                choice.add(index.rows_at(old.lane, old.ticks), old.lane, old.handed, self._lane(old.lane), part)
                choice.parts.append(part)
            if choice.events:
                choice.unit = unit
                choice.more = True
                del choice.events[limit:]
                return choice
            dropped = heapq.heappop(self.redo)
            self.journal.append(("unit-", dropped.number))
            self._pass(index, choice)
            choice = Choice(self.bit, self.begun)
        for number in index.lanes():
            if not choice.fill(index, number, self._lane(number), limit):
                choice.more = True
                self.unfinished = not choice.events
                break
        return choice

    def _take(self, index: Index, choice: Choice, now: float) -> Unit | None:
        """Makes a choice come true, save for the lease."""
        for number, count in choice.late.items():
            late = self.lanes[number].late
            self._unhold(number, [late.popleft() for _ in range(count)])
        self._pass(index, choice)
        if choice.unit is not None:
            return self._take_again(choice, now)
        parts = [p for p in choice.parts if p.ticks]
        seen = max((*choice.scans.values(), *(x.scan for x in self.lanes.values())), default=0)
        for number, scan in choice.scans.items():
            # A lane with nothing behind its scan has considered all that was visible in any lane.
            self.lanes[number].consider(seen if number in choice.whole else scan)
        for part in parts:
            lane = self.lanes[part.lane]
            highest = max(part.ticks)
            lane.handed = max(lane.handed, highest)
            if self.parked:
                for key in part.keys or ():
                    self.unpark(key)
        for number in choice.scans:
            lane = self.lanes[number]
            self._passed(index, number)
            if parts or choice.held or choice.late:
                self.journal.append(("lane", number, lane))
        return Unit(0, parts) if parts else None

    def _take_again(self, choice: Choice, now: float) -> Unit:
        """Takes a unit's first rows; what does not fit stays behind as a unit of its own."""
        unit = heapq.heappop(self.redo)
        self.journal.append(("unit-", unit.number))
        room = len(choice.events)
        rest = []
        unit.parts = []
        for part in choice.parts:
            if part.ticks[:room]:
                unit.parts.append(Part(part.lane, part.handed, part.ticks[:room], (part.keys or [])[:room]))
            if part.ticks[room:]:
                rest.append(Part(part.lane, part.handed, part.ticks[room:]))
            room = max(0, room - len(part.ticks))
        unit.measure()
        if rest:
            self._again(Unit(self._number(), rest, failures=unit.failures, due=now))
        return unit

    def _pass(self, index: Index, choice: Choice) -> None:
        """Rows that could not go wait for their path; deletions, whether they went or wait, count once they are acked."""
        for number, key, tick in choice.held:
            deferred = self.lanes[number].deferred
            if key in deferred:
                self._unhold(number, [deferred[key]])
            deferred[key] = tick
            self.journal.append(("held", number, tick))
        index.holders.deletions_pending(self.bit, choice.gone)

    def _unhold(self, number: int, ticks: Iterable[int]) -> None:
        self.journal += [("held-", number, tick) for tick in ticks]

    # -- the end of a lease -----------------------------------------------------------------------------------------

    def lease(self, index: Index, number: int, now: float) -> Unit | None:
        """The unexpired lease of that number; None if it was acked already. Raises RefusedError with the reason."""
        self.expire(index, now)
        unit = self.leases.get(number)
        if unit is not None:
            return unit
        if number not in self.ended and max(self.ended_floor, 1) <= number < self.next_number:
            return None
        reason = self.ended.get(number, "the group does not know it")
        raise RefusedError(
            "lease_expired",
            f"the batch is not on lease: {reason}",
            "drop it: its paths are handed out again; extend leases of long work, or raise lease_ms",
        )

    def ack(self, index: Index, number: int, now: float) -> int | None:
        """Done: the batch is never handed out again. Number of its paths; None if it was acked before. Raises RefusedError."""
        unit = self.lease(index, number, now)
        if unit is None:
            return None
        self._unlease(unit)
        for part in unit.parts:
            index.holders.acknowledged(self.bit, part.lane, part.ticks)
        self.journal.append(("unit-", number))
        if unit.fresh:
            self.begin(index, 0, 0)
        return unit.paths()

    def extend(self, index: Index, number: int, now: float, lease_s: float) -> Unit | None:
        """The lease ends lease_s seconds from now. Raises RefusedError."""
        unit = self.lease(index, number, now)
        if unit is not None:
            unit.due = now + lease_s
            self._expiry = min(self._expiry, unit.due)
            self.journal.append(("due", unit))
        return unit

    def fail(self, index: Index, unit: Unit, now: float, reason: str, ended: str, retry_s: float | None = None) -> None:
        """A failure of a leased unit: again later; in pieces after attempts_max; set aside if a lone path fails as often."""
        self._unlease(unit)
        self._end(unit.number, ended)
        unit.failures += 1
        unit.reason = reason
        if retry_s is None:
            retry_s = min(RETRY_S_MAX, RETRY_S * 2.0 ** min(unit.failures - 1, 16))
        unit.due = now + retry_s
        if unit.failures < self.attempts_max or unit.fresh:
            self._again(unit)
            return
        self.journal.append(("unit-", unit.number))
        if unit.paths() > 1:
            for part in unit.parts:
                for tick in part.ticks:
                    self._again(Unit(self._number(), [Part(part.lane, part.handed, [tick])], due=now))
            return
        part = unit.parts[0]
        for row in index.rows_at(part.lane, part.ticks):
            path, directory = row[5], row[4]
            key = path + b"/" if directory else path
            self.parked[key] = Parked(part.lane, row[0], part.handed, path, directory, unit.failures, reason)
            self.journal.append(("parked", key, self.parked[key]))

    def release(self, unit: Unit, now: float, ended: str) -> None:
        """Gives a lease back: handed out again at once, and not counted as a failure."""
        self._unlease(unit)
        self._end(unit.number, ended)
        unit.due = now
        self._again(unit)

    def retry(self, now: float) -> int:
        """Hands out again what was set aside. Number of paths."""
        parked = list(self.parked.items())
        for key, p in parked:
            self.unpark(key)
            self._again(Unit(self._number(), [Part(p.lane, p.handed, [p.tick])], due=now))
        return len(parked)

    def unpark(self, key: bytes) -> None:
        if self.parked.pop(key, None) is not None:
            self.journal.append(("parked-", key))

    def expire(self, index: Index, now: float) -> None:
        """Ends the leases that are over."""
        if now < self._expiry:
            return
        for unit in [u for u in self.leases.values() if u.due <= now]:
            ended = f"its lease expired after attempt {unit.failures + 1}"
            self.fail(index, unit, now, "its lease expired" + (f" at worker {unit.worker}" * bool(unit.worker)), ended, 0)
        self._expiry = min((u.due for u in self.leases.values()), default=float("inf"))

    def reboot(self, now: float) -> None:
        """The machine was started anew: no worker is alive, and dates of then mean nothing."""
        for unit in list(self.leases.values()):
            self.release(unit, now, "the machine was started anew")
        for unit in self.redo:
            unit.due = now

    def shift(self, by: float) -> None:
        """All leases end later: the service could not answer for that long."""
        for unit in self.leases.values():
            unit.due += by
            self.journal.append(("due", unit))
        self._expiry += by

    def next_due(self, now: float) -> float:
        """When there is something to do again: a lease ends, a unit becomes due. What is due already only lacks a pull."""
        due = self.redo[0].due if self.redo else now
        return min(self._expiry, due) if due > now else self._expiry

    def _unlease(self, unit: Unit) -> None:
        del self.leases[unit.number]
        for part in unit.parts:
            self._lane(part.lane).free(part)
        if any(part.keys is None for part in unit.parts):
            self._fence()

    def _again(self, unit: Unit) -> None:
        unit.leased, unit.worker = False, ""
        for part in unit.parts:
            part.keys, part.sums = None, b""
        heapq.heappush(self.redo, unit)
        self.journal += [("unit", unit), ("group",)]

    def _end(self, number: int, reason: str) -> None:
        self.ended[number] = reason
        self.journal.append(("ended", number, reason))
        if len(self.ended) > ENDED_MAX:
            first = next(iter(self.ended))
            del self.ended[first]
            self.ended_floor = max(self.ended_floor, first + 1)
            self.journal += [("ended-", first), ("group",)]
