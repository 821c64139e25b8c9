"""Has everything told again for a consumer that has missed something, as a new generation.

One generation is for all who ask meanwhile, and none begins before the last one is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.syncs import SyncReply
from .source import ShippedSource

#: While the generation that was asked for has not begun.
SOON: Final = SyncReply(is_coming=True, error="everything is about to be told again", remedy="ask again in some seconds")


class ShipListings:
    """For one source, over one connection.

    Args:
        service: makes a client of the service.
    """

    def __init__(self, service: Callable[[], AsyncExtractClient], group: str, source: ShippedSource) -> None:
        self._service = service
        self._group = group
        self._source = source
        #: The generation that is to be followed by another one.
        self._over = 0

    async def answer(self, above: int) -> SyncReply:
        """Begins a generation above this one, unless one has begun. The reply is an error for as long as none has."""
        progress = self._source.progress
        if progress.base and progress.generation > above:
            return SyncReply(generation=progress.generation)
        if not progress.base or not progress.complete or self._over == progress.generation:
            return SOON
        if self._source.is_overtaken:
            return SyncReply(
                error=f"the stream keeps less than what the source has: it had removed the beginning of generation"
                f" {progress.generation} before its end was there",
                remedy="raise max_bytes or max_age of the stream (`nats stream edit`), and run `shardwatch groups reset` for the"
                f" group {self._group}",
            )
        self._over = progress.generation
        try:
            with contextlib.closing(self._service()) as client:
                await client.reset(self._group)
        except ShardwatchError as error:
            self._over = 0
            return SyncReply(error=error.message, remedy=error.hint)
        return SOON
