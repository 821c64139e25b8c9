"""One source in one stream, over one connection: its head, its generations, and what of its changes is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from msgspec.structs import replace

from shardwatch.aggregator.protocol.messages import Event

from ..jetstream.broker import Broker
from ..protocol.bodies import Head, Message, Stamp, decode_head, encode
from ..protocol.generations import Progress, Target, next_generation
from ..protocol.layouts import KEEP_S, StreamLayout
from ..protocol.names import Subjects
from ..protocol.stream import StreamFacts
from .logs import PartitionLogs
from .mirror import Mirror
from .notebook import Notebook
from .outlet import LookAgain, Outlet


class ShippedSource:
    """Every method raises what Broker raises, and LookAgain where somebody else has written the head.

    Args:
        life: a random name of this process.
        stream: without fault.
        keep_s: seconds for which a deletion stays in a mirror.
    """

    def __init__(
        self, broker: Broker, notebook: Notebook, names: Subjects, target: Target, life: str, stream: StreamFacts,
        keep_s: float = KEEP_S,
    ) -> None:  # fmt: skip
        self._broker = broker
        self._notebook = notebook
        self._names = names
        self._target = target
        self._life = life
        self.stream = stream
        self._outlet: Outlet
        if stream.layout == StreamLayout.PATHS:
            self._outlet = Mirror(broker, target.stream, names, keep_s)
        else:
            bytes_max = min(broker.body_bytes_max, stream.body_bytes_max or broker.body_bytes_max)
            self._outlet = PartitionLogs(broker, target.stream, names, bytes_max, self.publish_head)
        self._outlet.resume(notebook.progress.generation, notebook.progress.lasts)
        self._lock = asyncio.Lock()
        self._head: Head | None = None
        self._head_sequence = 0
        #: The stream did not keep the beginning of this generation until its end was there.
        self.is_overtaken = False

    async def look(self) -> Head | None:
        """The head that the stream has."""
        found = await self._broker.last(self._target.stream, self._names.head)
        self._head_sequence, self._head = (found[0], decode_head(found[1])) if found is not None else (0, None)
        return self._head

    async def begin(self, until: int) -> None:
        """A new generation: what was shipped before does not count. It is complete once all up to tick `until` is shipped."""
        last, head = self._notebook.progress, self._head
        before = max(last.partitions_before, self._names.partitions)
        if head is not None:
            before = max(before, head.partitions, head.partitions_before)
        progress = replace(
            last,
            target=self._target,
            created=self.stream.created,
            generation=next_generation(last, head, time.time_ns() // 1_000_000),
            counter=max(last.counter, head.counter if head is not None else 0),
            tick=0,
            partitions=self._names.partitions,
            partitions_before=before,
            base=0,
            until=until,
            complete=False,
            lasts=(),
            swept=0,
        )
        self._outlet.resume(progress.generation, ())
        self._notebook.write(progress)  # before anybody can see the number
        await self._advance(progress)
        self._notebook.write(replace(self._notebook.progress, base=self._head_sequence))

    async def ship(self, events: Collection[Event]) -> None:
        """Returns when the stream has all of it, and the notebook says so."""
        progress = self._notebook.progress
        await self._outlet.put(events)
        tick = max(progress.tick, *(event.tick for event in events))
        await self._advance(replace(progress, tick=tick, lasts=self._outlet.lasts))

    async def complete(self) -> None:
        """Everything of this generation is in the stream: says so in each partition, and removes what is older."""
        progress = self._notebook.progress
        await self._outlet.put_ends(max(progress.partitions_before, progress.partitions))
        if self.stream.layout == StreamLayout.BATCHES:
            first, _ = await self._broker.bounds(self._target.stream)
            self.is_overtaken = first > progress.base
        await self._broker.purge(self._target.stream, self._names.everything, below=progress.base)
        await self._advance(
            replace(progress, complete=True, partitions_before=progress.partitions, lasts=self._outlet.lasts)
        )

    async def beat(self) -> None:
        """To be called now and then, also while nothing changes."""
        if self._notebook.progress.base:
            await self._outlet.tend()
        await self.publish_head()

    async def tidy(self) -> None:
        """Removes what nobody needs any more. May take long."""
        progress = self._notebook.progress
        if not progress.complete:
            return

        def note(swept: int) -> None:
            now = self._notebook.progress
            if now.generation == progress.generation:
                self._notebook.write(replace(now, swept=swept))

        await self._outlet.tidy(max(progress.swept, progress.base), note)

    @property
    def progress(self) -> Progress:
        """As the notebook has it."""
        return self._notebook.progress

    async def publish_head(self) -> None:
        """Says that this process ships the source, and how far that is."""
        async with self._lock:
            await self._put_head(self._notebook.progress)

    @property
    def last_head(self) -> tuple[Head, int]:
        """The head that this process has published last, and its sequence. Raises LookAgain if it has not."""
        if self._head is None:
            raise LookAgain
        return self._head, self._head_sequence

    async def _advance(self, progress: Progress) -> None:
        """The stream hears of it first: if it has a lower counter than the notebook, it has lost something."""
        async with self._lock:
            progress = replace(progress, counter=progress.counter + 1)
            await self._put_head(progress)
            self._notebook.write(progress)

    async def _put_head(self, progress: Progress) -> None:
        head = Head(
            source=self._names.source, service=progress.service, life=self._life, generation=progress.generation,
            counter=progress.counter, tick=progress.tick, partitions=progress.partitions,
            partitions_before=progress.partitions_before, complete=progress.complete, base=progress.base,
            lasts=progress.lasts,
        )  # fmt: skip
        message = Message(self._names.head, Stamp(progress.generation, progress.counter), encode(head))
        (sequence,) = await self._broker.put(self._target.stream, [(message, self._head_sequence)])
        if sequence is None:
            raise LookAgain
        self._head_sequence, self._head = sequence, head
