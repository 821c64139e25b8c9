"""Holds batches back: the requests `hold` and `unhold`, the lock files that shards see, and what follows when a hold ends.

When the last hold ends, changes that were made during it may still wait in a shard. So a sync is made first, and only
then do batches flow. In each group the last batch of these changes is marked (`last_batch`). Does no input or output. A
restart of the aggregator forgets holds and marks: clients renew their holds, and the marks are lost.
"""

from __future__ import annotations

from typing import Any, Final

from shardwatch.shard.contract.input.shown import shown

from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Call
from .engine_port import EnginePort
from .holds import HOLDS_MAX, Holds
from .last_batch import LastBatches

#: The longest wait for the sync after a hold has ended, in seconds. Then batches flow without it.
SYNC_S: Final = 5.0
#: Seconds between two checks whether the sync is finished.
_POLL_S: Final = 0.02


class Holding:
    """The holds of one service, and what follows when they end."""

    def __init__(self, index: IndexPort, registry: Registry, engine: EnginePort, cap_ms: int) -> None:
        self._registry = registry
        self._engine = engine
        self._cap_ms = cap_ms
        self._holds = Holds(cap_ms / 1000)
        self._last_batches = LastBatches(index)
        #: The syncs that were begun at the end of a hold. Only the last one counts.
        self._syncs: list[int] = []

    @property
    def held(self) -> bool:
        return self._holds.began is not None

    def turn(self, now: float) -> bool:
        """Call it in every turn, before anything is handed out. Returns True if batches flow again, so that waiting pulls can be
        answered.
        """
        locks = self._engine.locks()
        if not (locks or self._syncs) and self._holds.rests:
            return False  # most turns
        before = self.held
        self._holds.see(locks, now)
        if self._holds.advance(now):
            self._syncs.append(self._engine.begin_sync(SYNC_S))
        if self._syncs:
            last = self._syncs[-1]
            self._syncs = [token for token in self._syncs if self._engine.sync_result(token) is None]
            if last not in self._syncs and not self._holds.counts:
                self._holds.let_flow()
                self._last_batches.await_all(self._registry.named())
        return before and not self.held

    def shift(self, by: float) -> None:
        """Extends all holds, because the service could not answer for `by` seconds, so that no hold could be renewed."""
        self._holds.shift(by)

    def next_due(self, now: float) -> float:
        return now + _POLL_S if self._syncs else self._holds.next_due()

    # -- requests

    def hold(self, call: Call, now: float) -> dict[str, object]:
        """The fields of the reply. Raises RefusedError."""
        request: protocol.Hold = call.request
        name = _checked(request.name)
        lease_s = min(request.lease_ms, bounds.LEASE_MS_MAX) / 1000
        hold = self._holds.take(name, now, lease_s)
        if hold is None:
            raise RefusedError("busy", f"there are {HOLDS_MAX} holds already", "end one with unhold, or ask again later")
        return {"name": name, "lease_ms": round(lease_s * 1000), "spent": hold.spent, "hold_ms_max": self._cap_ms}

    def unhold(self, call: Call, now: float) -> dict[str, object]:
        """The fields of the reply. Raises RefusedError."""
        request: protocol.Unhold = call.request
        return {"name": request.name, "released": self._holds.drop(_checked(request.name))}

    def describe(self, now: float) -> dict[str, Any]:
        """Fields of `status` and `groups`."""
        return {"held": self.held, "holds": self._holds.describe(now)}

    # -- what a group was handed

    def note_batch(self, group: Group, number: int) -> bool:
        """A batch has just been leased. Returns True if it completes what changed during the hold for this group."""
        return self._last_batches.batch_leased(group, number)

    def note_nothing(self, group: Group) -> None:
        """A pull found nothing that could be handed out."""
        self._last_batches.nothing_left(group)


def _checked(name: str) -> str:
    if not name or not name.isprintable() or name != name.strip():
        remedy = f"use 1 to {bounds.NAME_CHARS_MAX} printable characters, without a blank at either end"
        raise RefusedError("bad_field", f"{shown(name)} is not a valid name for a hold", remedy)
    return name
