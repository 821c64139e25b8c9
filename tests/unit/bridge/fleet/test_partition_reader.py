"""How much of a partition is read at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from shardwatch.bridge.fleet.partition_reader import LARGE_TAKEN_MAX, SMALL_BYTES, TAKEN_MAX, PartitionReader
from shardwatch.bridge.fleet.readings import Began, Chunk, ReadingOpened
from shardwatch.bridge.jetstream.reader import StreamMessage


class Stream:
    """A server that has one message after the other, of these sizes."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)
        #: How many messages were asked for, each time.
        self.asked: list[int] = []

    async def bounds(self, name: str) -> tuple[int, int]:
        return 1, len(self.sizes)

    @contextlib.asynccontextmanager
    async def reading(self, stream: str, subjects: str, after: int | None) -> AsyncIterator[Any]:
        yield SimpleNamespace(is_drained=False)

    async def take(self, reader: Any, most: int, wait_s: float) -> list[StreamMessage]:
        self.asked.append(most)
        if not self.sizes:
            await asyncio.Event().wait()
        return [StreamMessage(len(self.asked), "p.s.0.k", bytes(self.sizes.pop(0)))]


async def test_large_messages_are_read_few_at_a_time() -> None:
    """Many small ones together: those of a mirror. It is not known before what a partition has."""
    stream: Any = Stream(SMALL_BYTES, SMALL_BYTES + 1, 100)
    chunks: asyncio.Queue[Chunk] = asyncio.Queue()

    def happened(event: ReadingOpened | Began | Chunk) -> None:
        if isinstance(event, ReadingOpened):
            reader.start(event.partition, event.reading, 0)
        elif isinstance(event, Chunk):
            chunks.put_nowait(event)

    reader = PartitionReader("S", "p", happened)
    async with asyncio.TaskGroup() as tasks:
        reader.open(stream, tasks, 0, "S of now", (1, 3), ())
        for _ in range(3):
            chunk = await chunks.get()
            reader.more(chunk.partition, chunk.reading)
        while len(stream.asked) < 4:
            await asyncio.sleep(0)
        reader.drop_all()
    assert stream.asked == [LARGE_TAKEN_MAX, TAKEN_MAX, LARGE_TAKEN_MAX, TAKEN_MAX]
