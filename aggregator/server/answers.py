"""Replies that only put together what is known: `hello`, and the outcome of a sync. Pure; used by `serve` only."""

from __future__ import annotations

from collections.abc import Mapping

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.version import __version__

from ..groups.index_port import Index
from ..protocol import bounds
from ..protocol.messages import RefusedError


def hello(index: Index, settings: Settings, *, ready: bool, groups_max: int) -> dict[str, object]:
    """What a client may know before it begins."""
    limits = {
        "request_bytes": bounds.REQUEST_BYTES_MAX,
        "batch": settings.batch_size_max,
        "leases": settings.leases_max,
        "groups": groups_max,
        "wait_ms": bounds.WAIT_MS_MAX,
        "lease_ms": bounds.LEASE_MS_MAX,
        "hold_ms": settings.hold_ms_max,
    }
    fields = {"server": "shardwatch", "version": __version__, "incarnation": index.incarnation, "tick": index.tick}
    return {**fields, "ready": ready, "lease_ms": settings.lease_ms, "limits": limits}


def synced(result: Mapping[str, object], tick: int) -> dict[str, object] | RefusedError:
    """The answer of a sync that is over."""
    if result.get("ok"):
        left_out = {"left_out": result["left_out"]} if result.get("left_out") else {}
        return {"tick": tick, **left_out}
    more = {key: value for key, value in result.items() if key not in ("ok", "error", "message", "remedy")}
    return RefusedError(
        "sync_failed",
        str(result.get("message") or result.get("error") or "not everything could be looked at"),
        str(result.get("remedy") or "see `status` for the subtrees and shards"),
        **more,
    )
