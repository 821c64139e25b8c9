"""What a worker's connection tells of a partition that it opens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from shardwatch.bridge.fleet import member as member_module
from shardwatch.bridge.fleet.listings import WantedListings
from shardwatch.bridge.fleet.member import Member, MemberOptions
from shardwatch.bridge.fleet.readings import LastGeneration, ReadingOpened
from shardwatch.bridge.jetstream.access import Access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.jetstream.reader import StreamMessage
from shardwatch.bridge.protocol.bodies import Head, encode

GUARD_S = 60.0


def head_of(generation: int, base: int) -> bytes:
    return encode(
        Head(
            source="s", service="x", life="y", generation=generation, counter=generation, tick=0, partitions=1,
            partitions_before=1, complete=True, base=base, lasts=(),
        )
    )  # fmt: skip


class Reader:
    """What the stream has when it is made; nothing that comes later, as if the server were slow."""

    def __init__(self, messages: list[StreamMessage]) -> None:
        self.messages = deque(messages)

    @property
    def is_drained(self) -> bool:
        return not self.messages


class Stream:
    """A server with one source. At the moment in which it is asked for its bounds, the source begins another generation."""

    version = "2.10.0"
    connection = None

    def __init__(self) -> None:
        self.heads = [StreamMessage(900, "p.s.head", head_of(1, 10))]
        self.last = 900

    async def stream(self, name: str) -> Any:
        return SimpleNamespace(config={}, created="now")

    async def bounds(self, name: str) -> tuple[int, int]:
        self.heads = [StreamMessage(950, "p.s.head", head_of(2, 950))]
        self.last = 1500
        return 1, self.last

    @contextlib.asynccontextmanager
    async def reading(self, stream: str, subjects: str, after: int | None) -> AsyncIterator[Reader]:
        yield Reader(self.heads if subjects.endswith(".head") else [])

    async def take(self, reader: Reader, most: int, wait_s: float) -> list[StreamMessage]:
        if not reader.messages:
            await asyncio.sleep(wait_s)
        return [reader.messages.popleft() for _ in range(len(reader.messages))]

    async def close(self) -> None:
        pass


class Leases:
    """The one partition is this worker's."""

    def __init__(self, *_: object) -> None:
        pass

    async def make(self, broker: Stream, replicas: int) -> None:
        pass

    @contextlib.asynccontextmanager
    async def reading(self, broker: Stream) -> AsyncIterator[Reader]:
        yield Reader([])

    async def say_alive(self, broker: Stream) -> None:
        pass

    async def turn(self, *_: object) -> None:
        pass

    async def give_back(self, broker: Stream) -> None:
        pass

    def saw(self, messages: object) -> None:
        pass

    def held(self) -> list[int]:
        return [0]


async def test_a_generation_that_began_a_moment_ago_is_told_where_a_partition_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream has lost its last messages, and given their sequences again: the worker would go on behind the first ones of the
    new generation, and take the files in them for gone."""
    stream: Any = Stream()

    async def connected(*_: object) -> Any:
        return stream

    async def nobody_asks(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Broker, "connected", connected)
    monkeypatch.setattr(member_module, "PartitionLeases", Leases)
    monkeypatch.setattr(WantedListings, "ask", nobody_asks)
    member = Member(Access(("nats://unused",), None), MemberOptions("S", "p", "g", "w", 30.0, 0.0))
    try:
        opened = await member.next(GUARD_S)
    finally:
        await member.close()
    assert isinstance(opened, ReadingOpened)
    assert (opened.first, opened.last) == (1, 1500)
    assert opened.generations == (LastGeneration("s", 2, 950, 0),)
