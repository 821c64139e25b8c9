"""Hands events to the user's handler, and acknowledges them to their source: the service, or the watcher's queue.

An event is acknowledged only after the handler has returned. Every event that is kept here is on lease from one of the
two sources.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from shardwatch.aggregator.queue.file_event import FileEvent, split_moves
from shardwatch.shard.contract.errors import ShardwatchError

from .calls import Calls, Handler, is_async
from .types import WatcherConfig, WatcherStats

if TYPE_CHECKING:
    from shardwatch.aggregator.queue.event_queue import EventQueue

logger = logging.getLogger("shardwatch.supervisor.api")

#: Seconds that one request for changes waits. Long, so that a quiet tree costs nothing; a stop interrupts it.
PULL_S: Final = 30.0
#: Seconds until an event that the handler refused is handed over again: first time, and at most; doubled each time.
RETRY_S, RETRY_S_MAX = 0.1, 30.0
#: Refusals after which an event of the queue is handed over alone, so that it can't hold up its neighbours.
TOGETHER_ATTEMPTS_MAX: Final = 3
#: Seconds between two questions for the service's backlog.
BACKLOG_EVERY_S: Final = 1.0

T = TypeVar("T")


class ServiceBatch(Protocol):
    """What the service handed out: a list of events, or a `fresh` (all that was known is void, everything follows)."""

    @property
    def events(self) -> Sequence[FileEvent]: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def more(self) -> bool: ...

    async def ack(self) -> None: ...
    async def nack(self, reason: str) -> None: ...
    async def extend(self) -> None: ...


class Source(Protocol):
    """The service as the watcher needs it. Internal: a seam for tests; `supervisor.api.source` is the real one."""

    async def start(self) -> None: ...
    async def pull(self, max_events: int, wait_s: float) -> ServiceBatch | None: ...
    async def sync(self, timeout_s: float) -> None: ...
    async def backlog(self) -> int: ...
    async def release(self) -> None: ...
    async def retry(self) -> int: ...
    async def stop(self, timeout_s: float) -> None: ...


class HandOver:
    """One handler and what it is given, from two sources, one call at a time.

    Args:
        stats: counted here.
        calls: what runs the handler.
    """

    def __init__(
        self,
        config: WatcherConfig,
        stats: WatcherStats,
        handler: Handler,
        on_fresh: Callable[[], Any] | None,
        calls: Calls,
    ) -> None:
        self._config = config
        self._stats = stats
        self._handler = handler
        self._on_fresh = on_fresh
        self._calls = calls
        self._delivering = asyncio.Lock()
        #: Whether the service may have set something aside, and when to ask for it again (monotonic).
        self._failed = False
        self._retry_due = 0.0
        self._ended = asyncio.Event()
        #: What an async handler raised that is meant for the whole program: SystemExit or KeyboardInterrupt.
        self._exit: BaseException | None = None
        #: Events that the handler has now.
        self.in_hand = 0
        #: Events that wait in the service, as last asked for.
        self.backlog = 0

    @property
    def ending(self) -> bool:
        """Whether both sources are followed only until they have nothing left, or the handler refuses."""
        return self._ended.is_set()

    def end(self) -> None:
        """From now on, `ending`. Waiting ends at once."""
        self._ended.set()

    async def follow_service(self, source: Source) -> None:
        pause_s = RETRY_S
        asked = 0.0
        while True:
            try:
                delivery = await self._pull(source)
                if delivery is None:
                    self.backlog = 0
                    if self.ending:
                        return
                    await self._retry_set_aside(source)
                    continue
                taken = await self._deliver_service(delivery)
                self._leave()
                if self.ending and not taken:
                    return
                if taken and not self.ending:  # there may be no moment without a delivery
                    await self._retry_set_aside(source)
                if not delivery.more:
                    self.backlog = 0
                elif time.monotonic() - asked >= BACKLOG_EVERY_S:
                    asked = time.monotonic()
                    self.backlog = await source.backlog()
                pause_s = RETRY_S
            except ShardwatchError as error:
                if self.ending:
                    return
                logger.error("The service could not be asked: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def _pull(self, source: Source) -> ServiceBatch | None:
        if not self.ending:
            wait_s = min(PULL_S, max(0.0, self._retry_due - time.monotonic()) + RETRY_S) if self._failed else PULL_S
            done, delivery = await self._unless_ending(source.pull(self._config.batch_size, wait_s))
            if done:
                return delivery
            await source.release()  # what the interrupted request may have been answered with
        return await source.pull(self._config.batch_size, 0.0)

    async def _dequeue(self, queue: EventQueue) -> list[FileEvent]:
        if not self.ending:
            done, events = await self._unless_ending(queue.dequeue_batch(self._config.batch_size, wait_s=PULL_S))
            if done:
                return events or []
        return await queue.dequeue_batch(self._config.batch_size)

    async def _unless_ending(self, asking: Coroutine[Any, Any, T]) -> tuple[bool, T | None]:
        """(True, the answer), or (False, None) if the end came first; the question is withdrawn then."""
        asked = asyncio.ensure_future(asking)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([asked, ended], return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                asked.cancel()
                await asyncio.wait([asked])
        finally:
            asked.cancel()
            ended.cancel()
        return (False, None) if asked.cancelled() else (True, asked.result())

    async def _deliver_service(self, delivery: ServiceBatch) -> bool:
        if delivery.fresh:
            self._stats.fresh_starts += 1
            logger.warning("The index was lost: everything present follows as created")
            if self._on_fresh is not None:
                async with self._delivering:
                    forgot = await self._call(self._on_fresh)
                if not forgot:
                    await delivery.nack("the handler's on_fresh raised")
                    return False
            await delivery.ack()
            return True
        events = list(delivery.events)
        if not self._config.report_moves:
            events = split_moves(events)
        try:
            for chunk in _chunks(events, self._config.batch_size):
                if not await self._hand_on_lease(chunk, delivery):
                    self._failed = True
                    await delivery.nack("the handler raised")
                    return False
        except asyncio.CancelledError:
            await delivery.nack("the handler was cancelled")
            raise
        await delivery.ack()
        return True

    async def _hand_on_lease(self, events: list[FileEvent], delivery: ServiceBatch) -> bool:
        """Hands over, and keeps the lease for as long as the handler works."""
        handing = asyncio.ensure_future(self._hand(events))
        try:
            while not (await asyncio.wait([handing], timeout=self._config.lease_s / 3))[0]:
                try:
                    await delivery.extend()
                except ShardwatchError as error:
                    logger.warning("The lease could not be extended: %s", error)
        except asyncio.CancelledError:
            handing.cancel()
            await asyncio.wait([handing])
            raise
        return handing.result()

    async def _retry_set_aside(self, source: Source) -> None:
        """The service sets aside what failed several times. A handler's trouble may pass: now and then, all is due again."""
        if self._failed and time.monotonic() >= self._retry_due:
            self._retry_due = time.monotonic() + RETRY_S_MAX
            self._failed = await source.retry() > 0

    async def follow_queue(self, queue: EventQueue) -> None:
        pause_s = RETRY_S
        while True:
            try:
                events = await self._dequeue(queue)
                if not events and self.ending:
                    return
                together = [event for event in events if event.attempts < TOGETHER_ATTEMPTS_MAX]
                alone = [[event] for event in events if event.attempts >= TOGETHER_ATTEMPTS_MAX]
                taken = True
                for chunk in ([together] if together else []) + alone:
                    taken = await self._deliver_queued(queue, chunk) and taken
                    self._leave()
                if self.ending and not taken:
                    return
                pause_s = RETRY_S
            except ShardwatchError as error:
                if self.ending:
                    return
                logger.error("The queue could not be read: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def _deliver_queued(self, queue: EventQueue, events: list[FileEvent]) -> bool:
        try:
            taken = await self._hand([replace(event) for event in events])  # a handler may change what it is given
        except asyncio.CancelledError:
            await queue.nack(events)
            raise
        if taken:
            await queue.ack(events)
        else:
            attempts = max(event.attempts for event in events)
            await queue.nack(events, retry_s=min(RETRY_S * 2.0 ** min(attempts, 16), RETRY_S_MAX))
        return taken

    async def _hand(self, events: list[FileEvent]) -> bool:
        """Calls the handler with the events, never two calls at once; whether it took them."""
        async with self._delivering:
            self.in_hand = len(events)
            try:
                taken = await self._call(self._handler, list(events))
            finally:
                self.in_hand = 0
        if taken:
            self._stats.events_processed += len(events)
            self._stats.batches_processed += 1
        return taken

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> bool:
        """Whether the user's function returned. It may do anything: that is counted and logged, and goes no further.

        Save that SystemExit and KeyboardInterrupt of an async function end the delivery, and then the event loop, as they do
        in any other task. In a thread they mean nothing to the program.
        """
        error = await self._calls.outcome(function, *arguments)
        if error is None:
            return True
        self._stats.processing_errors += 1
        try:
            logger.error("The handler failed; what it was given is handed over again", exc_info=error)
        except Exception as trouble:  # noqa: BLE001 - a log handler of the user's: it must not end the delivery either
            if sys.stderr is not None:
                print(f"shardwatch: the handler failed, and so did its log: {type(trouble).__name__}", file=sys.stderr)
        if isinstance(error, (SystemExit, KeyboardInterrupt)) and is_async(function):
            self._exit = error
        return False

    def _leave(self) -> None:
        if self._exit is not None:
            raise self._exit


def _chunks(events: Sequence[FileEvent], size: int) -> Iterable[list[FileEvent]]:
    return (list(events[at : at + size]) for at in range(0, len(events), size))
