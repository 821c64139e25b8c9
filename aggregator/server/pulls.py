"""The request `pull`, which is answered at once, as soon as something is pending, or when its wait is over. Does no input
or output.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.state.settings import Settings

from ..groups.batch import GroupBatch, NoBatch
from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Call, Fields, LeaseName
from .deadlines import Deadlines
from .group_requests import lease_s
from .holding import Holding
from .outbox import Outbox
from .roster import Roster

log = logging.getLogger("shardwatch.aggregator")
#: How many pulls may wait at a time. Further ones are refused with `busy`.
WAITING_MAX: Final = 10_000
#: Where a worker is told one of these, it is given what another one has pulled ahead.
_STOLEN: Final = (NoBatch.EMPTY, NoBatch.LEASES)


class _Pull(Struct, eq=False):
    """One pull. `created`: whether it made its group."""

    call: Call
    created: bool

    @property
    def request(self) -> protocol.Pull:
        request: protocol.Pull = self.call.request
        return request

    def batch(self, batch: Fields) -> Fields:
        """The fields of the reply that hands out a batch."""
        return {"batch": batch, "created": self.created, "existed": not self.created}

    def nothing(self, why: NoBatch) -> Fields:
        """The fields of the reply that says why there is no batch."""
        return {"batch": None, "why": why, "created": self.created, "existed": not self.created}


class Pulls:
    """Hands out batches. In each group the pulls are served in the order of their arrival."""

    def __init__(
        self,
        index: IndexPort,
        registry: Registry,
        roster: Roster,
        holding: Holding,
        settings: Settings,
        outbox: Outbox,
    ) -> None:
        self._index = index
        self._registry = registry
        self._roster = roster
        self._holding = holding
        self._settings = settings
        self._outbox = outbox
        #: The pulls that wait, by group.
        self._waiting: dict[str, dict[_Pull, None]] = {}
        self.deadlines: Deadlines[_Pull] = Deadlines()
        #: The groups whose pulls may be served now, in this order: `serve` has something to do.
        self.hungry: dict[str, None] = {}
        #: The groups of which batches may be pulled ahead.
        self._ahead: set[str] = set()

    def __len__(self) -> int:
        """The number of pulls that wait."""
        return len(self.deadlines)

    def of(self, name: str) -> int:
        """The number of pulls that wait for a group."""
        return len(self._waiting.get(name, ()))

    def names(self) -> set[str]:
        """The groups for which a pull waits."""
        return set(self._waiting)

    # -- the request

    def pull(self, call: Call, now: float) -> None:
        """Answers a pull now, or lets it wait. Raises RefusedError."""
        request: protocol.Pull = call.request
        if request.ahead and not request.peek:
            self._pull_ahead(call, now)
            return
        group, created = self._roster.use_or_make(request.group, request.from_ or "now")
        pull = _Pull(call, created)
        why = NoBatch.HELD if self._holding.held else NoBatch.EMPTY
        # If other pulls wait for the group already, nothing could be handed out to them, nor could it to this one.
        if request.peek or not self.of(group.name):
            found = self._grant(group, pull, now)
            if isinstance(found, GroupBatch):
                self._hand_out(group, pull, found)
                return
            why = found
        wait_ms = self._settings.batch_wait_ms if request.wait_ms is None else request.wait_ms
        if wait_ms == 0 and (why is NoBatch.HELD or not group.unfinished):
            self._outbox.answer(call, pull.nothing(why))
        else:
            self._wait(pull, now + min(wait_ms, bounds.WAIT_MS_MAX) / 1000)

    def _pull_ahead(self, call: Call, now: float) -> None:
        """Answers the pull of a worker that has a batch, at once: the next one is kept for it, and it need not wait for it."""
        group = self._roster.use(call.request.group)
        pull = _Pull(call, created=False)
        found = NoBatch.TURN if self.of(group.name) else self._grant(group, pull, now)
        if isinstance(found, GroupBatch):
            self._ahead.add(group.name)
            self._hand_out(group, pull, found)
        else:
            self._outbox.answer(call, pull.nothing(found))

    @property
    def may_be_ahead(self) -> bool:
        """Whether `take_back_ahead` may find something."""
        return bool(self._ahead)

    def take_back_ahead(self, now: float, why: str, peers: frozenset[bytes] | None = None) -> None:
        """Gives back what was pulled ahead, by all or by the workers on these connections: nobody has begun it."""
        for name in list(self._ahead):
            group = self._roster.get(name)
            if group is not None and group.batches.take_back_ahead(now, why, peers=peers):
                self._registry.touch(group)
                self._registry.soon(group)
            if group is None or not group.batches.has_ahead:
                self._ahead.discard(name)

    def _wait(self, pull: _Pull, until: float) -> None:
        if len(self) >= WAITING_MAX:
            raise RefusedError("busy", f"{WAITING_MAX} requests wait already", "ask again later, with fewer at a time")
        self._waiting.setdefault(pull.request.group, {})[pull] = None
        self.deadlines.set(pull, until)

    def _grant(self, group: Group, pull: _Pull, now: float) -> GroupBatch | NoBatch:
        """A batch for it, on lease unless it only peeks; else why there is none."""
        if self._holding.held:
            return NoBatch.HELD
        request = pull.request
        limit = min(request.max or self._settings.batch_size_max, self._settings.batch_size_max)
        if request.peek:
            found = group.peek(self._index, now, limit)
        else:
            found = self._lease(group, pull, now, limit)
            if found in _STOLEN and not request.ahead and group.batches.take_back_ahead(now, "another worker was free", most=1):
                found = self._lease(group, pull, now, limit)
        self._registry.touch(group)
        if group.unfinished:
            self._registry.soon(group)
        elif found is NoBatch.EMPTY:
            self._holding.note_nothing(group)
        return found

    def _lease(self, group: Group, pull: _Pull, now: float, limit: int) -> GroupBatch | NoBatch:
        request = pull.request
        leased_s = lease_s(self._settings, request.lease_ms)
        ahead = pull.call.envelope[0] if request.ahead else b""
        return group.pull(self._index, now, limit, leased_s, self._settings.leases_max, request.worker, ahead)

    def _hand_out(self, group: Group, pull: _Pull, batch: GroupBatch) -> None:
        lease = LeaseName(group.name, group.batches.batch_id(batch.number)) if batch.number else None
        found: dict[str, object] = {
            "id": None if lease is None else lease.batch,
            "group": group.name,
            "attempt": batch.attempt,
            "lease_ms": 0 if lease is None else round(lease_s(self._settings, pull.request.lease_ms) * 1000),
            "events": batch.events,
            "more": batch.more,
        }
        if pull.request.ahead and batch.number:
            found["ahead"] = True
        if batch.number and self._holding.note_batch(group, batch.number):
            found["settled"] = True
        log.debug(
            "group %s: batch %s for worker %s, %d events, attempt %d",
            group.name, found["id"], pull.request.worker, len(batch.events), batch.attempt,
        )  # fmt: skip
        self._outbox.answer(pull.call, pull.batch(found), lease)

    # -- those that wait

    def wake(self, names: Iterable[str]) -> None:
        """Something may have become free in these groups."""
        self.hungry.update(dict.fromkeys(names))

    def wake_all(self) -> None:
        """There may be something new for every group."""
        self.hungry.update(dict.fromkeys(self._waiting))

    def serve(self, now: float, over: Callable[[], bool]) -> None:
        """Answers pulls of the groups that were woken, until the time for this is `over`. The next call continues."""
        while self.hungry:
            name = next(iter(self.hungry))
            del self.hungry[name]
            if not self._serve(name, now, over):
                self.hungry[name] = None
                return
            if over():
                return

    def _serve(self, name: str, now: float, over: Callable[[], bool]) -> bool:
        """Answers the pulls that wait for one group, in the order of their arrival. Returns False if the time was over before all
        were considered.
        """
        pulls = self._waiting.get(name)
        group = self._roster.get(name)
        if not pulls or group is None or self._holding.held:
            return True
        dry = False
        for pull in list(pulls):
            if dry and not pull.request.peek:
                continue
            found = self._grant(group, pull, now)
            if isinstance(found, GroupBatch):
                self._end(pull)
                self._hand_out(group, pull, found)
                if self.of(name) and over():
                    return False
            else:
                dry = dry or not pull.request.peek
        return True

    def time_out(self, now: float, over: Callable[[], bool]) -> None:
        """Answers the pulls that have waited long enough with the reason why there is no batch, until the time is `over`."""
        for pull in self.deadlines.take(now):
            group = self._roster.get(pull.request.group)
            if group is not None and group.unfinished and not self._holding.held:
                self.deadlines.set(pull, now)  # whether there is something, a later turn will know
            else:
                self._end(pull)
                self._outbox.answer(pull.call, pull.nothing(self._why_nothing(group, now)))
            if over():
                return

    def _why_nothing(self, group: Group | None, now: float) -> NoBatch:
        if self._holding.held:
            return NoBatch.HELD
        return NoBatch.EMPTY if group is None else group.why_unserved(self._index, now, self._settings.leases_max)

    def _end(self, pull: _Pull) -> None:
        """Removes a pull from those that wait."""
        self.deadlines.drop(pull)
        name = pull.request.group
        pulls = self._waiting[name]
        del pulls[pull]
        if not pulls:
            del self._waiting[name]

    def _all(self) -> list[_Pull]:
        return [pull for pulls in self._waiting.values() for pull in pulls]

    def forget(self, peers: frozenset[bytes]) -> None:
        """Forgets the pulls of connections that are gone."""
        for pull in self._all():
            if pull.call.is_of(peers):
                self._end(pull)

    def removed(self, group: Group) -> None:
        """Refuses the pulls that wait for a group that was dropped."""
        self._ahead.discard(group.name)
        dropped = RefusedError("unknown_group", f"the group {group.name!r} was dropped", "pull again to make it anew")
        for pull in list(self._waiting.get(group.name, ())):
            self._end(pull)
            self._outbox.refuse(pull.call, dropped)

    def give_up(self, why: RefusedError) -> None:
        """Refuses all pulls that wait."""
        for pull in self._all():
            self._end(pull)
            self._outbox.refuse(pull.call, why)
        self.hungry = {}
