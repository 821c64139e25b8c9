"""Asks for sources to be told again, of which something was missed, until they are."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from shardwatch.shard.contract.errors import ServiceError

from ..jetstream.server_connection import AwayError, ServerConnection
from ..protocol.names import sync_subject
from ..protocol.syncs import SyncRequest, decode_sync_reply, encode_sync

logger = logging.getLogger("shardwatch.bridge.fleet")

#: Seconds between two questions.
_AGAIN_S: Final = 2.0
#: Seconds that an answer may take. It does not wait for anything.
_ANSWER_S: Final = 10.0


class WantedListings:
    """Of one worker, over one connection after the other."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        #: Source -> generation that has to be followed by another one.
        self._wanted: dict[str, int] = {}
        self._came = asyncio.Event()
        #: Source -> why it is not told again yet, and what helps.
        self._refusals: dict[str, tuple[str, str]] = {}

    def check(self) -> None:
        """Raises ServiceError where one that is wanted was refused, or nobody answers."""
        for source in self._wanted:
            why, hint = self._refusals.get(source, ("", ""))
            if why:
                raise ServiceError(f"the source {source} has to be told again, as some of it was missed: {why}", hint=hint)

    def want(self, source: str, generation: int) -> None:
        """A later one than this."""
        self._wanted[source] = max(generation, self._wanted.get(source, 0))
        self._came.set()

    async def ask(self, connection: ServerConnection) -> None:
        """Asks for as long as the connection lasts."""
        while True:
            for source, generation in list(self._wanted.items()):
                if await self._has_begun(connection, source, generation) and self._wanted[source] == generation:
                    del self._wanted[source]
            self._came.clear()
            if self._wanted:
                await asyncio.sleep(_AGAIN_S)
            else:
                await self._came.wait()

    async def _has_begun(self, connection: ServerConnection, source: str, generation: int) -> bool:
        try:
            request = encode_sync(SyncRequest(above=generation))
            body = await connection.ask(sync_subject(self._prefix, source), request, _ANSWER_S)
        except AwayError as error:  # whoever ships it may hang; if the connection is lost, others notice
            self._refused(source, error.message, error.hint)
            return False
        if body is None:
            self._refused(source, "nobody ships it", f"start `shardwatch ship --source {source}`")
            return False
        reply = decode_sync_reply(body)
        if reply.generation > generation or reply.is_coming:
            self._refusals.pop(source, None)
        else:
            self._refused(source, reply.error, reply.remedy)
        return reply.generation > generation

    def _refused(self, source: str, why: str, hint: str) -> None:
        if self._refusals.get(source) != (why, hint):
            self._refusals[source] = why, hint
            logger.warning("The source %s has to be told again: %s (%s)", source, why, hint)
