"""The real service behind `RealtimeFileWatcher`: started as a child, asked over the extract socket, and ended with the
watcher.

Only `RealtimeFileWatcher` imports this module, and only when monitoring starts, because it loads ZeroMQ and the
launcher.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec import UNSET

from shardwatch.aggregator.client.asynchronous import AsyncBatch, AsyncExtractClient
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.protocol.messages import Event
from shardwatch.aggregator.queue.file_event import FileEvent
from shardwatch.shard.contract.errors import NotRunningError, ServiceTimeoutError
from shardwatch.shard.contract.state.settings import Settings

from ..service.child import ChildService
from ..service.state_dir import prepare
from .handover import ServiceBatch
from .types import WatcherConfig

logger = logging.getLogger("shardwatch.supervisor.api")

#: Seconds between two looks at a service that does not listen yet.
LOOK_S: Final = 0.01


class ServiceDelivery:
    """One batch of the extract protocol, as the watcher sees it."""

    def __init__(self, batch: AsyncBatch) -> None:
        self._batch = batch
        self.fresh = batch.fresh is not None
        self.more = batch.more
        self.events = [_file_event(event) for event in batch.events]

    async def ack(self) -> None:
        await self._batch.ack()

    async def nack(self, reason: str) -> None:
        await self._batch.nack(reason)

    async def extend(self) -> None:
        await self._batch.extend()


class ServiceSource:
    """Starts, asks and ends one service. Belongs to one event loop."""

    def __init__(self, state_dir: Path, settings: Settings, config: WatcherConfig) -> None:
        self._state_dir = state_dir
        self._settings = settings
        self._config = config
        self._child: ChildService | None = None
        #: Two clients: what one asks waits for its answer, and a pull waits long.
        self._puller: AsyncExtractClient | None = None
        self._asker: AsyncExtractClient | None = None
        self._threads = ThreadPoolExecutor(1, "shardwatch-service")
        self._first: AsyncBatch | None = None
        #: What is pending, batch after batch, and the wait after which it ends.
        self._batches: AsyncGenerator[AsyncBatch, None] | None = None
        self._waits_s = 0.0
        self._worker = f"watcher:{config.group}"[:200]

    async def start(self) -> None:
        """Returns once every directory is watched and the group stands at that moment, or where it stood last."""
        self._puller = AsyncExtractClient(self._state_dir, worker=self._worker)
        self._asker = AsyncExtractClient(self._state_dir)
        await self._launch()
        # What a watcher that was killed had been handed, and what it had failed at, is due again.
        try:
            await self.release()
            await self._asker.retry(self._config.group)
        except RequestError as error:
            if error.code != "unknown_group":
                raise
        self._first = await self._puller.pull(self._config.group, max=self._config.batch_size, from_="now")

    async def _launch(self) -> None:
        await self._in_thread(self._start_child)
        await self._wait_ready()

    def _start_child(self) -> None:
        ephemeral = self._config.state_dir is None
        prepared = prepare(self._state_dir, self._settings, temporary=ephemeral)
        for note in prepared.notes:
            logger.warning("%s", note)
        self._child = ChildService(prepared.layout, follow=True, ephemeral=ephemeral, claim=prepared.claim)

    async def _wait_ready(self) -> None:
        assert self._asker is not None and self._child is not None
        deadline = time.monotonic() + self._config.ready_timeout_s
        while True:
            await self._in_thread(self._child.check)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise ServiceTimeoutError(
                    f"the tree is not watched after {self._config.ready_timeout_s:g} s",
                    hint="raise WatcherConfig.ready_timeout_s",
                )
            try:
                if await self._asker.ready(min(left_s, 0.5)) is not None:
                    return
            except (NotRunningError, ServiceTimeoutError, RequestError) as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(LOOK_S)

    async def pull(self, max_events: int, wait_s: float) -> ServiceBatch | None:
        """The next batch, or None. A service that was killed is started again: the state directory has everything."""
        assert self._puller is not None
        if self._first is not None:
            batch, self._first = self._first, None
            return ServiceDelivery(batch)
        try:
            found = await self._next(self._puller, max_events, wait_s)
        except NotRunningError:
            if self._child is None or not self._child.ended:
                raise
            logger.error("The service ended with code %s: starting it again", self._child.process.returncode)
            self._child.let_go()
            await self._launch()
            return None
        return ServiceDelivery(found) if found is not None else None

    async def _next(self, puller: AsyncExtractClient, max_events: int, wait_s: float) -> AsyncBatch | None:
        """The next batch, or None if none came in that time. The one after it is on its way while the handler works."""
        if self._batches is not None and wait_s != self._waits_s:
            await self._batches.aclose()
            self._batches = None
        if self._batches is None:
            self._waits_s = wait_s
            self._batches = puller.batches(
                self._config.group, max=max_events, wait_s=wait_s, follow=False, lease_s=self._config.lease_s, from_="fresh"
            )
        batches, self._batches = self._batches, None  # if it is interrupted, or fails, it has ended
        found = await anext(batches, None)
        if found is not None:
            self._batches = batches
        return found

    async def sync(self, timeout_s: float) -> None:
        if self._asker is not None:
            await self._asker.sync(timeout_s)

    async def backlog(self) -> int:
        assert self._asker is not None
        for group in await self._asker.groups():
            if group["name"] == self._config.group:
                ahead = [int(lease["paths"]) for lease in group["leases"] if lease.get("ahead")]
                return int(group.get("backlog") or 0) + sum(ahead)
        return 0

    async def release(self) -> None:
        """Makes due what is leased in our name."""
        # Behind whatever was asked for by the same way: a pull that is still on its way would be answered after it.
        assert self._puller is not None
        await self._puller.release(self._config.group, worker=self._worker)

    async def retry(self) -> int:
        assert self._asker is not None
        return await self._asker.retry(self._config.group)

    async def stop(self, timeout_s: float) -> None:
        """Ends everything that `start` began, at whatever point it stands. May be called twice."""
        try:
            child, self._child = self._child, None
            if child is not None:
                await self._in_thread(lambda: child.stop(timeout_s))
        finally:
            for client in (self._puller, self._asker):
                if client is not None:
                    client.close()
            if self._batches is not None:
                await self._batches.aclose()
            self._puller = self._asker = None
            self._threads.shutdown(wait=True)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Blocking work, waited for even by a task that is cancelled: a service that was started must be known."""
        done = asyncio.ensure_future(asyncio.wrap_future(self._threads.submit(work)))
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait([done])
            done.exception()  # who is cancelled does not hear of it
            raise


def _file_event(event: Event) -> FileEvent:
    return FileEvent(
        path=Path(event.path),
        event_type=event.event_type,
        timestamp=event.observed_at,
        file_size=event.size,
        is_directory=event.is_directory,
        moved_from=None if event.moved_from is UNSET else Path(event.moved_from),
        tick=event.tick,
        mtime_ns=event.mtime_ns,
    )
