"""Calls functions of the user. Whatever a function does, its call has an outcome, and no exception escapes.

A call runs in a task of its own, inside a guard, and a plain function also in a thread. Three special cases are
outcomes like any other: exceptions outside `Exception`, an exception that a future refuses to carry (StopIteration),
and a function that cancels the task in which it runs. Only a cancellation of the caller that waits for the outcome is
passed on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, List, Protocol  # noqa: UP035 - the specification's own spelling

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import shown

if TYPE_CHECKING:
    from shardwatch.aggregator.queue.file_event import FileEvent

logger = logging.getLogger("shardwatch.supervisor.api")

#: Seconds after which a call that has not returned is told of in the log, for the first time; doubled each time.
SLOW_S: Final = 60.0

Handler = Callable[[List["FileEvent"]], Any]  # noqa: UP006 - as specified


class HandlerObject(Protocol):
    """An object may take the place of a handler: `on_events` is called. `on_fresh`, if it has one, says to forget all."""

    @property
    def on_events(self) -> Handler: ...


#: What `RealtimeFileWatcher.start_monitoring` takes: a function of a list of events, or an object with `on_events`.
FileEventHandler = Handler | HandlerObject


class Calls:
    """Calls of the user's functions, in the event loop or in `threads`."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        #: The tasks in which the user's code runs now.
        self._tasks: set[asyncio.Task[Any]] = set()

    def is_caller(self) -> bool:
        """Whether the current task is one in which the user's code runs."""
        return asyncio.current_task() in self._tasks

    async def outcome(self, function: Callable[..., Any], *arguments: Any) -> BaseException | None:
        """Calls `function`. None once it has returned, else what it raised.

        What it returns means nothing, save that an awaitable or a future is waited for, and a generator is an error.
        Cancelled, it cancels the call, waits for its end, and raises CancelledError.
        """
        task = asyncio.ensure_future(self._guarded(function, arguments))
        self._tasks.add(task)
        slow_s, waited_s = SLOW_S, 0.0
        try:
            while not (await asyncio.wait([task], timeout=slow_s))[0]:
                waited_s += slow_s
                logger.warning("The handler has not returned for %.0f s; nothing else is handed over meanwhile", waited_s)
                slow_s *= 2
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            self._tasks.discard(task)
        # Cancelled from inside: by the handler itself, or by whoever it told of its task.
        return asyncio.CancelledError("the handler cancelled its own task") if task.cancelled() else task.result()

    async def _guarded(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> BaseException | None:
        try:
            if is_async(function):
                result = function(*arguments)
            else:
                result, error = await asyncio.get_running_loop().run_in_executor(self._threads, _attempt, function, arguments)
                if error is not None:
                    return error
            if inspect.isawaitable(result):
                await result
            elif isinstance(result, Future):
                await asyncio.wrap_future(result)
            elif inspect.isgenerator(result) or inspect.isasyncgen(result):
                raise TypeError(f"the handler returned {shown(result)}: nothing of its body has run")
        except BaseException as error:  # noqa: BLE001 - it is the user's code that raises; see above
            return error
        return None


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, BaseException | None]:
    """What it returned, and what it raised: as values, since a future of asyncio refuses some exceptions and changes others."""
    try:
        return function(*arguments), None
    except BaseException as error:  # noqa: BLE001 - as above
        return None, error


def handler_of(given: FileEventHandler | None) -> tuple[Handler, Callable[[], Any] | None]:
    """The function to call with events, and the one that says to forget all, if there is one. Raises UsageError."""
    on_events = getattr(given, "on_events", None)
    handler, on_fresh = (on_events, getattr(given, "on_fresh", None)) if callable(on_events) else (given, None)
    if not callable(handler):
        raise UsageError(
            f"the handler {shown(given)} can't be called", hint="give a function of a list of events, or an object with on_events"
        )
    if any(_is(kind, handler) for kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)):
        raise UsageError(f"the handler {shown(given)} is a generator: to call it runs nothing of it", hint="take out the `yield`")
    if on_fresh is not None and not callable(on_fresh):
        raise UsageError(f"on_fresh of the handler {shown(given)} can't be called", hint="make it a method, or leave it out")
    return handler, on_fresh


def is_async(function: Callable[..., Any]) -> bool:
    return _is(inspect.iscoroutinefunction, function)


def _is(kind: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004 - the method is asked for
