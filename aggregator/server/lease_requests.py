"""The requests about leases and positions: ack, nack, extend, release, seek, retry. Used by `serve` only; no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state.settings import Settings

from ..groups.group import Group
from ..groups.lease import Index, Unit
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError

#: Characters of a nack's reason that are kept.
REASON_CHARS_MAX: Final = 500


class LeaseRequests:
    """Carries out a request on a group, and notes it as changed. All raise RefusedError."""

    def __init__(self, index: Index, registry: Registry, settings: Settings, wall: Callable[[], float]) -> None:
        self._index = index
        self._registry = registry
        self._settings = settings
        self._wall = wall

    def answer(self, request: Any, now: float) -> dict[str, object]:
        """The fields of the reply."""
        group = self.group(request.group)
        try:
            return _OPS[request.op](self, group, request, now)
        finally:
            # Also what is refused may have found leases that are over.
            self._registry.touch(group)
            self._registry.soon(group)

    def group(self, name: str) -> Group:
        """The group of that name, which is in use as of now."""
        protocol.check_name(name)
        group = self._registry.by_name.get(name)
        if group is None:
            raise RefusedError("unknown_group", f"there is no group {shown(name)}", "a pull makes it; see `groups`")
        group.seen = self._wall()
        return group

    def lease_s(self, lease_ms: int | None) -> float:
        return min(lease_ms or self._settings.lease_ms, bounds.LEASE_MS_MAX) / 1000

    def _ack(self, group: Group, request: protocol.Ack, now: float) -> dict[str, object]:
        paths = group.ack(self._index, _number(group, request.batch), now)
        return {"batch": request.batch, "repeated": paths is None}

    def _nack(self, group: Group, request: protocol.Nack, now: float) -> dict[str, object]:
        unit = self._leased(group, request.batch, now)
        retry_s = None if request.retry_ms is None else min(request.retry_ms, bounds.WAIT_MS_MAX) / 1000
        group.fail(self._index, unit, now, request.reason[:REASON_CHARS_MAX], "it was nacked", retry_s)
        return {"batch": request.batch, "retry_ms": max(0, round((unit.due - now) * 1000))}

    def _release(self, group: Group, request: protocol.Release, now: float) -> dict[str, object]:
        if (request.batch is None) == (request.worker is None):
            raise RefusedError("bad_field", "release: give either a batch or a worker", "see docs/protocol.md")
        if request.batch is not None:
            units = [self._leased(group, request.batch, now)]
        else:
            group.expire(self._index, now)
            units = [u for u in group.leases.values() if u.worker == request.worker]
        for unit in units:
            group.release(unit, now, "it was released")
        return {"released": len(units)}

    def _extend(self, group: Group, request: protocol.Extend, now: float) -> dict[str, object]:
        unit = self._leased(group, request.batch, now)
        lease_s = self.lease_s(request.lease_ms)
        group.extend(self._index, unit.number, now, lease_s)
        return {"batch": request.batch, "lease_ms": round(lease_s * 1000)}

    def _seek(self, group: Group, request: protocol.Seek, now: float) -> dict[str, object]:
        last = self._index.tick
        tick = {"start": 0, "now": last}[request.tick] if isinstance(request.tick, str) else request.tick
        if tick > last:
            raise RefusedError("bad_field", f"seek: tick {tick} is not given yet, the last is {last}", "seek back")
        return {"tick": tick, "fresh": not group.seek(self._index, tick)}

    def _retry(self, group: Group, request: protocol.Retry, now: float) -> dict[str, object]:
        return {"paths": group.retry(now)}

    def _reset(self, group: Group, request: protocol.Reset, now: float) -> dict[str, object]:
        if group.state != "waiting":
            group.refresh("somebody asked for it")
        return {"reset": group.name}

    def _leased(self, group: Group, batch: str, now: float) -> Unit:
        unit = group.lease(self._index, _number(group, batch), now)
        if unit is None:
            raise RefusedError("already_acked", "the batch is acked", "nothing is left to be done for it")
        return unit


def _number(group: Group, batch: str) -> int:
    token, _, number = batch.rpartition("-")
    if not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise RefusedError("bad_field", f"{shown(batch)} is no id of a batch", "send the id that pull gave, as it was")
    if token != group.token:
        raise RefusedError(
            "lease_expired",
            "the batch is not of this group: it was dropped and made anew, or the batch is another group's",
            "drop the batch and pull again",
        )
    return int(number)


_OPS: Final[dict[str, Callable[[LeaseRequests, Group, Any, float], dict[str, object]]]] = {
    "ack": LeaseRequests._ack,
    "nack": LeaseRequests._nack,
    "release": LeaseRequests._release,
    "extend": LeaseRequests._extend,
    "seek": LeaseRequests._seek,
    "retry": LeaseRequests._retry,
    "reset": LeaseRequests._reset,
}
