"""Whatever a handler does is counted and comes again, or the watcher stops and says why: without a service, by a fake source."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_bench import Bench, at, until

from shardwatch import FileEvent
from shardwatch.shard.contract.errors import ServiceError, UsageError
from shardwatch.supervisor.api import calls as api_calls

pytestmark = pytest.mark.usefixtures("quick")

Events = list[FileEvent]


class Rude(BaseException):
    """Outside of Exception, as CancelledError is."""


class Unspeakable(Exception):
    """Can't even be shown."""

    def __str__(self) -> str:
        raise Rude

    __repr__ = __str__


def _raise(error: BaseException) -> None:
    raise error


def _cancelled_future(events: Events) -> None:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.cancel()
    future.result()


def _recursion(events: Events) -> None:
    _recursion(events)


class OddAwaitable:
    """Yields what no event loop knows."""

    def __await__(self) -> Any:
        yield "no future"


#: What a plain handler, in its thread, may do.
PLAIN: dict[str, Callable[..., Any]] = {
    "result of a cancelled future": _cancelled_future,
    "StopIteration": lambda events: next(iter([])),
    "StopAsyncIteration": lambda events: _raise(StopAsyncIteration()),
    "asyncio's CancelledError": lambda events: _raise(asyncio.CancelledError()),
    "SystemExit": lambda events: sys.exit(3),
    "KeyboardInterrupt": lambda events: _raise(KeyboardInterrupt()),
    "GeneratorExit": lambda events: _raise(GeneratorExit()),
    "a BaseException of its own": lambda events: _raise(Rude()),
    "a group": lambda events: _raise(ExceptionGroup("several", [ValueError(), TypeError()])),
    "a group of what is no Exception": lambda events: _raise(BaseExceptionGroup("several", [asyncio.CancelledError(), Rude()])),
    "what can't be shown": lambda events: _raise(Unspeakable()),
    "recursion": _recursion,
    "a generator returned": lambda events: (event for event in events),
    "an awaitable that yields junk": lambda events: OddAwaitable(),
    "a future that failed": lambda events: _failed_future(),
    "too many arguments": lambda: None,
}


def _failed_future() -> concurrent.futures.Future[None]:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.set_exception(StopAsyncIteration())
    return future


async def _cancelled_task(events: Events) -> None:
    task = asyncio.ensure_future(asyncio.sleep(3600))
    task.cancel()
    await task


async def _cancels_itself(events: Events) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancels_itself_and_returns(events: Events) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def _in_a_group(events: Events) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_cancelled_task(events))
        group.create_task(asyncio.sleep(0)).add_done_callback(lambda done: None)
        raise Rude


async def _closes_the_loop(events: Events) -> None:
    asyncio.get_running_loop().close()


async def _time_out(events: Events) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(3600)


async def _wrong_loop(events: Events) -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


def _later(error: type[BaseException]) -> Callable[[Events], Any]:
    async def handler(events: Events) -> None:
        await asyncio.sleep(0)
        raise error

    return handler


#: What a coroutine function, in the loop, may do.
ASYNC: dict[str, Callable[[Events], Any]] = {
    "awaits a cancelled task": _cancelled_task,
    "cancels itself": _cancels_itself,
    "cancels itself and returns": _cancels_itself_and_returns,
    "a group of tasks": _in_a_group,
    "closes the loop": _closes_the_loop,
    "times out": _time_out,
    "another loop's future": _wrong_loop,
    **{error.__name__: _later(error) for error in (StopIteration, StopAsyncIteration, GeneratorExit, Rude, Unspeakable)},
}


@pytest.mark.parametrize("source", ["service", "queue"])
@pytest.mark.parametrize("handler", [*PLAIN.values(), *ASYNC.values()], ids=[*PLAIN, *(f"async {name}" for name in ASYNC)])
async def test_whatever_a_handler_does_is_counted_and_comes_again(
    bench: Bench, root: Path, handler: Callable[[Events], Any], source: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And logged. The watcher goes on: once the handler takes events, it gets them."""
    failures = iter(range(2))
    wrapped: Callable[[Events], Any]
    if handler in ASYNC.values():

        async def wrapped(events: Events) -> None:
            if next(failures, None) is None:
                bench.take(events)
            else:
                await handler(events)
    else:

        def wrapped(events: Events) -> Any:
            if next(failures, None) is not None:
                return handler(events)
            return bench.take(events)

    await bench.watcher.start_monitoring([root], wrapped)
    if source == "queue":
        await bench.watcher.process_file_events([at("/q.json", "deleted")])
    else:
        for fate in ("nack", "nack", "ack"):
            delivery = bench.source.give(at("/q.json", "deleted"))
            await asyncio.wait_for(delivery.settled.wait(), 30)
            assert delivery.fate == [fate]
    await until(lambda: bench.batches == [[at("/q.json", "deleted")]])
    assert bench.watcher.running and bench.watcher.failure is None
    assert bench.watcher.get_stats()["processing_errors"] == 2
    assert sum("The handler failed" in record.getMessage() for record in caplog.records) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_of_an_async_handler_is_one_of_the_program(root: Path, error: type[BaseException], tmp_path: Path) -> None:
    """As in any other task. The batch goes back, the service is stopped, and the watcher knows why."""
    bench = Bench(state_dir=tmp_path / "state")

    async def leave(events: Events) -> None:
        raise error

    async def program() -> None:
        await bench.watcher.start_monitoring([root], leave)
        bench.given = bench.source.give(at("/r/a.json"))
        await asyncio.Event().wait()

    with pytest.raises(error):
        asyncio.run(program())
    assert bench.given.fate == ["nack"]
    assert bench.source.log[-1] == "stop"
    assert not bench.watcher.running
    assert bench.watcher.failure is not None and error.__name__ in str(bench.watcher.failure)
    assert bench.watcher.get_stats()["processing_errors"] == 1


@pytest.mark.parametrize("handler", ["generator", "async generator", "object", "partial"])
async def test_a_generator_is_no_handler(bench: Bench, root: Path, handler: str) -> None:
    """To call it would run nothing of it, and its events would count as taken."""
    from functools import partial

    def generator(events: Events) -> Any:
        yield events

    async def async_generator(events: Events) -> Any:
        yield events

    class Handler:
        def on_events(self, events: Events) -> Any:
            yield events

    kinds: dict[str, Any] = {
        "generator": generator, "async generator": async_generator, "object": Handler(), "partial": partial(generator),
    }  # fmt: skip
    with pytest.raises(UsageError, match="generator"):
        await bench.watcher.start_monitoring([root], kinds[handler])


async def test_a_future_that_is_returned_is_waited_for(bench: Bench, root: Path) -> None:
    """A handler may hand its work on; the batch is acked when that is done, not before."""
    work: concurrent.futures.Future[None] = concurrent.futures.Future()
    called = threading.Event()

    def handler(events: Events) -> Any:
        called.set()
        return work

    await bench.watcher.start_monitoring([root], handler)
    delivery = bench.source.give(at("/r/a.json"))
    await until(called.is_set)
    assert bench.watcher.get_stats()["queue_size"] == 1 and delivery.fate == []
    work.set_result(None)
    await asyncio.wait_for(delivery.settled.wait(), 30)
    assert delivery.fate == ["ack"]


async def test_a_handler_may_change_what_it_is_given(bench: Bench, root: Path) -> None:
    """What it does to events is no matter of the queue that they came from."""

    async def spoil(events: Events) -> None:
        for event in events:
            event.path, event.lease, event.attempts = Path("/other"), None, None  # type: ignore[assignment]
        events.clear()
        bench.take(events)

    await bench.watcher.start_monitoring([root], spoil)
    await bench.watcher.process_file_events([at("/q.json", "deleted")])
    await until(lambda: bench.batches and bench.watcher.get_stats()["queue_size"] == 0)
    assert bench.batches == [[]] and bench.watcher.running


async def test_a_log_that_fails_ends_nothing(bench: Bench, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log handler of the user's that raises: said on standard error."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "The handler failed" in record.getMessage():
                raise OSError("no space for logs")

    logger, broken = logging.getLogger("shardwatch.supervisor.api"), Broken()
    logger.addHandler(broken)
    try:
        await bench.watcher.start_monitoring([root], lambda events: 1 / 0)
        for _ in range(2):
            await asyncio.wait_for(bench.source.give(at("/r/a.json")).settled.wait(), 30)
    finally:
        logger.removeHandler(broken)
    assert bench.watcher.running and bench.watcher.get_stats()["processing_errors"] == 2
    assert "so did its log: OSError" in capsys.readouterr().err


async def test_a_handler_that_does_not_return_is_told_of(
    bench: Bench, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow and hung look alike: it is left alone, and the log says for how long."""
    monkeypatch.setattr(api_calls, "SLOW_S", 0.01)
    gate = asyncio.Event()

    async def slow(events: Events) -> None:
        await gate.wait()

    await bench.watcher.start_monitoring([root], slow)
    delivery = bench.source.give(at("/r/a.json"))
    await until(lambda: sum("has not returned" in record.getMessage() for record in caplog.records) >= 2)
    gate.set()
    await asyncio.wait_for(delivery.settled.wait(), 30)
    assert delivery.fate == ["ack"]


# Tasks that end unasked -----------------------------------------------------------------------------------------------


class Broken(Exception):
    """A defect: nothing that the watcher expects of a source."""


@pytest.mark.parametrize("way", ["a defect", "cancelled"])
async def test_a_delivery_that_ends_is_no_secret(
    bench: Bench, root: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged; `running` is false, `failure` says why, the service is ended, and who waits or asks gets the error."""
    await bench.watcher.start_monitoring([root], bench.take)
    waiting = asyncio.ensure_future(bench.watcher.wait_stopped())
    await asyncio.sleep(0)
    if way == "a defect":
        bench.source.pending.put_nowait(Broken("bug"))
    else:
        for task in asyncio.all_tasks() - {asyncio.current_task(), waiting}:
            if "follow_" in repr(task):
                task.cancel()
    with pytest.raises(ServiceError, match="monitoring has ended"):
        await asyncio.wait_for(waiting, 30)
    assert not bench.watcher.running
    failure = bench.watcher.failure
    assert failure is not None and isinstance(failure.__cause__, Broken if way == "a defect" else type(None))
    assert bench.source.log[-1] == "stop"
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)
    # It can be started again, and then all is as before.
    await bench.watcher.start_monitoring([root], bench.take)
    assert bench.watcher.failure is None
    await asyncio.wait_for(bench.source.give(at("/r/a.json")).settled.wait(), 30)
    assert bench.batches == [[at("/r/a.json")]]


@pytest.mark.parametrize("ask", ["stop_monitoring", "process_file_events"])
async def test_who_asks_first_is_told_of_the_failure(bench: Bench, root: Path, ask: str) -> None:
    """Once: after that, the watcher is a stopped one."""
    await bench.watcher.start_monitoring([root], bench.take)
    bench.source.pending.put_nowait(Broken("bug"))
    await until(lambda: bench.watcher.failure is not None)
    calls: dict[str, Callable[[], Any]] = {
        "stop_monitoring": bench.watcher.stop_monitoring,
        "process_file_events": lambda: bench.watcher.process_file_events([]),
    }
    with pytest.raises(ServiceError, match="Broken: bug"):
        await calls[ask]()
    await calls[ask]()


async def test_a_block_is_told_of_a_failure_at_its_end(root: Path, tmp_path: Path) -> None:
    """Unless it ends by an error of its own."""
    for error in (None, ZeroDivisionError):
        bench = Bench(state_dir=tmp_path / "state")
        with pytest.raises(error or ServiceError):
            async with bench.watcher:
                await bench.watcher.start_monitoring([root], bench.take)
                bench.source.pending.put_nowait(Broken("bug"))
                await until(lambda bench=bench: bench.watcher.failure is not None)
                if error is not None:
                    raise error


async def test_waiting_ends_with_the_stop(bench: Bench, root: Path) -> None:
    """And at once where nothing was started."""
    await bench.watcher.wait_stopped()
    starting = asyncio.ensure_future(bench.watcher.start_monitoring([root], bench.take))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(bench.watcher.wait_stopped())
    await starting
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await bench.watcher.stop_monitoring()
    await asyncio.wait_for(waiting, 30)


def test_a_loop_that_ends_takes_the_service_with_it(root: Path, tmp_path: Path) -> None:
    """asyncio.run cancels all tasks of a program that forgot to stop its watcher: batches in hand go back, the service ends."""
    bench = Bench(state_dir=tmp_path / "state")
    called = threading.Event()

    async def hang(events: Events) -> None:
        called.set()
        await asyncio.Event().wait()

    async def program() -> None:
        await bench.watcher.start_monitoring([root], hang)
        bench.given = bench.source.give(at("/r/a.json"))
        await until(called.is_set)

    asyncio.run(program())
    assert bench.given.fate == ["nack"]
    assert bench.source.log[-1] == "stop"
    assert not bench.watcher.running
    asyncio.run(bench.watcher.start_monitoring([root], bench.take))  # in another loop, as new
    assert not bench.watcher.running


async def test_a_watcher_belongs_to_one_loop(bench: Bench, root: Path) -> None:
    """Said to whoever uses it in another one, a plain handler for example; the handler's failure is counted."""
    errors: list[BaseException] = []

    def elsewhere(events: Events) -> None:
        for call in (bench.watcher.stop_monitoring, lambda: bench.watcher.process_file_events([])):
            try:
                asyncio.run(call())
            except UsageError as error:
                errors.append(error)

    await bench.watcher.start_monitoring([root], elsewhere)
    await asyncio.wait_for(bench.source.give(at("/r/a.json")).settled.wait(), 30)
    assert [str(error).split(" (")[0] for error in errors] == ["this watcher monitors in another event loop"] * 2


async def test_a_handler_that_stops_and_starts(bench: Bench, root: Path) -> None:
    """From inside neither is possible; both are errors that it may let out."""
    wrong: list[str] = []

    async def meddle(events: Events) -> None:
        for call in (bench.watcher.stop_monitoring(), bench.watcher.start_monitoring([root], bench.take)):
            try:
                await call
            except UsageError as error:
                wrong.append(error.message)
        bench.take(events)

    await bench.watcher.start_monitoring([root], meddle)
    await asyncio.wait_for(bench.source.give(at("/r/a.json")).settled.wait(), 30)
    assert wrong == ["stop_monitoring() was called from inside the handler", "this watcher monitors already"]
    assert bench.watcher.running


_UNTIL_STOPPED = """
import asyncio, sys, threading
sys.path[:0] = sys.argv[2:]
from api_bench import Bench, at, until
async def main():
    bench = Bench()
    called = threading.Event()
    def stop(events):
        called.set()
        asyncio.run_coroutine_threadsafe(bench.watcher.stop_monitoring(), loop).result()
    loop = asyncio.get_running_loop()
    await bench.watcher.start_monitoring([sys.argv[1]], stop)
    bench.source.give(at("/r/a.json"))
    await until(called.is_set)
    await bench.watcher.wait_stopped()
    print("stopped")
asyncio.run(main())
"""


def test_a_plain_handler_that_has_it_stopped_ends_too(root: Path) -> None:
    """It waits for a stop that waits for it: the stop's patience ends first, and then the program can end."""
    tests = Path(__file__).parents[3]
    arguments = [sys.executable, "-P", "-c", _UNTIL_STOPPED, str(root), str(tests), str(tests.parent / "src")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


@pytest.mark.parametrize(
    "paths", [None, 3, [None], [""], "", [b""], ["a\0b"], ["\ud800"], [1.5], object(), [["x"]], Path, {"": 1}, b"\0"]
)
async def test_what_is_no_path_is_refused(bench: Bench, paths: Any) -> None:
    """Before anything starts, also among paths that are good."""
    with pytest.raises(UsageError, match=r"watch.path"):
        await bench.watcher.start_monitoring(paths, bench.take)
    if isinstance(paths, list):
        with pytest.raises(UsageError, match=r"watch.path"):
            await bench.watcher.start_monitoring([os.getcwd(), *paths], bench.take)
    assert not bench.watcher.running


async def test_paths_may_come_in_any_collection(bench: Bench, root: Path) -> None:
    """A tuple, a set, an iterator; bytes too."""
    collections: list[Any] = [(root,), {root}, iter([root]), [os.fsencode(root)], os.fsencode(root)]
    for paths in collections:
        await bench.watcher.start_monitoring(paths, bench.take)
        assert bench.source.settings.roots == (os.fsencode(root),)
        await bench.watcher.stop_monitoring()
