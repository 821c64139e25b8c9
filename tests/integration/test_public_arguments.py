"""Every public callable, given what it does not want: the documented error, or an answer, and never anything else.

The tables below name a call for each public method; a method that is in none of them fails a test.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_bench import Bench
from service_fake import FakeService

import shardwatch
from shardwatch import (
    AsyncExtractClient,
    EventQueue,
    ExtractClient,
    FileEvent,
    FileEventProcessor,
    RealtimeFileWatcher,
    ShardwatchError,
    WatcherConfig,
    explain,
    find,
)
from shardwatch.fleet import AsyncFleetClient, FleetClient
from shardwatch.shard.contract.errors import NotRunningError, UsageError


class Unspeakable:
    """Can't be shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


HOSTILE: dict[str, Any] = {
    "None": None, "True": True, "0": 0, "-1": -1, "2^63": 2**63, "10^23": 10**23, "10^5000": 10**5000, "0.01": 0.01, "-0.5": -0.5,
    "nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "complex": 1j, "empty": "", "blank": " ", "text": "x",
    "zero byte": "a\0b", "lone surrogate": "\ud800", "long": "x" * 5000, "huge": "x" * 2_000_000,
    "bytes": b"x", "bad bytes": b"\xff\0",
    "list": [], "list of None": [None], "nested": [[["x"]]], "map": {"a": None}, "set": {1}, "object": object(),
    "class": Path, "function": len, "unspeakable": Unspeakable(),
}  # fmt: skip

_TEXTS = {label for label, value in HOSTILE.items() if isinstance(value, str)}
_PATHS = {"blank", "text", "long", "huge", "bytes"}
_EVENT = FileEvent(Path("/r/a.json"), "created", 1.0)


def _is_refused(call: Callable[[], Any]) -> bool:
    """Whether it raised the documented kind of error. Any other kind is let out, with what was given."""
    try:
        call()
    except ShardwatchError as error:
        assert error.message and "\n" not in str(error) and len(str(error)) < 1000
        return True
    return False


async def _is_refused_async(call: Callable[[], Any]) -> bool:
    try:
        await asyncio.wait_for(call(), 120)
    except ShardwatchError as error:
        assert error.message and "\n" not in str(error) and len(str(error)) < 1000
        return True
    return False


def _parameters(function: Callable[..., Any]) -> list[str]:
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind not in skipped and p.name != "self"]


def _methods(of: type) -> set[str]:
    return {name for name, value in inspect.getmembers(of, callable) if not name.startswith("_")}


# Clients --------------------------------------------------------------------------------------------------------------

#: A call of each method that works.
CLIENT: dict[str, dict[str, Any]] = {
    "ack": {"group": "g", "batch": "x-1", "ticks": [1], "patience_s": 0.0},
    "nack": {"group": "g", "batch": "x-1", "reason": "", "retry_s": 0.0, "output": "", "ticks": [1], "patience_s": 0.0},
    "extend": {"group": "g", "batch": "x-1", "lease_s": 1.0, "patience_s": 0.0},
    "release": {"group": "g", "batch": None, "worker": "w"},
    "pull": {"group": "g", "max": 1, "wait_s": 0.0, "from_": "now", "peek": True, "lease_s": 1.0, "patience_s": 0.0},
    "batches": {
        "group": "g", "max": 1, "wait_s": 0.0, "follow": False, "from_": None, "lease_s": 1.0, "patience_s": 0.0, "ahead": 1,
    },
    "hold": {"name": "h", "lease_s": 1.0, "patience_s": 0.0},
    "unhold": {"name": "h"},
    "seek": {"group": "g", "tick": 0, "at": None},
    "wait": {"group": "g", "timeout_s": 1.0, "patience_s": 0.0},
    "since": {"cursor": None, "max": 1, "patience_s": 0.0},
    "retry": {"group": "g", "paths": ["x"]},
    "discard": {"group": "g", "paths": ["x"]},
    "dead": {"group": "g", "path": "x"},
    "create": {"group": "g", "from_": "now"},
    "drop": {"group": "g"},
    "reset": {"group": "g"},
    "groups": {},
    "status": {},
    "hello": {},
    "close": {},
    "sync": {"timeout_s": 1.0, "patience_s": 0.0},
    "ready": {"wait_s": 0.0, "patience_s": 0.0},
    "request": {"op": "hello", "wait_s": 0.0, "patience_s": 0.0},
}
#: Methods that ask for what is taken of their results.
LAZY = ("batches", "dead")
#: Parameters for which nothing among the hostile values but these is right.
RIGHT = {
    "max": {"None"}, "wait_s": {"0", "0.01"}, "lease_s": {"None", "0", "0.01"}, "retry_s": {"None", "0", "0.01"},
    "timeout_s": {"0", "0.01"}, "patience_s": {"None", "0", "0.01", "inf"}, "from_": {"None"},
    "at": {"None"}, "ahead": {"0"},
}  # fmt: skip


@pytest.fixture
def service(state_dir: Path) -> Iterator[FakeService]:
    service = FakeService(state_dir).start()
    yield service
    service.stop()


@pytest.mark.parametrize("kind", [ExtractClient, AsyncExtractClient])
def test_every_method_of_a_client_is_tried(kind: type) -> None:
    """A new one must be put into the table."""
    assert _methods(kind) == set(CLIENT)
    for name, arguments in CLIENT.items():
        assert set(_parameters(getattr(kind, name))) == set(arguments), name


def _tried(arguments: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for parameter in arguments:
        for label, value in HOSTILE.items():
            if parameter == "follow" and label not in ("None", "0", "empty", "list"):
                continue  # what is true makes the loop endless, as it should
            if parameter == "worker" and label in ("text", "blank"):
                continue
            yield parameter, label, {**arguments, parameter: value}


@pytest.mark.parametrize("method", [name for name, arguments in CLIENT.items() if arguments])
def test_a_client_refuses_what_it_is_not_asked_with(service: FakeService, method: str) -> None:
    """UsageError for what is of no use to the service, RequestError for what the service refuses; the client goes on."""
    with ExtractClient(service.layout.state_dir, timeout_s=60) as client:
        client.pull("g")
        for parameter, label, arguments in _tried(CLIENT[method]):

            def call(arguments: dict[str, Any] = arguments) -> None:
                given = dict(arguments)
                if method in LAZY:
                    list(getattr(client, method)(given.pop("group"), **given))
                else:
                    getattr(client, method)(**given)

            refused = _is_refused(call)
            wanted = parameter in RIGHT and label not in RIGHT[parameter] and (method, label) != ("batches", "None")
            assert refused or not wanted, (parameter, label)
            if method == "drop":
                client.pull("g")
        assert client.hello()["server"] == "shardwatch"


@pytest.mark.parametrize("method", [name for name, arguments in CLIENT.items() if arguments])
async def test_the_async_client_refuses_the_same(service: FakeService, method: str) -> None:
    """As above."""
    async with AsyncExtractClient(service.layout.state_dir, timeout_s=60) as client:
        await client.pull("g")
        for parameter, label, arguments in _tried(CLIENT[method]):

            async def call(arguments: dict[str, Any] = arguments) -> None:
                given = dict(arguments)
                if method in LAZY:
                    async for _ in getattr(client, method)(given.pop("group"), **given):
                        pass
                else:
                    await getattr(client, method)(**given)

            refused = await _is_refused_async(call)
            wanted = parameter in RIGHT and label not in RIGHT[parameter] and (method, label) != ("batches", "None")
            assert refused or not wanted, (parameter, label)
            if method == "drop":
                await client.pull("g")
        assert (await client.hello())["server"] == "shardwatch"


@pytest.mark.parametrize("kind", [ExtractClient, AsyncExtractClient])
def test_a_client_checks_what_it_is_made_of(kind: type[Any], tmp_path: Path) -> None:
    """A state directory, a name and seconds."""
    good: dict[str, Any] = {"state_dir": tmp_path, "worker": "w", "timeout_s": 1.0}
    right = {"state_dir": _PATHS, "worker": {"empty", "blank", "text", "zero byte"}, "timeout_s": {"0.01"}}
    for parameter, allowed in right.items():
        for label, value in HOSTILE.items():

            def make(parameter: str = parameter, value: Any = value) -> None:
                kind(**{**good, parameter: value}).close()

            assert _is_refused(make) == (label not in allowed), (parameter, label)


def test_a_closed_client_says_so(service: FakeService) -> None:
    """Whatever it is asked, in any thread; closing it again does nothing."""
    client = ExtractClient(service.layout.state_dir)
    client.hello()
    closing = threading.Thread(target=client.close)
    closing.start()
    closing.join()
    client.close()
    for name, arguments in CLIENT.items():
        if name == "close":
            continue
        with pytest.raises(NotRunningError, match="closed"):
            found = getattr(client, name)(**arguments)
            list(found)


def test_an_async_client_belongs_to_one_loop(service: FakeService) -> None:
    """Another loop may have it once the first is closed; before, that is an error, and not a wait without an end."""
    client = AsyncExtractClient(service.layout.state_dir)

    async def meanwhile() -> None:
        await client.hello()

        def elsewhere() -> bool:
            return _is_refused(lambda: asyncio.run(client.hello()))

        assert await asyncio.to_thread(elsewhere)
        await client.hello()

    asyncio.run(meanwhile())
    assert asyncio.run(client.hello())["server"] == "shardwatch"
    client.close()


async def test_closing_an_async_client_ends_its_waits(service: FakeService) -> None:
    """Of a request that waits, and of one that looks for a service."""
    for away in (False, True):
        client = AsyncExtractClient(service.layout.state_dir)
        if away:
            await asyncio.to_thread(service.stop)
        waiting = asyncio.ensure_future(client.pull("g", wait_s=60, patience_s=None))
        await asyncio.sleep(0.2)
        client.close()
        with pytest.raises(NotRunningError, match="closed"):
            await asyncio.wait_for(waiting, 30)


# Clients of a fleet ---------------------------------------------------------------------------------------------------

#: A call of each method that is right, but for the server: none is there.
FLEET: dict[str, dict[str, Any]] = {
    "batches": {"group": "g", "max": 1, "wait_s": 0.0, "follow": False, "lease_s": 1.0, "patience_s": 0.0},
    "sync": {"source": "s", "timeout_s": 1.0},
    "close": {},
}
#: Which of the hostile values are right.
FLEET_RIGHT = {
    "group": {"text"}, "source": {"text"}, "max": {"None"}, "wait_s": {"None", "0", "0.01"},
    "follow": {"None", "0", "empty", "list"}, "lease_s": {"None", "0.01"}, "patience_s": {"None", "0", "0.01", "inf"},
    "timeout_s": {"0", "0.01"},
}  # fmt: skip
#: Nobody listens on this port, which only root could.
_NOWHERE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("kind", [FleetClient, AsyncFleetClient])
def test_a_client_of_a_fleet_checks_what_it_is_made_of(kind: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store, or the path of one; a server, names and seconds."""
    monkeypatch.chdir(tmp_path)
    good: dict[str, Any] = {
        "store": tmp_path / "store", "url": _NOWHERE, "stream": "s", "prefix": "p", "worker": "w", "away_s": 1.0,
    }  # fmt: skip
    right = {
        "store": {"blank", "text", "bytes"}, "url": {"None"}, "stream": {"text"}, "prefix": {"text"},
        "worker": {"empty", "blank", "text", "zero byte"}, "away_s": set(),
    }  # fmt: skip
    assert set(_parameters(kind)) == set(good)
    for parameter, allowed in right.items():
        for label, value in HOSTILE.items():

            def make(parameter: str = parameter, value: Any = value) -> None:
                client = kind(**{**good, parameter: value})
                asyncio.run(client.close()) if kind is AsyncFleetClient else client.close()

            assert _is_refused(make) == (label not in allowed), (parameter, label)


def _fleet_tried() -> Iterator[tuple[str, dict[str, Any], type[Exception]]]:
    """Calls of every method, and the error of each: what is right finds no server."""
    for method, arguments in FLEET.items():
        for parameter in arguments:
            for label, value in HOSTILE.items():
                if parameter == "follow" and label not in FLEET_RIGHT["follow"]:
                    continue  # what is true makes the loop endless, as it should
                error = NotRunningError if label in FLEET_RIGHT[parameter] else UsageError
                yield method, {**arguments, parameter: value}, error


def test_a_client_of_a_fleet_refuses_what_it_is_not_asked_with(tmp_path: Path) -> None:
    """Each method is in the table."""
    assert _methods(FleetClient) == set(FLEET)
    with FleetClient(tmp_path / "store", _NOWHERE) as client:
        for method, arguments, error in _fleet_tried():
            with pytest.raises(error):
                list(getattr(client, method)(**arguments))


async def test_the_async_client_of_a_fleet_refuses_the_same(tmp_path: Path) -> None:
    """As above."""
    assert _methods(AsyncFleetClient) == set(FLEET)
    async with AsyncFleetClient(tmp_path / "store", _NOWHERE) as client:
        for method, arguments, error in _fleet_tried():
            with pytest.raises(error):
                if method == "batches":
                    await anext(client.batches(**arguments))
                else:
                    await getattr(client, method)(**arguments)


# Events ---------------------------------------------------------------------------------------------------------------

#: What is good in which field of an event; the rest is refused.
EVENT_RIGHT = {
    "path": set(), "event_type": set(), "timestamp": {"0", "-1", "2^63", "10^23", "0.01", "-0.5"},
    "file_size": {"None", "0"}, "is_directory": {"True"}, "moved_from": {"None"}, "tick": {"None", "0"},
    "priority": {"0", "-1"}, "mtime_ns": {"None", "0", "-1"}, "attempts": {"0"}, "lease": {"None", "0"},
}  # fmt: skip


def _events() -> Iterator[tuple[str, str, FileEvent]]:
    assert set(EVENT_RIGHT) == set(_parameters(FileEvent))
    for name in EVENT_RIGHT:
        for label, value in HOSTILE.items():
            event = FileEvent(Path("/r/a.json"), "created", 1.0)
            setattr(event, name, value)
            yield name, label, event


def test_an_event_is_about_a_path() -> None:
    """As str, bytes or Path; anything else is refused when it is made."""
    for label, value in HOSTILE.items():
        refused = _is_refused(lambda value=value: FileEvent(value, "created", 1.0))
        assert refused == (label not in _PATHS), label
        refused = _is_refused(lambda value=value: FileEvent(Path("/a"), "moved", 1.0, moved_from=value))
        assert refused == (label not in _PATHS | {"None"}), label


async def test_a_queue_takes_events_and_nothing_else(tmp_path: Path) -> None:
    """Nothing is written of a list in which one is wrong; the queue goes on."""
    async with EventQueue(tmp_path / "q.db") as queue:
        for name, label, event in _events():
            kinds = name == "event_type" and isinstance(HOSTILE[label], str)
            refused = await _is_refused_async(lambda event=event: queue.enqueue_file_events([_EVENT, event]))
            assert refused == (kinds or label not in EVENT_RIGHT[name]), (name, label)
            if refused:
                assert len(queue) == 0, (name, label)
            else:
                await queue.ack(await queue.dequeue_batch())
            if refused and not kinds:
                for settle in (queue.ack, queue.nack):
                    assert await _is_refused_async(lambda event=event, settle=settle: settle([event])), (name, label)


async def test_every_method_of_a_queue(tmp_path: Path) -> None:
    """Lists, sizes and seconds."""
    good: dict[str, dict[str, Any]] = {
        "enqueue_file_event": {"event": _EVENT},
        "enqueue_file_events": {"events": [_EVENT]},
        "put_all": {"events": [_EVENT]},
        "dequeue_batch": {"batch_size": 1, "wait_s": 0.0},
        "ack": {"events": []},
        "nack": {"events": [], "retry_s": 0.0},
        "stats": {},
        "close": {},
    }
    right = {
        "event": set(), "events": {"list"}, "batch_size": set(), "retry_s": {"0", "0.01"},
        "wait_s": {"0", "0.01", "inf", "2^63", "10^23"},
    }  # fmt: skip
    assert _methods(EventQueue) == set(good)
    queue = EventQueue(tmp_path / "q.db")
    for name, arguments in good.items():
        for parameter in arguments:
            for label, value in HOSTILE.items():
                await queue.enqueue_file_event(_EVENT)
                call = lambda n=name, a={**arguments, parameter: value}: getattr(queue, n)(**a)  # noqa: E731
                # A map or a set of what is no event is refused for that.
                assert await _is_refused_async(call) == (label not in right[parameter]), (name, parameter, label)
                await queue.nack([_EVENT])
    await queue.close()
    await queue.close()
    for name, arguments in good.items():
        if name not in ("close", "stats"):
            if name in ("ack", "nack"):
                arguments = {"events": [_EVENT]}
            with pytest.raises(UsageError, match="closed"):
                await getattr(queue, name)(**arguments)
    for ask in (queue.stats, queue.__len__):
        with pytest.raises(UsageError, match="closed"):
            ask()


def test_a_queue_checks_what_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that can be opened, a size, seconds, a word, and a map."""
    monkeypatch.chdir(tmp_path)
    right = {
        "path": {"text", "blank", "bytes"}, "queue_size": set(), "lease_s": {"0.01"}, "durability": set(), "priorities": {"None"},
    }  # fmt: skip
    for parameter, allowed in right.items():
        for label, value in HOSTILE.items():

            def make(parameter: str = parameter, value: Any = value) -> None:
                asyncio.run(EventQueue(**{"path": "q.db", parameter: value}).close())

            assert _is_refused(make) == (label not in allowed), (parameter, label)


async def test_a_processor_takes_events_and_nothing_else() -> None:
    """To filter and to debounce; kinds that it does not know are left out, as they are no changes."""
    processor = FileEventProcessor()
    for name, label, event in _events():
        allowed = EVENT_RIGHT[name] | (_TEXTS if name == "event_type" else set())
        for work in (processor.filter_relevant_events, processor.debounce_events):
            refused = await _is_refused_async(lambda event=event, work=work: work([event]))
            assert refused == (label not in allowed), (name, label)
    for label, value in HOSTILE.items():
        for work in (processor.filter_relevant_events, processor.debounce_events):
            assert await _is_refused_async(lambda value=value, work=work: work(value)) == (label != "list"), label
        refused = await _is_refused_async(lambda value=value: processor.debounce_events([_EVENT], value))
        assert refused == (label not in ("0", "0.01")), label
        refused = _is_refused(lambda value=value: FileEventProcessor(value))
        assert refused == (label != "None"), label
        refused = _is_refused(lambda value=value: FileEventProcessor(None, value))
        assert refused == (label not in _PATHS | {"list", "map"}), label


# The watcher ----------------------------------------------------------------------------------------------------------


async def test_a_watcher_takes_events_and_nothing_else(tmp_path: Path) -> None:
    """From elsewhere; and paths and a handler."""
    bench = Bench(state_dir=tmp_path / "state")
    for name, label, event in _events():
        allowed = EVENT_RIGHT[name] | (_TEXTS if name == "event_type" else set())
        refused = await _is_refused_async(lambda event=event: bench.watcher.process_file_events([event]))
        assert refused == (label not in allowed), (name, label)
    for label, value in HOSTILE.items():
        assert await _is_refused_async(lambda value=value: bench.watcher.process_file_events(value)) == (label != "list"), label
        refused = await _is_refused_async(lambda value=value: bench.watcher.start_monitoring(value, print))
        assert refused, label  # none of them is a directory
        if label not in ("class", "function"):
            for keyword in ("event_handler", "event_callback"):
                call = lambda given={keyword: value}: bench.watcher.start_monitoring([tmp_path], **given)  # noqa: E731
                assert await _is_refused_async(call), label
        assert _is_refused(lambda value=value: RealtimeFileWatcher(value)) == (label != "None"), label
    await bench.watcher.stop_monitoring()
    tried = {"get_stats", "process_file_events", "start_monitoring", "stop_monitoring", "wait_stopped"}
    assert _methods(RealtimeFileWatcher) == tried


def test_a_config_checks_every_field() -> None:
    """And names the field."""
    right: dict[str, set[str]] = {
        "ast_file_patterns": {"None"}, "exclude_patterns": {"None", "list"}, "recursive_monitoring": {"True"},
        "debounce_period": {"0", "0.01"}, "batch_size": set(), "batch_timeout": {"0", "0.01"}, "queue_size": set(),
        "state_dir": _PATHS | {"None"}, "shards": {"0"}, "backend": set(), "priorities": {"None"},
        "max_file_size": {"None", "0"}, "follow_symlinks": {"True"}, "content_only": {"True"},
        "durability": set(), "report_moves": {"True"},
        "group": {"text"}, "lease_s": {"0.01"}, "ready_timeout_s": {"0.01"},
    }  # fmt: skip
    assert set(right) == set(_parameters(WatcherConfig))
    for name, allowed in right.items():
        for label, value in HOSTILE.items():
            refused = _is_refused(lambda name=name, value=value: WatcherConfig(**{name: value}))
            assert refused == (label not in allowed), (name, label)


def test_find_checks_what_it_is_asked(tmp_path: Path) -> None:
    """A wrong argument is refused before anything is looked at; a right one finds that no service runs there."""
    right = {
        "pattern": {"text", "zero byte"}, "changed_within_s": {"None", "0", "0.01"}, "larger": {"None", "0"},
    }  # fmt: skip
    for label, value in HOSTILE.items():
        for name, allowed in right.items():
            patterns, more = ([value], {}) if name == "pattern" else ([], {name: value})
            with pytest.raises(ShardwatchError) as raised:
                find(tmp_path, *patterns, **more)
            assert isinstance(raised.value, UsageError | NotRunningError), (name, label)
            if label not in allowed:
                assert isinstance(raised.value, UsageError), (name, label)
        with pytest.raises((UsageError, NotRunningError)):
            find(value)
    with pytest.raises(NotRunningError, match="no service runs"):
        find(tmp_path, "*.py", changed_within_s=60, larger=0)


def test_explain_checks_what_it_is_asked(tmp_path: Path) -> None:
    """A wrong argument is refused; a right one finds that no service has run there."""
    for label, value in HOSTILE.items():
        for arguments, allowed in (((tmp_path, value), _PATHS | {"empty", "blank"}), ((value, "x"), _PATHS)):
            with pytest.raises((UsageError, NotRunningError)) as raised:
                explain(*arguments)
            assert label in allowed or isinstance(raised.value, UsageError), (label, arguments)
    with pytest.raises(NotRunningError):
        explain(tmp_path, b"x")


def test_all_that_is_public_is_tried() -> None:
    """What is exported is in a table above, or only holds what it is given."""
    clients = {"AsyncExtractClient", "ExtractClient"}
    tried = {*clients, "EventQueue", "FileEvent", "FileEventProcessor", "RealtimeFileWatcher", "WatcherConfig", "explain", "find"}
    given_back = {
        "AsyncBatch", "Batch", "ChangesSince", "DeadLetter", "Event", "Explanation", "FoundFile", "Fresh", "ProcessingResult",
        "WatcherStats", "__version__",
    }  # fmt: skip
    raised = {name for name in shardwatch.__all__ if name.endswith("Error")}
    assert set(shardwatch.__all__) == tried | given_back | raised | {"FileEventHandler"}
