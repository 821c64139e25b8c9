"""What a pull is given: its group's next batch, on lease or kept for later, or the reason why there is none. Does no input or
output.
"""

from __future__ import annotations

import logging
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.state.settings import Settings

from ..groups.batch import GroupBatch, NoBatch
from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.lease_terms import LeaseTerms
from ..groups.registry import Registry
from ..protocol import messages as protocol
from .call import Call, Fields, LeaseName
from .carried import NONE, acknowledge
from .group_requests import lease_s
from .holding import Holding
from .outbox import Outbox
from .roster import Roster

log = logging.getLogger("shardwatch.aggregator")
#: Where a worker is told one of these, it is given what another one has pulled ahead.
_STOLEN: Final = (NoBatch.EMPTY, NoBatch.LEASES)


class OpenPull(Struct, eq=False):
    """A pull that is to be answered. `created`: whether it made its group; `acked`: what its reply says of the batch that it has
    acknowledged.
    """

    call: Call
    created: bool
    acked: Fields = NONE

    @property
    def request(self) -> protocol.Pull:
        request: protocol.Pull = self.call.request
        return request

    def batch(self, batch: Fields) -> Fields:
        """The fields of the reply that hands out a batch."""
        return {"batch": batch, "created": self.created, "existed": not self.created, **self.acked}

    def nothing(self, why: NoBatch) -> Fields:
        """The fields of the reply that says why there is no batch."""
        return {"batch": None, "why": why, "created": self.created, "existed": not self.created, **self.acked}


class HandingOut:
    """Leases batches to pulls, and takes back what was pulled ahead. Which pull is served when is for `pulls` to say."""

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
        #: The groups of which batches may be pulled ahead.
        self._ahead: set[str] = set()

    def open(self, call: Call, group: Group, now: float, *, others_wait: bool, created: bool = False) -> OpenPull:
        """The pull, once the batch that it acknowledges is done, and what it was handed when it came before is free again.
        `others_wait`: for this group. Raises RefusedError."""
        request: protocol.Pull = call.request
        acked = acknowledge(group, self._index, request, now)
        once, peer = request.once, call.envelope[0]
        repeated = once is not None and group.batches.take_back_repeated(request.worker, once, peer, now)
        if repeated or acked.get("acked") is not None:
            self._registry.touch(group)
            if others_wait:  # what has become free is for them; if nobody waits, this pull gets it
                self._registry.soon(group)
        return OpenPull(call, created, acked)

    def grant(self, group: Group, pull: OpenPull, now: float) -> GroupBatch | NoBatch:
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

    def _lease(self, group: Group, pull: OpenPull, now: float, limit: int) -> GroupBatch | NoBatch:
        request = pull.request
        due = now + lease_s(self._settings, request.lease_ms)
        terms = LeaseTerms(due, request.worker, pull.call.envelope[0], request.once or 0, request.ahead)
        found = group.pull(self._index, now, limit, terms, self._settings.leases_max)
        if terms.ahead and isinstance(found, GroupBatch):
            self._ahead.add(group.name)
        return found

    def answer(self, group: Group, pull: OpenPull, batch: GroupBatch) -> None:
        """Answers a pull with what it was granted."""
        lease = LeaseName(group.name, group.batches.batch_id(batch.number)) if batch.number else None
        found: dict[str, object] = {
            "id": None if lease is None else lease.batch,
            "group": group.name,
            "attempt": batch.attempt,
            "lease_ms": 0 if lease is None else round(lease_s(self._settings, pull.request.lease_ms) * 1000),
            "events": list(batch.events) if pull.call.json else batch.events.packed(),
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

    # -- what was pulled ahead

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

    def removed(self, group: Group) -> None:
        """A group was dropped, with what was handed out of it."""
        self._ahead.discard(group.name)
