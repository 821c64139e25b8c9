"""Asks whoever ships a source until when it is shipped."""

from __future__ import annotations

from typing import Final

from shardwatch.shard.contract.errors import NotRunningError, ServiceError

from ..jetstream.access import Access
from ..jetstream.server_connection import ServerConnection
from ..protocol.names import check_token, sync_subject
from ..protocol.syncs import SyncRequest, Watermark, decode_sync_reply, encode_sync

#: Seconds that an answer may take beyond its own time.
_GRACE_S: Final = 5.0


async def sync(access: Access, prefix: str, source: str, timeout_s: float) -> Watermark:
    """See FleetClient.sync."""
    check_token("name of a source", source)
    connection = await ServerConnection.opened(access, "shardwatch sync")
    try:
        request = encode_sync(SyncRequest(round(timeout_s * 1000)))
        body = await connection.ask(sync_subject(prefix, source), request, timeout_s + _GRACE_S)
    finally:
        await connection.close()
    if body is None:
        hint = f"start `shardwatch ship --source {source}`, or name another source"
        raise NotRunningError(f"nobody ships the source {source} at {connection.where}", hint=hint, retryable=True)
    reply = decode_sync_reply(body)
    if reply.watermark is None:
        raise ServiceError(f"the source {source}: {reply.error}", hint=reply.remedy, retryable=True)
    return reply.watermark
