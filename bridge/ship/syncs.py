"""Answers until when a source is shipped, while it is shipped, and whoever wants it told again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.syncs import SyncReply, Watermark, decode_sync_request, encode_sync
from .listings import ShipListings
from .outlet import LookAgain
from .source import ShippedSource

#: Requests that are worked on at a time, each with a connection to the service; others wait for one of these to end. Whoever has
#: asked may be gone, of which nobody hears, so that each may take all of its time.
AT_A_TIME: Final = 64
_MS_MAX: Final = 86_400_000


class ShipSyncs:
    """For one source, over one connection.

    Args:
        service: makes a client of the service.
    """

    def __init__(self, service: Callable[[], AsyncExtractClient], group: str, source: ShippedSource) -> None:
        self._service = service
        self._group = group
        self._source = source
        self._listings = ShipListings(service, group, source)
        self._room = asyncio.Semaphore(AT_A_TIME)

    async def answer(self, body: bytes) -> bytes:
        """Waits until the group has acknowledged all that had changed; ship does so once the stream has it."""
        request = decode_sync_request(body)
        if request is None or not 0 <= request.timeout_ms <= _MS_MAX:
            return encode_sync(SyncReply(error="it is no request for a sync", remedy="see docs/fleet.md"))
        if request.above is not None:
            return encode_sync(await self._listings.answer(request.above))
        deadline = time.monotonic() + request.timeout_ms / 1000
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                await self._room.acquire()
        except TimeoutError:
            why = f"{AT_A_TIME} syncs of this source are waited for already"
            return encode_sync(SyncReply(error=why, remedy="try again later"))
        try:
            return encode_sync(await self._synced(max(0.0, deadline - time.monotonic())))
        finally:
            self._room.release()

    async def _synced(self, timeout_s: float) -> SyncReply:
        with contextlib.closing(self._service()) as client:
            try:
                await client.wait(self._group, timeout_s)
                return SyncReply(await self._watermark())
            except ShardwatchError as error:
                return SyncReply(error=error.message, remedy=error.hint)
            except LookAgain:
                return SyncReply(error="another process ships this source now", remedy="try again")

    async def _watermark(self) -> Watermark:
        """Raises LookAgain where somebody else ships the source by now."""
        await self._source.publish_head()
        head, sequence = self._source.last_head
        return Watermark(head.source, head.generation, head.tick, sequence)
