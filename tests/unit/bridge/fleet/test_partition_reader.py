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
    """A server that has so many messages of a size, and then others."""

    def __init__(self, *parts: tuple[int, int]) -> None:
        self.parts = list(parts)
        #: How many messages were asked for, each time.
        self.asked: list[int] = []

    async def bounds(self, name: str) -> tuple[int, int]:
        return 1, sum(count for count, _ in self.parts)

    @contextlib.asynccontextmanager
    async def reading(self, stream: str, subjects: str, after: int | None) -> AsyncIterator[Any]:
        yield SimpleNamespace(is_drained=False)

    async def take(self, reader: Any, most: int, wait_s: float) -> list[StreamMessage]:
        self.asked.append(most)
        if not self.parts:
            await asyncio.Event().wait()
        count, size = self.parts.pop(0)
        return [StreamMessage(len(self.asked), "p.s.0.k", bytes(size)) for _ in range(count)]


async def test_large_messages_are_read_few_at_a_time() -> None:
    """Many small ones together: those of a mirror. A few say nothing of what comes next."""
    many = LARGE_TAKEN_MAX
    stream: Any = Stream((many - 1, 100), (many, SMALL_BYTES), (many, SMALL_BYTES + 1), (many, 100), (1, 100))
    chunks: asyncio.Queue[Chunk] = asyncio.Queue()

    def happened(event: ReadingOpened | Began | Chunk) -> None:
        if isinstance(event, ReadingOpened):
            reader.start(event.partition, event.reading, 0)
        elif isinstance(event, Chunk):
            chunks.put_nowait(event)

    reader = PartitionReader("S", "p", happened)
    async with asyncio.TaskGroup() as tasks:
        reader.open(stream, tasks, 0, "S of now", (1, 4 * many), ())
        for _ in range(5):
            chunk = await chunks.get()
            reader.more(chunk.partition, chunk.reading)
        while len(stream.asked) < 6:
            await asyncio.sleep(0)
        reader.drop_all()
    assert stream.asked == [many, many, TAKEN_MAX, many, TAKEN_MAX, many]
