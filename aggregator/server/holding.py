"""Batches that are held back: the requests `hold` and `unhold`, lock files that shards see, and the batch that ends it all.

The end of a hold is no end yet: what was changed under it may still settle in a shard. So a sync is made first; only then do
batches flow, and in each group the batch with which everything up to that tick has been handed out is marked `settled`. Used
by `serve` only; no I/O. A restart of the aggregator forgets holds and marks: holders renew, the marks are lost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

from shardwatch.shard.contract.input.shown import shown

from ..groups.group import Group
from ..groups.lease import Index
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .holds import HOLDS_MAX, Holds

#: Longest wait for the looks that are owed when a hold has ended, seconds; then batches flow as they are.
SETTLE_S: Final = 5.0
#: Seconds between looks whether that is done.
_POLL_S: Final = 0.02


class Engine(Protocol):
    """What holding asks of the running engine."""

    def begin_sync(self, timeout_s: float) -> int: ...
    def sync_result(self, token: int) -> dict[str, object] | None: ...
    def locks(self) -> Collection[bytes]: ...


@dataclass(slots=True)
class _Mark:
    """A group that has to be told when it has everything up to `tick`."""

    tick: int
    #: Number of the batch that was marked, as long as it is not acked.
    batch: int = 0


class Holding:
    """The holds of one service, and which groups are to be told of their end."""

    def __init__(self, index: Index, registry: Registry, engine: Engine, cap_ms: int) -> None:
        self._index = index
        self._registry = registry
        self._engine = engine
        self._cap_ms = cap_ms
        self.holds = Holds(cap_ms / 1000)
        #: Syncs that were begun at the end of a hold; only the last one counts.
        self._syncs: list[int] = []
        #: By the group's key.
        self._marks: dict[int, _Mark] = {}

    @property
    def held(self) -> bool:
        return self.holds.held

    def turn(self, now: float) -> bool:
        """To be called in every turn, before anything is handed out. True: batches flow again, whoever waits can be served."""
        before = self.held
        self.holds.see(self._engine.locks(), now)
        if self.holds.advance(now):
            self._syncs.append(self._engine.begin_sync(SETTLE_S))
        if self._syncs:
            last = self._syncs[-1]
            self._syncs = [token for token in self._syncs if self._engine.sync_result(token) is None]
            if last not in self._syncs and self.holds.settled():
                self._mark()
        return before and not self.held

    def next_due(self, now: float) -> float:
        return now + _POLL_S if self._syncs else self.holds.next_due()

    # -- requests

    def hold(self, request: protocol.Hold, now: float) -> dict[str, object]:
        """The fields of the reply. Raises RefusedError."""
        name = _checked(request.name)
        lease_s = min(request.lease_ms, bounds.LEASE_MS_MAX) / 1000
        hold = self.holds.take(name, now, lease_s)
        if hold is None:
            raise RefusedError("busy", f"there are {HOLDS_MAX} holds already", "end one with unhold, or ask again later")
        return {"name": name, "lease_ms": round(lease_s * 1000), "spent": hold.spent, "hold_ms_max": self._cap_ms}

    def unhold(self, request: protocol.Unhold, now: float) -> dict[str, object]:
        return {"name": request.name, "released": self.holds.drop(_checked(request.name))}

    def describe(self, now: float) -> dict[str, Any]:
        """Fields of `status` and `groups`."""
        return {"held": self.held, "holds": self.holds.describe(now)}

    # -- the last batch

    def _mark(self) -> None:
        groups = self._registry.by_name.values()
        tick = self._index.tick
        self._marks = {g.key: self._marks[g.key] for g in groups if g.key in self._marks}
        for group in groups:
            if not handed_out(group, self._index, tick):
                self._marks[group.key] = _Mark(tick)

    def settles(self, group: Group, number: int) -> bool:
        """Whether the batch of that number, just leased, is the one with which the group has all that changed under the hold.

        0 stands for a pull that found nothing. A marked batch that fails is marked again when it is handed out again.
        """
        mark = self._marks.get(group.key)
        if mark is None:
            return False
        if mark.batch and mark.batch not in group.ended:
            if mark.batch not in group.leases:
                del self._marks[group.key]  # it was acked
            return False
        if not handed_out(group, self._index, mark.tick):
            return False
        mark.batch = number
        if not number:
            del self._marks[group.key]  # what was pending came to nothing
        return bool(number)


def handed_out(group: Group, index: Index, tick: int) -> bool:
    """Whether everything up to `tick` that the group is told of is on lease or acked. O(lanes + held rows + failed batches)."""
    if group.state != "active":
        return group.state == "waiting"  # it begins after all that
    if any(low <= tick for unit in group.redo for low in unit.low.values()):
        return False
    for number in index.lanes():
        lane = group.lanes.get(number)
        if lane is not None and any(t <= tick for ticks in (lane.deferred.values(), lane.late) for t in ticks):
            return False
        if any(row[0] <= tick for row in index.pending(number, group.scan(number), 1)):
            return False
    return True


def _checked(name: str) -> str:
    if not name or not name.isprintable() or name != name.strip():
        remedy = f"use 1 to {bounds.NAME_CHARS_MAX} printable characters, without a blank at either end"
        raise RefusedError("bad_field", f"{shown(name)} is no name for a hold", remedy)
    return name
