"""A `RealtimeFileWatcher` over a source of the test's own, instead of a service. For tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shardwatch import FileEvent, RealtimeFileWatcher, WatcherConfig
from shardwatch.shard.contract.state.settings import Settings


class FakeDelivery:
    """A batch that remembers what became of it."""

    def __init__(self, events: list[FileEvent], *, fresh: bool = False, more: bool = False) -> None:
        self.events = events
        self.fresh = fresh
        self.more = more
        self.fate: list[str] = []
        self.settled = asyncio.Event()

    async def ack(self) -> None:
        self.fate.append("ack")
        self.settled.set()

    async def nack(self, reason: str) -> None:
        self.fate.append("nack")
        self.settled.set()

    async def extend(self) -> None:
        self.fate.append("extend")


class FakeSource:
    """Hands out what the test puts into `pending`."""

    def __init__(self, state_dir: Path, settings: Settings, config: WatcherConfig) -> None:
        self.state_dir = state_dir
        self.settings = settings
        self.pending: asyncio.Queue[FakeDelivery | Exception] = asyncio.Queue()
        self.log: list[str] = []
        self.start_error: Exception | None = None
        self.sync_error: Exception | None = None
        self.starts_when: asyncio.Event | None = None
        self.set_aside = 0

    async def start(self) -> None:
        self.log.append("start")
        if self.starts_when is not None:
            await self.starts_when.wait()
        if self.start_error is not None:
            raise self.start_error

    async def pull(self, max_events: int, wait_s: float) -> FakeDelivery | None:
        try:
            found = await asyncio.wait_for(self.pending.get(), max(wait_s, 0.001))
        except TimeoutError:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    async def sync(self, timeout_s: float) -> None:
        self.log.append("sync")
        if self.sync_error is not None:
            raise self.sync_error

    async def backlog(self) -> int:
        return 77

    async def release(self) -> None:
        self.log.append("release")

    async def retry(self) -> int:
        self.log.append("retry")
        found, self.set_aside = self.set_aside, 0
        return found

    async def stop(self, timeout_s: float) -> None:
        self.log.append("stop")

    def give(self, *events: FileEvent, more: bool = False) -> FakeDelivery:
        delivery = FakeDelivery(list(events), more=more)
        self.pending.put_nowait(delivery)
        return delivery


class Bench:
    """A watcher, its fake source, and what the handler was given."""

    def __init__(self, **options: Any) -> None:
        self.source: FakeSource
        self.prepare: Callable[[FakeSource], None] = lambda source: None
        self.watcher = RealtimeFileWatcher(WatcherConfig(**options), source=self._make)
        self.batches: list[list[FileEvent]] = []
        #: For a test that can't keep its delivery elsewhere.
        self.given: FakeDelivery

    def _make(self, state_dir: Path, settings: Settings, config: WatcherConfig) -> FakeSource:
        self.source = FakeSource(state_dir, settings, config)
        self.prepare(self.source)
        return self.source

    def take(self, events: list[FileEvent]) -> None:
        self.batches.append(events)


def at(path: str | Path, kind: str = "modified", time: float = 1.0, **more: Any) -> FileEvent:
    return FileEvent(Path(path), kind, time, **more)


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop run until the condition holds; 30 s are a guard against hangs."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)
