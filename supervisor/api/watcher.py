"""`RealtimeFileWatcher`: the watcher of the specification, on top of the real service. It stores no state of its own.

Changes from the service are handed to the handler, and acknowledged after it has returned. Events that are given to
`process_file_events` go through a durable `EventQueue` to the same handler. So whatever dies in between, no event is
lost before the handler has taken it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Dict, Final, List  # noqa: UP035 - the specification's own spelling

from shardwatch.aggregator.queue.file_event import checked_events, deletion_of_move
from shardwatch.shard.contract.errors import ServiceError, ShardwatchError, UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import cut

from ..host.scouting import is_directory
from .calls import Calls, FileEventHandler, handler_of
from .events import FileEventProcessor, one_for_each_path
from .files import check_files
from .handover import HandOver, Source
from .place import WatcherPlace
from .types import FileEvent, ProcessingResult, WatcherConfig, WatcherStats, checked_config

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.settings import Settings

__all__ = ["FileEventProcessor", "RealtimeFileWatcher"]

logger = logging.getLogger(__name__)

#: Seconds that `stop_monitoring` takes at most, and its parts: until everything seen is in the index; until the handler
#: has it. The rest is for the service's end.
STOP_S_MAX: Final = 5.0
STOP_SYNC_S: Final = 1.0
STOP_HAND_OVER_S: Final = 2.5
SourceMaker = Callable[[Path, "Settings", WatcherConfig], Source]


class RealtimeFileWatcher:
    """Watches directories and hands over lists of `FileEvent`s. Belongs to one event loop; an async context manager.

    Args:
        config: None: `WatcherConfig()`.
        source: internal, for tests.
    """

    def __init__(self, config: WatcherConfig | None = None, *, source: SourceMaker | None = None) -> None:
        self.config = checked_config(config)
        self.stats = WatcherStats()
        #: Whether it monitors: changes are on their way to the handler.
        self.running = False
        #: Why monitoring ended by itself, since the last start; None while it has not.
        self.failure: ServiceError | None = None
        self._make_source = source
        self._source: Source | None = None
        self._processor = FileEventProcessor(self.config)
        self._place = WatcherPlace(self.config)
        self._hand_over: HandOver | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._calls: Calls | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        #: The loop it monitors in, and whether `failure` was raised to somebody.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure_raised = True

    # Starting ---------------------------------------------------------------------------------------------------------

    async def start_monitoring(
        self,
        watch_paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
        event_handler: FileEventHandler | None = None,
        *,
        event_callback: FileEventHandler | None = None,
    ) -> None:
        """Starts the service; returns once every directory is watched. What changes from then on is handed over.

        With a kept `state_dir` that watched before, what changed in between is handed over first.

        Args:
            watch_paths: directories. One that does not exist is left out with a warning, unless this state directory
                knows it: then the service waits for it.
            event_handler: takes a list of at most `batch_size` events. A plain one is called in a thread, a coroutine
                function in the loop, never two calls at once. When it raises (whatever it raises), the error is counted
                and logged, and the same events come again, later and later. An object with `on_events` may take its place.
            event_callback: the same, by its other name.

        Raises:
            UsageError: no path exists or what is given is none, a wrong handler, a state directory that can't be used, or it
                monitors already, in this event loop or in another.
            InUseError: another service runs in the state directory.
            ServiceError, ServiceTimeoutError: the service ended, or was not ready within `ready_timeout_s`. Nothing of
                it is left then.
        """
        handler = event_handler if event_handler is not None else event_callback
        on_events, on_fresh = handler_of(handler)
        paths = arguments.paths("watch_paths", watch_paths)
        self._check_loop()
        if self.running or self._starting is not None:
            raise UsageError("this watcher monitors already", hint="stop_monitoring() first, or use another watcher")
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
        self.failure, self._failure_raised = None, True
        self._loop = asyncio.get_running_loop()
        self._calls = Calls(self._pool())
        hand_over = HandOver(self.config, self.stats, on_events, on_fresh, self._calls)
        self._starting = starting = asyncio.ensure_future(self._start(paths, hand_over))
        try:
            await starting
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise UsageError("monitoring was stopped before it had started") from None
        finally:
            self._starting = None
            if not self.running and self._stopping is None:
                self._loop = None
            if not self.running and self._stopping is None and self._place.loses_nothing():
                await self._close()

    async def _start(self, watch_paths: list[Path], hand_over: HandOver) -> None:
        known = self._place.known_roots()
        roots = []
        for path in watch_paths:
            root = os.fsencode(os.path.abspath(path))
            if not is_directory(root):
                logger.warning("Watch path does not exist or is not a directory: %s", path)
                if root not in known:
                    continue
            if root not in roots:
                roots.append(root)
        if not roots:
            raise UsageError(
                cut("none of the watch paths is a directory: " + (", ".join(map(str, watch_paths)) or "none was given")),
                hint="give a directory that exists",
            )
        state_dir = self._place.take()
        source = self._source_for(state_dir, self.config.settings(roots))
        try:
            await source.start()
            queue = self._place.open_queue()
        except BaseException:
            await asyncio.shield(source.stop(STOP_S_MAX))
            raise
        self._source = source
        self._processor = FileEventProcessor(self.config, [os.fsdecode(root) for root in roots])
        self._hand_over = hand_over
        self._tasks = [
            asyncio.ensure_future(hand_over.follow_service(source)),
            asyncio.ensure_future(hand_over.follow_queue(queue)),
        ]
        self._watching = asyncio.ensure_future(self._watch(hand_over, self._tasks))
        self.running = True
        logger.info("Watching %d paths with state in %s", len(roots), state_dir)

    async def _watch(self, hand_over: HandOver, tasks: list[asyncio.Task[None]]) -> None:
        """Lives as long as the tasks that hand over. If one ends unasked, monitoring ends, and `failure` has the reason.

        This is also what is left of a loop that is closed with the watcher in it (the end of asyncio.run): all its tasks are
        cancelled and waited for, and the service ends with this one.
        """
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._stopping is None and not hand_over.ending:
                self._fail(next((task for task in tasks if task.done()), None))
                await asyncio.shield(self._end())

    def _fail(self, task: asyncio.Task[None] | None) -> None:
        self.running = False
        cancelled = task is None or task.cancelled()
        cause = None if cancelled or task is None else task.exception()
        reason = "it was cancelled" if cancelled else f"{type(cause).__name__}: {cause}"
        self.failure = ServiceError(f"monitoring has ended: {reason}", hint="start_monitoring() again; nothing is lost")
        self.failure.__cause__ = cause
        self._failure_raised = False
        logger.critical("Monitoring has ended: %s", reason, exc_info=cause)

    def _raise_failure(self) -> None:
        """Once, to the first who asks."""
        if self.failure is not None and not self._failure_raised:
            self._failure_raised = True
            raise self.failure

    # Events from elsewhere --------------------------------------------------------------------------------------------

    async def process_file_events(self, events: List[FileEvent]) -> ProcessingResult:  # noqa: UP006 - as specified
        """Filters and checks events that came from elsewhere, and queues them for the handler.

        They are durable when this returns, and handed over at once if it monitors, else after the next start (with a
        temporary state directory: of this very object, before its `stop_monitoring`). Deleted paths are not looked at;
        of the others the file must be there, readable, regular (links are followed) and at most `max_file_size` long.
        If the new name of a move is refused, the deletion of the old name is queued all the same.

        Returns:
            Where each event went. Events of one path in one call become one; `queued` has it as it is queued.

        Raises:
            UsageError: something in the list is no event, or the state directory can't be used.
            ServiceError: the disk refuses, or monitoring has ended by itself (see `failure`), and this was not raised yet.
        """
        self._check_loop()
        self._raise_failure()
        events = checked_events(events)
        result = ProcessingResult()
        relevant: list[FileEvent] = []
        for given, event in zip(events, self._processor.select(events), strict=True):
            if event is None:
                result.filtered.append(given)
            else:
                relevant.append(event)
        last, result.duplicates = one_for_each_path(relevant)
        loop = asyncio.get_running_loop()
        good = []
        for event, reason in await loop.run_in_executor(self._pool(), check_files, last, self.config.max_file_size):
            if not reason:
                good.append(event)
                continue
            result.errors[event.path] = reason
            gone = deletion_of_move(event)
            if gone is not None:  # the old name is gone, whatever has become of the new one
                good.append(gone)
        if good:
            from shardwatch.aggregator.queue.event_queue import DUPLICATE, FULL

            for event, outcome in zip(good, await self._place.open_queue().put_all(good), strict=True):
                if outcome == FULL:
                    result.errors[event.path] = "queue full"
                else:
                    (result.duplicates if outcome == DUPLICATE else result.queued).append(event)
        self.stats.events_queued += len(result.queued)
        self.stats.events_filtered += len(result.filtered)
        self.stats.duplicates += len(result.duplicates)
        return result

    # Stopping ---------------------------------------------------------------------------------------------------------

    async def stop_monitoring(self) -> None:
        """Hands over what is pending, then ends the service; within 5 s. No process, thread or descriptor is left.

        Everything that changed before the call is handed over, unless the handler raises or takes too long: that stays
        durable in a kept `state_dir`, and comes after the next start. A plain handler that does not return can't be
        interrupted: its thread lives on, and its events count as not taken. Does nothing if it was not started, and
        may be called by several tasks, but not from inside the handler.

        Raises:
            UsageError: called from inside the handler, or in another event loop than the one it monitors in.
            ServiceError: monitoring had ended by itself; said once, and everything is ended and closed all the same.
        """
        if self._calls is not None and self._calls.is_caller():
            raise UsageError("stop_monitoring() was called from inside the handler", hint="call it from another task")
        self._check_loop()
        await asyncio.shield(self._end())
        self._raise_failure()

    def _end(self) -> asyncio.Task[None]:
        """The task that stops all, begun unless it is under way."""
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
            self._stopping.add_done_callback(self._stopped)
        return self._stopping

    def _stopped(self, done: asyncio.Task[None]) -> None:
        self._stopping = self._watching = self._loop = None
        if not done.cancelled() and (error := done.exception()) is not None:
            logger.error("The watcher could not be stopped in order", exc_info=error)

    async def wait_stopped(self) -> None:
        """Returns when monitoring has ended, by `stop_monitoring`; at once if it was not started.

        Raises:
            ServiceError: it ended by itself (see `failure`).
        """
        while self.running or self._stopping is not None or self._starting is not None:
            task = self._stopping or self._watching or self._starting
            assert task is not None
            await asyncio.wait([task])
            await asyncio.sleep(0)  # who waited for it before us clears it
        if self.failure is not None:
            self._failure_raised = True
            raise self.failure

    async def _stop(self) -> None:
        deadline = time.monotonic() + STOP_S_MAX
        starting = self._starting
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
        try:
            if self._source is not None and self._hand_over is not None:
                if self.failure is None:
                    await self._hand_over_rest(self._source, self._hand_over, deadline)
                else:
                    self._hand_over.end()
                    await self._cancel(self._tasks)
        finally:
            self.running = False
            source, self._source = self._source, None
            try:
                if source is not None:
                    await source.stop(max(0.5, deadline - time.monotonic()))
            finally:
                await self._close()
        logger.info("File watcher stopped. Stats: %s", self.stats)
        if self._watching is not None and self.failure is None:
            self._watching.cancel()  # a handler that can't be interrupted has it wait still

    async def _hand_over_rest(self, source: Source, hand_over: HandOver, deadline: float) -> None:
        try:
            await asyncio.wait_for(source.sync(STOP_SYNC_S), STOP_SYNC_S + 0.2)
        except (ShardwatchError, TimeoutError) as error:
            logger.warning("Not everything that changed could be waited for: %s", error)
        hand_over.end()
        left_s = deadline - (STOP_S_MAX - STOP_SYNC_S - STOP_HAND_OVER_S) - time.monotonic()
        _, late = await asyncio.wait(self._tasks, timeout=max(0.1, left_s))
        if late:
            logger.warning("The handler did not end in time: what it has counts as not taken")
            await self._cancel(late)

    @staticmethod
    async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(list(tasks), timeout=0.5)

    async def _close(self) -> None:
        self._tasks = []
        self._hand_over = self._calls = None
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
        await self._place.close()

    async def __aenter__(self) -> RealtimeFileWatcher:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.stop_monitoring()
        except ServiceError:
            if error is None:  # else it was logged, and what ends the block is raised
                raise

    # Looking at it ----------------------------------------------------------------------------------------------------

    def get_stats(self) -> Dict[str, int]:  # noqa: UP006 - as specified
        """Counters since this object was made, and `queue_size`: events that wait for the handler or are with it.

        Of the service's backlog, `queue_size` has what was last asked for, at most a second ago while it is long.
        """
        in_hand, backlog = (self._hand_over.in_hand, self._hand_over.backlog) if self._hand_over else (0, 0)
        pending, leased = self._place.counts()
        return {
            "events_processed": self.stats.events_processed,
            "batches_processed": self.stats.batches_processed,
            "processing_errors": self.stats.processing_errors,
            "queue_size": pending + max(leased, in_hand) + backlog,
            "events_queued": self.stats.events_queued,
            "events_filtered": self.stats.events_filtered,
            "duplicates": self.stats.duplicates,
            "fresh_starts": self.stats.fresh_starts,
        }

    @property
    def state_dir(self) -> Path | None:
        """Where the service's files lie; None while there are none."""
        return self._place.path

    def _check_loop(self) -> None:
        """Raises UsageError in another event loop than the one it monitors in."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop() and not self._loop.is_closed():
            raise UsageError("this watcher monitors in another event loop", hint="use it there, or make another watcher")

    # Parts ------------------------------------------------------------------------------------------------------------

    def _source_for(self, state_dir: Path, settings: Settings) -> Source:
        if self._make_source is not None:
            return self._make_source(state_dir, settings, self.config)
        from .source import ServiceSource

        return ServiceSource(state_dir, settings, self.config)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            # One for the handler, one for looking at files while it works.
            self._threads = ThreadPoolExecutor(2, "shardwatch-watcher")
        return self._threads
