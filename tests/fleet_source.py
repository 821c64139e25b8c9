"""A stream as `ship` fills it, without a service: for the tests of those who read it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from jetstream import NatsServer

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.protocol.bodies import NOTHING, Head, Message, encode, end_message, messages
from shardwatch.bridge.protocol.layouts import StreamWish
from shardwatch.bridge.protocol.names import Subjects
from shardwatch.fleet import FleetClient

_streams = itertools.count(1)


class Source:
    """What a ship has put into a stream of its own."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.url = server.url
        self.stream = f"s{next(_streams)}"
        self.names = Subjects(self.stream, "one", 4)
        self.generation = 0
        self.tick = 0

    def tell(self, sizes: Mapping[str, int | None], *, generation: bool = False) -> None:
        """These files have these sizes (None: deleted); `generation`: and there are no others."""
        asyncio.run(self._tell(sizes, generation=generation))

    async def _tell(self, sizes: Mapping[str, int | None], *, generation: bool) -> None:
        broker = await Broker.connected(access(self.url, {}))
        try:
            if await broker.stream(self.stream) is None:
                await broker.create(self.stream, self.names.stream_subjects, StreamWish())
            self.generation += generation
            if generation:
                head = Head("one", "s", "l", self.generation, 0, 0, 4, 4, False)
                await self._put(broker, [Message(self.names.head, NOTHING, encode(head))])
            events = []
            for path, size in sizes.items():
                self.tick += 1
                events.append(Event("deleted" if size is None else "created", path, False, size, size, self.tick, 0.0))
            await self._put(broker, messages(events, self.names, self.generation))
            if generation:
                await self._put(broker, [end_message(self.names, self.generation, n) for n in range(4)])
        finally:
            await broker.close()

    async def _put(self, broker: Broker, outgoing: Sequence[Message]) -> None:
        last = await broker.last_of(self.stream, [message.subject for message in outgoing])
        pairs = [(message, 0 if found is None else found[0]) for message, found in zip(outgoing, last, strict=True)]
        assert None not in await broker.put(self.stream, pairs)


def client_of(source: Source, store: Path) -> FleetClient:
    return FleetClient(store, source.url, stream=source.stream, prefix=source.stream, away_s=2.0)


def files(n: int, size: int = 1) -> dict[str, int | None]:
    return {f"/r/{i}": size for i in range(n)}
