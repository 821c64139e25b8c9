"""Reads the partitions that a worker has, each in a task of its own, and tells what comes from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from ..jetstream.broker import Broker
from .course import Arrived
from .readings import Began, Chunk, LastGeneration, ReadingOpened

#: Seconds for which a server may keep a question for messages.
POLL_S: Final = 20.0
#: Messages that are taken at a time.
TAKEN_MAX: Final = 1_000
#: The same where they may be large, as those of a log are: unless so many have come at once, of which none had more bytes than
#: that. A few small ones say nothing: a log has some while little changes, and large ones after that. Of a partition, 16 MiB at
#: most are in memory so, unless all that comes after so many small ones is large.
LARGE_TAKEN_MAX: Final = 64
SMALL_BYTES: Final = 1 << 14


class _Reading:
    """A partition that is read over one connection."""

    def __init__(self, partition: int, number: int) -> None:
        self.partition = partition
        self.number = number
        self.start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.wanted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        #: Everything that was there was handed on, and is done with.
        self.is_idle = False


class PartitionReader:
    """Of one worker, over one connection after the other; each partition is read at most once at a time.

    Args:
        happened: is told what comes, in order.
    """

    def __init__(self, stream: str, prefix: str, happened: Callable[[ReadingOpened | Began | Chunk], None]) -> None:
        self._stream = stream
        self._prefix = prefix
        self._happened = happened
        self._readings: dict[int, _Reading] = {}
        #: How many readings there were. Each has a number, so that what is asked of an earlier one is known.
        self._count = 0

    def open(
        self, broker: Broker, tasks: asyncio.TaskGroup, partition: int, stream: str, bounds: tuple[int, int],
        generations: tuple[LastGeneration, ...],
    ) -> None:  # fmt: skip
        """Opens a partition that is not read.

        Args:
            stream: its name, and when it was made.
            bounds: the lowest sequence that it has, and the highest.
        """
        self._count += 1
        reading = self._readings[partition] = _Reading(partition, self._count)
        reading.task = tasks.create_task(self._read(broker, reading))
        self._happened(ReadingOpened(partition, reading.number, stream, generations, *bounds))

    def partitions(self) -> set[int]:
        """That are read."""
        return set(self._readings)

    def is_current(self, partition: int, number: int) -> bool:
        return self._current(partition, number) is not None

    def are_idle(self, partitions: Collection[int]) -> bool:
        """Whether everything that was in these was handed on, and is done with."""
        return all(partition in self._readings and self._readings[partition].is_idle for partition in partitions)

    def start(self, partition: int, number: int, after: int) -> None:
        """Reads what comes after this sequence; from the beginning, if the stream has not come so far."""
        reading = self._current(partition, number)
        if reading is not None and not reading.start.done():
            reading.start.set_result(after)

    def more(self, partition: int, number: int) -> None:
        """What was told last is done with."""
        reading = self._current(partition, number)
        if reading is not None:
            reading.wanted.set()

    def drop(self, partition: int) -> None:
        reading = self._readings.pop(partition)
        reading.start.cancel()
        if reading.task is not None:
            reading.task.cancel()

    def drop_all(self) -> None:
        for partition in list(self._readings):
            self.drop(partition)

    def _current(self, partition: int, number: int) -> _Reading | None:
        reading = self._readings.get(partition)
        return reading if reading is not None and reading.number == number else None

    async def _read(self, broker: Broker, reading: _Reading) -> None:
        after = await reading.start
        _, last = await broker.bounds(self._stream)
        if after > last:
            after = 0  # the stream has lost its last messages
        async with broker.reading(self._stream, f"{self._prefix}.*.{reading.partition}.*", after) as reader:
            self._happened(Began(reading.partition, reading.number, after))
            most = LARGE_TAKEN_MAX
            while True:
                reading.is_idle = reader.is_drained
                messages = await broker.take(reader, most, POLL_S)
                if messages:
                    many = len(messages) >= LARGE_TAKEN_MAX
                    small = max(len(message.body) for message in messages) <= SMALL_BYTES
                    most = TAKEN_MAX if many and small else LARGE_TAKEN_MAX
                    reading.is_idle = False
                    reading.wanted.clear()
                    arrived = [Arrived(message.sequence, message.body, message.is_newest) for message in messages]
                    self._happened(Chunk(reading.partition, reading.number, arrived))
                    await reading.wanted.wait()
