"""`EventQueue`: a durable queue of file events in one file, for any number of threads and processes, without a service.

The queue is independent of the service: nothing that the service scans or forgets changes what a user has enqueued.
This module handles the event loop, priorities and `FileEvent`s. The rows are handled by `aggregator.queue.store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, List, TypeVar  # noqa: UP035 - the specification's own spelling

from shardwatch.shard.contract.errors import ServiceTimeoutError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown

from .file_event import DELETED, INTEGER_MAX, KINDS, FileEvent, checked_events, split_move
from .store import DUPLICATE, FULL, QUEUED, BusyError, QueueRow, QueueStore

__all__ = ["DUPLICATE", "FULL", "QUEUED", "EventQueue"]

#: Events above which a transaction leaves the event loop's thread. Few of them take less than handing them to a thread.
INLINE_EVENTS_MAX: Final = 20
#: Seconds a call waits for other processes' transactions before it gives up with a retryable error.
BUSY_S_MAX: Final = 30.0
#: Seconds between looks for what another process enqueued, while `dequeue_batch` waits: first, and at most after doubling.
#: What this object is given is seen at once.
OTHERS_POLL_S, OTHERS_POLL_S_MAX = 0.02, 0.5

#: Bounds of arguments: seconds, events at once, and characters of a glob.
SECONDS_MAX: Final = 1e9
BATCH_SIZE_MAX: Final = 1_000_000
GLOB_CHARS_MAX: Final = 10_000

T = TypeVar("T")


def boottime() -> float:
    """Seconds on the boot clock, which all processes share and which goes on in suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class EventQueue:
    """A durable queue of file events. Each path is in it once, and its events are leased until they are acknowledged.

    Any number of objects, in any number of threads and processes, may use one file. An object may be shared by threads, each
    with its own event loop, and by children made with fork or spawn.

    Args:
        path: the file; created with mode 0600 if it does not exist. While it is open, `-wal` and `-shm` lie beside it.
        queue_size: the most events, pending and leased together; an event that was nacked always keeps its place.
        lease_s: seconds after which an event that was neither acknowledged nor nacked is handed out again.
        durability: `process`: accepted events survive any crash of a process (also kill -9); `power`: also a loss of power,
            at the cost of one fsync per call.
        priorities: gitignore pattern -> priority. The highest counts of all patterns that match a path (taken without its
            leading slash) and of the event's own `priority`; 0 if there is none.
        clock: for tests: the boot clock in seconds.

    Raises:
        UsageError: a bad argument, a directory that does not exist, or a file that is not a queue.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        queue_size: int = 1_000_000,
        lease_s: float = 60.0,
        durability: str = "process",
        priorities: Mapping[str, int] | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.path = arguments.path("path", path)
        self.queue_size = arguments.whole("queue_size", queue_size, 1, INTEGER_MAX)
        self.lease_s = arguments.seconds("lease_s", lease_s, 1e-9, SECONDS_MAX)
        if durability not in ("process", "power"):
            raise arguments.wrong("durability", durability, "process or power")
        self.durability = durability
        self.priorities = _checked_priorities(priorities)
        self._clock = clock
        self._lanes = _lanes(self.priorities)
        self._store = QueueStore(self.path, full_sync=durability == "power", clock=clock)
        self._executor: ThreadPoolExecutor | None = None
        self._executor_pid = os.getpid()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False

    async def enqueue_file_event(self, event: FileEvent) -> bool:
        """Adds an event. Idempotent: the same event again changes nothing.

        If an older state of the path is pending, the new one replaces it and takes its place in the queue. `created` and then
        `modified` stays `created`, `deleted` and then anything else becomes `modified`, and a deletion is never lost. A
        `moved` event is stored as `deleted` and `created`. A path that is on lease may be enqueued again. It is then handed
        out when the lease has ended.

        Returns:
            True once the state of the event is durable in the queue. False if nothing was written, because the same state, or
                one with a later timestamp, is pending for the path already, or because the queue is full.

        Raises:
            UsageError: the argument is not an event, a field of it is out of range, or the queue is closed.
            ServiceError: the disk refuses.
            ServiceTimeoutError: another process has locked the file for 30 s.
        """
        return (await self.put_all([event]))[0] == QUEUED

    async def enqueue_file_events(self, events: Iterable[FileEvent]) -> list[bool]:
        """Adds events in one transaction: after a crash either all of them are there, or none. Returns one answer for each, in
        order.
        """
        return [outcome == QUEUED for outcome in await self.put_all(events)]

    async def put_all(self, events: Iterable[FileEvent]) -> list[int]:
        """As `enqueue_file_events`, but says why: QUEUED, DUPLICATE or FULL for each."""
        events = checked_events(events)
        rows: list[QueueRow] = []
        parts: list[int] = []
        for event in events:
            if event.event_type not in KINDS:
                raise arguments.wrong(f"event_type of {event.path}", event.event_type, "one of " + ", ".join(sorted(KINDS)))
            split = split_move(event)
            parts.append(len(split))
            rows.extend(self._row(part) for part in split)
        if not rows:
            return []
        outcomes = await self._run(lambda: self._store.put(rows, self.queue_size), len(rows))
        if QUEUED in outcomes:
            self._wake()
        if len(rows) == len(events):
            return outcomes
        taken = iter(outcomes)
        together = [[next(taken) for _ in range(count)] for count in parts]
        # Both halves of a move must be added. If one of them found no room, the whole move counts as FULL, and is tried again.
        return [FULL if FULL in halves else min(halves) for halves in together]

    async def dequeue_batch(
        self,
        batch_size: int = 100,
        *,
        wait_s: float = 0.0,
    ) -> List[FileEvent]:  # noqa: UP006 - as specified
        """Leases events: the highest priority first, first in, first out within one priority, and at most one lease per path.

        Events on lease to a process that has died are handed out at once, and those of a living process when its lease ends.

        Args:
            batch_size: the most events to return, from 1.
            wait_s: seconds to wait for the first one; 0: answer at once. Events that another process enqueues in the meantime
                are seen within half a second.

        Returns:
            Between 0 and `batch_size` events; each must be acknowledged or nacked.

        Raises UsageError for arguments out of range, ServiceError, ServiceTimeoutError.
        """
        arguments.whole("batch_size", batch_size, 1, BATCH_SIZE_MAX)
        arguments.seconds("wait_s", wait_s, 0.0, float("inf"))
        events = await self._take(batch_size)
        if events or wait_s <= 0:
            return events
        deadline = time.monotonic() + wait_s
        ready = asyncio.Event()
        waiter = (asyncio.get_running_loop(), ready)
        self._waiting.add(waiter)
        poll_s = OTHERS_POLL_S
        try:
            while True:
                events = await self._take(batch_size)
                left = deadline - time.monotonic()
                if events or left <= 0:
                    return events
                try:
                    await asyncio.wait_for(ready.wait(), min(left, poll_s))
                except TimeoutError:
                    poll_s = min(2 * poll_s, OTHERS_POLL_S_MAX)
                ready.clear()
        finally:
            self._waiting.discard(waiter)

    async def ack(self, events: Iterable[FileEvent]) -> list[FileEvent]:
        """Acknowledges events. This is as durable as an enqueue.

        Returns:
            The events that were refused, because their lease had ended and they were, or will be, handed out again. Normally
                none.
        """
        events = checked_events(events)
        return await self._end_leases(events, self._store.ack)

    async def nack(self, events: Iterable[FileEvent], *, retry_s: float = 0.0) -> list[FileEvent]:
        """Gives the events back. They return to their old place in the queue, after `retry_s` seconds at the earliest.

        Returns:
            The events that were refused, because their lease had ended before. Normally none.
        """
        arguments.seconds("retry_s", retry_s, 0.0, SECONDS_MAX)
        events = checked_events(events)
        return await self._end_leases(events, lambda keys: self._store.nack(keys, retry_s))

    def __len__(self) -> int:
        """The number of events that wait, without those that are on lease."""
        return self._store.sizes()[0]

    def __bool__(self) -> bool:
        """An empty queue is still a queue."""
        return True

    def stats(self) -> dict[str, int]:
        """`pending`, `leased` (handed out, or held back for a retry) and `queue_size`."""
        pending, leased = self._store.sizes()
        return {"pending": pending, "leased": leased, "queue_size": self.queue_size}

    async def close(self) -> None:
        """Gives back what this object has on lease, and closes the file. May be called twice."""
        if self._closed:
            return
        await self._run(self._store.close, 1)
        self._closed = True
        if self._executor is not None and self._executor_pid == os.getpid():
            self._executor.shutdown(wait=True)

    async def __aenter__(self) -> EventQueue:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        options = (self.queue_size, self.lease_s, self.durability, self.priorities, self._clock)
        return _reopen, (str(self.path.absolute()), *options)

    async def _take(self, batch_size: int) -> list[FileEvent]:
        def give_back(token_rows: tuple[int, list[QueueRow]]) -> None:
            token, rows = token_rows
            self._store.nack([(row.path, row.directory, token) for row in rows], 0.0)

        token, rows = await self._run(lambda: self._store.take(batch_size, self.lease_s), batch_size, give_back)
        return [_event(row, token) for row in rows]

    async def _end_leases(
        self, events: list[FileEvent], work: Callable[[list[tuple[bytes, bool, int | None]]], list[bool]]
    ) -> list[FileEvent]:
        if not events:
            return []
        keys = [(os.fsencode(event.path), event.is_directory, event.lease) for event in events]
        done = await self._run(lambda: work(keys), len(keys))
        self._wake()
        return [event for event, good in zip(events, done, strict=True) if not good]

    async def _run(self, work: Callable[[], T], weight: int, undo: Callable[[T], None] | None = None) -> T:
        """Does blocking work: a small one here, since a thread's hop costs more; large ones and fsyncs in our thread.

        `undo` takes back what was done for a caller that was cancelled meanwhile.
        """
        # Once it is closed, the store says so; our thread may have ended.
        inline = self._closed or (weight <= INLINE_EVENTS_MAX and self.durability == "process")
        deadline = time.monotonic() + BUSY_S_MAX
        pause_s = 0.0005
        while True:
            try:
                if inline:
                    return work()
                return await self._in_thread(work, undo)
            except BusyError:
                if time.monotonic() >= deadline:
                    raise ServiceTimeoutError(
                        f"the queue {self.path} was locked by another process for {BUSY_S_MAX:g} s",
                        hint="find out which process holds it in a transaction",
                        retryable=True,
                    ) from None
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, 0.02)

    async def _in_thread(self, work: Callable[[], T], undo: Callable[[T], None] | None) -> T:
        if self._executor is None or self._executor_pid != os.getpid():
            self._executor = ThreadPoolExecutor(1, "shardwatch-queue")
            self._executor_pid = os.getpid()
        done = self._executor.submit(work)
        try:
            return await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if undo is not None and not done.cancelled():
                with contextlib.suppress(RuntimeError):  # closed meanwhile, which gives everything back
                    self._executor.submit(_take_back, done, undo)
            raise

    def _wake(self) -> None:
        if not self._waiting:
            return
        here = asyncio.get_running_loop()
        for loop, ready in list(self._waiting):
            if loop is here:
                ready.set()
            else:
                loop.call_soon_threadsafe(ready.set)

    def _row(self, event: FileEvent) -> QueueRow:
        path = os.fsencode(event.path)
        lane = event.priority
        if self._lanes:
            relative = path.lstrip(b"/")
            lane = max([lane, *(priority for keeps, priority in self._lanes if keeps(relative))])
        gone = event.event_type == DELETED
        return QueueRow(
            path=path,
            directory=bool(event.is_directory),
            lane=lane,
            seq=0,
            kind=event.event_type,
            timestamp=float(event.timestamp),
            size=None if gone else event.file_size,
            mtime_ns=None if gone else event.mtime_ns,
            tick=event.tick,
            attempts=0,
        )


def _checked_priorities(priorities: Mapping[str, int] | None) -> dict[str, int]:
    if priorities is None:
        return {}
    if not isinstance(priorities, Mapping):
        raise arguments.wrong("priorities", priorities, "a map of globs to whole numbers")
    for glob, priority in priorities.items():
        arguments.text("a glob of priorities", glob, GLOB_CHARS_MAX)
        arguments.whole(f"the priority of {shown(glob)}", priority, -INTEGER_MAX, INTEGER_MAX)
    return dict(priorities)


def _lanes(priorities: Mapping[str, int]) -> list[tuple[Callable[[bytes], bool], int]]:
    """(does this relative path match, its priority), one for each pattern."""
    if not priorities:
        return []
    from shardwatch.shard.contract.filter.filter import Filter

    return [(Filter([glob], []).keeps, priority) for glob, priority in priorities.items()]


def _event(row: QueueRow, token: int) -> FileEvent:
    return FileEvent(
        path=Path(os.fsdecode(row.path)),
        event_type=row.kind,
        timestamp=row.timestamp,
        file_size=row.size,
        is_directory=bool(row.directory),
        tick=row.tick,
        priority=row.lane,
        mtime_ns=row.mtime_ns,
        attempts=row.attempts,
        lease=token,
    )


def _take_back(done: Future[T], undo: Callable[[T], None]) -> None:
    """Undoes what has been done, in the thread that has done it: it may have to wait for other processes, as `_run` does."""
    if done.exception() is not None:
        return
    deadline = time.monotonic() + BUSY_S_MAX
    while True:
        try:
            undo(done.result())
            return
        except BusyError:
            if time.monotonic() >= deadline:
                return  # the end of the lease frees it
        time.sleep(0.02 * random.uniform(0.5, 1.0))


def _reopen(
    path: str,
    queue_size: int,
    lease_s: float,
    durability: str,
    priorities: dict[str, int],
    clock: Callable[[], float],
) -> EventQueue:
    return EventQueue(path, queue_size=queue_size, lease_s=lease_s, durability=durability, priorities=priorities, clock=clock)
