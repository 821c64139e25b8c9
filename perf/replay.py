"""Ships the changes of many sources to one server, each at its moment of a day that is compressed.

There are no files and no services: what a service would hand to its `ship` is made up. Everything from there on is the product's
own: a connection for each source, batches, heads, and what is kept of them on disk.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from day import DAY_S, Change, FleetSource

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.jetstream.server_connection import AwayError
from shardwatch.bridge.protocol.generations import Target
from shardwatch.bridge.protocol.layouts import StreamWish
from shardwatch.bridge.protocol.names import PREFIX, STREAM, Subjects
from shardwatch.bridge.ship.notebook import Notebook
from shardwatch.bridge.ship.outlet import LookAgain
from shardwatch.bridge.ship.shipper import BATCH_MAX
from shardwatch.bridge.ship.source import ShippedSource
from shardwatch.shard.contract.state.layout import Layout

#: As many as `ship` has where nothing else is said.
_PARTITIONS: Final = 16


class Happened(NamedTuple):
    """A change, and when it was made: monotonic seconds."""

    at: float
    path: str


class ReplayedSource:
    """A source and its group: what has changed, and was not shipped yet. Made with `begun`."""

    def __init__(self, source: FleetSource, url: str, home: Path) -> None:
        self._source = source
        self._url = url
        layout = Layout(home / source.name)
        layout.locks.mkdir(parents=True)
        self._target = Target(STREAM, PREFIX, source.name, "ship")
        self._notebook = Notebook(layout, self._target)
        self._tick = 0
        #: By path: the last change of each, as an index has it.
        self._pending: dict[str, Event] = {}
        self._came = asyncio.Event()
        self._is_over = False

    @classmethod
    async def begun(cls, source: FleetSource, url: str, home: Path) -> ReplayedSource:
        """Ships every file, as a first generation."""
        replayed = cls(source, url, home)
        await replayed._connect()
        await replayed._shipped.begin(until=source.files)
        for number in range(source.files):
            replayed.change(number, time.monotonic())
        while replayed._pending:
            await replayed._ship_some()
        await replayed._shipped.complete()
        return replayed

    async def _connect(self) -> None:
        names = Subjects(PREFIX, self._source.name, _PARTITIONS)
        self._broker = await Broker.connected(access(self._url, {}))
        found = await self._broker.stream(STREAM) or await self._broker.create(STREAM, names.stream_subjects, StreamWish())
        life = os.urandom(8).hex()
        self._shipped = ShippedSource(self._broker, self._notebook, names, self._target, life, found)
        await self._shipped.look()

    def change(self, number: int, at: float) -> Happened:
        """`at` is monotonic, and becomes what the event says of when the file was looked at."""
        path = self._source.path(number)
        self._tick += 1
        self._pending[path] = Event("modified", path, False, 60, time.time_ns(), self._tick, at)
        self._came.set()
        return Happened(at, path)

    def end(self) -> None:
        """No more changes come."""
        self._is_over = True
        self._came.set()

    async def ship(self) -> None:
        """Batch after batch, until the end."""
        while self._pending or not self._is_over:
            await self._came.wait()
            self._came.clear()
            while self._pending:
                await self._ship_some()

    async def _ship_some(self) -> None:
        """As `ship` does, it connects anew where a server that is busy does not answer."""
        batch = list(islice(self._pending.items(), BATCH_MAX))
        try:
            await self._shipped.ship([event for _, event in batch])
        except (AwayError, LookAgain):
            await self._broker.close()
            await self._connect()
            return
        for path, event in batch:
            if self._pending[path] is event:
                del self._pending[path]

    async def close(self) -> None:
        await self._broker.close()
        self._notebook.__exit__(None, None, None)


class Replayed(NamedTuple):
    happened: list[Happened]
    #: Monotonic seconds at which the day began.
    begun: float
    #: Seconds for which the machine was late with making the changes, at most.
    late_s: float


class Replay:
    """Every source, begun. For one event loop."""

    def __init__(self, sources: Sequence[ReplayedSource]) -> None:
        self._sources = sources

    @classmethod
    async def begun(cls, sources: Sequence[FleetSource], url: str, home: Path) -> Replay:
        """One after the other, since the first makes the stream."""
        return cls([await ReplayedSource.begun(source, url, home) for source in sources])

    async def run(self, changes: Sequence[Change], day_s: float) -> Replayed:
        """Returns when the day is over, and everything that has changed is in the stream."""
        happened: list[Happened] = []
        late_s = 0.0
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(source.ship())
            begun = time.monotonic()
            for change in changes:
                at = begun + change.at_s * day_s / DAY_S
                if (ahead_s := at - time.monotonic()) > 0:
                    await asyncio.sleep(ahead_s)
                now = time.monotonic()
                late_s = max(late_s, now - at)
                happened.append(self._sources[change.source].change(change.number, now))
            for source in self._sources:
                source.end()
        return Replayed(happened, begun, late_s)

    async def close(self) -> None:
        for source in self._sources:
            await source.close()
