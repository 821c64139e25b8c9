"""Answers until when a source is shipped, while it is shipped, and whoever wants it told again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.syncs import SyncReply, Watermark, decode_sync_request, encode_sync
from .listings import ShipListings
from .outlet import LookAgain
from .source import ShippedSource

#: Requests that are worked on at a time; others wait.
_AT_A_TIME: Final = 8
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
        self._room = asyncio.Semaphore(_AT_A_TIME)

    async def answer(self, body: bytes) -> bytes:
        """Waits until the group has acknowledged all that had changed; ship does so once the stream has it."""
        request = decode_sync_request(body)
        if request is None or not 0 <= request.timeout_ms <= _MS_MAX:
            return encode_sync(SyncReply(error="it is no request for a sync", remedy="see docs/fleet.md"))
        if request.above is not None:
            return encode_sync(await self._listings.answer(request.above))
        async with self._room:
            with contextlib.closing(self._service()) as client:
                try:
                    await client.wait(self._group, request.timeout_ms / 1000)
                    return encode_sync(SyncReply(await self._watermark()))
                except ShardwatchError as error:
                    return encode_sync(SyncReply(error=error.message, remedy=error.hint))
                except LookAgain:
                    return encode_sync(SyncReply(error="another process ships this source now", remedy="try again"))

    async def _watermark(self) -> Watermark:
        """Raises LookAgain where somebody else ships the source by now."""
        await self._source.publish_head()
        head, sequence = self._source.last_head
        return Watermark(head.source, head.generation, head.tick, sequence)
