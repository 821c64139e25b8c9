"""The requests of workers and operators that concern one existing group: ack, nack, release, extend, seek, dead, retry,
discard, reset.

Does no input or output.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET

from shardwatch.shard.contract.state.settings import Settings

from ..groups.failure import Failure
from ..groups.group import Group, GroupState
from ..groups.index_port import IndexPort
from ..groups.record import DeadLetterRecord
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Call
from .roster import Roster


class GroupRequests:
    """Carries out requests on a group, and notes that the group has changed. All methods raise RefusedError."""

    def __init__(self, index: IndexPort, registry: Registry, roster: Roster, settings: Settings) -> None:
        self._index = index
        self._registry = registry
        self._roster = roster
        self._settings = settings

    def answer(self, call: Call, now: float) -> dict[str, object]:
        """The fields of the reply."""
        request = call.request
        group = self._roster.use(request.group)
        try:
            fields = _OPS[request.op](self, group, request, now)
            return {**fields, "begun": self._begun(group, call, now)} if request.op == "ack" and request.begin else fields
        finally:
            # Even a refused request may have found expired leases, so pulls that wait for the group may be answered now.
            self._registry.touch(group)
            self._registry.soon(group)

    def _ack(self, group: Group, request: protocol.Ack, now: float) -> dict[str, object]:
        number = group.batches.number(request.batch)
        if request.ticks is None:
            paths = group.ack(self._index, number, now)
        else:
            paths = group.batches.ack_some(self._index, number, now, frozenset(request.ticks))
        return {"batch": request.batch, "repeated": paths is None}

    def _begun(self, group: Group, call: Call, now: float) -> str | None:
        """Begins what was pulled ahead on the connection of an ack. Its id; None: there is nothing."""
        leased_s = lease_s(self._settings, call.request.lease_ms)
        number = group.batches.begin_ahead(self._index, call.envelope[0], now, leased_s)
        return None if number is None else group.batches.batch_id(number)

    def _nack(self, group: Group, request: protocol.Nack, now: float) -> dict[str, object]:
        number = group.batches.number(request.batch)
        retry_s = None if request.retry_ms is None else min(request.retry_ms, bounds.WAIT_MS_MAX) / 1000
        failure = Failure(request.reason[: bounds.REASON_CHARS_MAX], retry_s, _end_of(request.output))
        if request.ticks is None:
            pause_s = group.batches.nack(self._index, number, now, failure)
        else:
            pause_s = group.batches.nack_some(self._index, number, now, failure, frozenset(request.ticks))
        return {"batch": request.batch, "retry_ms": round(pause_s * 1000)}

    def _release(self, group: Group, request: protocol.Release, now: float) -> dict[str, object]:
        if (request.batch is None) == (request.worker is None):
            raise RefusedError("bad_field", "release: give either a batch or a worker", "see docs/protocol.md")
        if request.worker is not None:
            return {"released": group.batches.release_worker(self._index, request.worker, now)}
        if request.batch is not None:
            group.batches.release(self._index, group.batches.number(request.batch), now)
        return {"released": 1}

    def _extend(self, group: Group, request: protocol.Extend, now: float) -> dict[str, object]:
        leased_s = lease_s(self._settings, request.lease_ms)
        group.batches.extend(self._index, group.batches.number(request.batch), now, leased_s)
        return {"batch": request.batch, "lease_ms": round(leased_s * 1000)}

    def _seek(self, group: Group, request: protocol.Seek, now: float) -> dict[str, object]:
        if (request.tick is None) == (request.at is None):
            raise RefusedError("bad_field", "seek: give either a tick or a time (`at`)", "see docs/protocol.md")
        last = self._index.tick
        if request.at is not None:
            tick = self._tick_at(group, request.at)
        else:
            tick = {"start": 0, "now": last}[request.tick] if isinstance(request.tick, str) else request.tick or 0
        if tick > last:
            raise RefusedError("bad_field", f"seek: tick {tick} is not given yet, the last is {last}", "seek back")
        return {"tick": tick, "fresh": not group.seek(self._index, tick)}

    def _tick_at(self, group: Group, at: float) -> int:
        """The tick to which a group is moved that is to go back to a time, seconds since 1970. Raises RefusedError."""
        tick, first_ns = self._index.tick_at(round((at if at <= bounds.TIME_S_MAX else bounds.TIME_S_MAX) * 10**9))
        if tick is None:
            first = "no time is noted yet" if first_ns is None else f"the first time that is noted is {_date(first_ns)}"
            raise RefusedError(
                "bad_field",
                f"seek: it is not known which tick was the last one at that time: {first}",
                "give a later time, a tick, or `start`",
                first=None if first_ns is None else first_ns / 1e9,
            )
        reached = group.low_water(self._index)
        if tick <= reached or group.state is not GroupState.ACTIVE:
            return tick
        if group.has_acknowledged(self._index, tick):
            return reached
        remedy = "a time moves a group back, never forward: see `groups` for what is pending"
        raise RefusedError("bad_field", "seek: the group has not come to that time yet", remedy)

    def _retry(self, group: Group, request: protocol.Retry, now: float) -> dict[str, object]:
        return {"paths": group.set_aside.retry(now, _places(request))}

    def _discard(self, group: Group, request: protocol.Discard, now: float) -> dict[str, object]:
        return {"paths": group.set_aside.discard(self._index, _places(request))}

    def _dead(self, group: Group, request: protocol.Dead, now: float) -> dict[str, object]:
        place = b"/" if request.path_b64 is None else protocol.exact_paths("dead", [request.path_b64])[0]
        after = b"" if request.after_b64 is None else protocol.from_base64("dead", request.after_b64)
        most = min(request.max or bounds.DEAD_LETTERS_MAX, bounds.DEAD_LETTERS_MAX)
        found = self._registry.dead_letters(group, place, after, most)
        next_b64 = b64encode(found[-1].path.key).decode("ascii") if len(found) == most else None
        return {"dead": [_fields(letter, output=request.output) for letter in found], "after_b64": next_b64}

    def _reset(self, group: Group, request: protocol.Reset, now: float) -> dict[str, object]:
        group.refresh("somebody asked for it")
        return {"reset": group.name}


def _date(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds")


def lease_s(settings: Settings, lease_ms: int | None) -> float:
    """The duration of a lease in seconds: the one that was asked for, or else the configured one."""
    return min(lease_ms or settings.lease_ms, bounds.LEASE_MS_MAX) / 1000


def _places(request: protocol.Retry | protocol.Discard) -> frozenset[bytes] | None:
    """The paths that it names; None: it names none, and means all."""
    return None if request.paths_b64 is None else frozenset(protocol.exact_paths(request.op, request.paths_b64))


def _end_of(output: str) -> str:
    """Its last OUTPUT_BYTES_MAX bytes, without a torn character at the beginning."""
    if len(output) * 4 <= bounds.OUTPUT_BYTES_MAX:
        return output
    return output[-bounds.OUTPUT_BYTES_MAX :].encode()[-bounds.OUTPUT_BYTES_MAX :].decode("utf-8", "ignore")


def _fields(letter: DeadLetterRecord, *, output: bool) -> dict[str, object]:
    """A path that was set aside, as a reply has it."""
    path = letter.path
    text, exact = protocol.path_fields(path.path)
    return {
        "path": text,
        **({} if exact is UNSET else {"path_b64": exact}),
        "is_directory": path.directory,
        "event_type": letter.kind or None,
        "attempts": path.attempts,
        "reason": path.reason,
        "failed_at": letter.at or None,
        "tick": path.tick,
        **({"output": letter.output} if output else {}),
    }


_OPS: Final[dict[str, Callable[[GroupRequests, Group, Any, float], dict[str, object]]]] = {
    "ack": GroupRequests._ack,
    "nack": GroupRequests._nack,
    "release": GroupRequests._release,
    "extend": GroupRequests._extend,
    "seek": GroupRequests._seek,
    "dead": GroupRequests._dead,
    "retry": GroupRequests._retry,
    "discard": GroupRequests._discard,
    "reset": GroupRequests._reset,
}
