"""FleetClient and AsyncFleetClient with a real nats-server, which the tests share: each has a stream of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from cli_process import Command
from fleet_source import Source, client_of, files
from jetstream import NatsServer, everything
from running import running, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch import NotRunningError, ServiceError, UsageError
from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.ship.deletions import OldDeletions
from shardwatch.fleet import AsyncFleetClient, FleetClient, FleetPosition, Kept, PathKnown, SourceStanding, SqliteFleetStore

pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.usefixtures("no_leaks"), pytest.mark.xdist_group("fleet")]

ROOT = Path(__file__).parents[2]
#: Guard for everything that includes that a dead worker's partitions are taken over.
EQUAL_S = 90.0
_streams = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    it = NatsServer(tmp_path_factory.mktemp("nats"))
    try:
        yield it
    finally:
        it.kill()


@pytest.fixture
def source(server: NatsServer) -> Source:
    return Source(server)


def test_a_group_is_handed_everything_once_and_then_what_changes(source: Source, tmp_path: Path) -> None:
    """It goes on where it was, by its store; what a generation does not have any more is deleted at its end."""
    source.tell(files(300), generation=True)
    with client_of(source, tmp_path / "store") as client:
        batches = []
        for batch in client.batches("g", max=50, follow=False):
            batches.append(batch)
            assert batch.ack() and batch.ack()
        events = [event for batch in batches for event in batch.events]
        assert {(event.path, event.event_type) for event in events} == {(path, "created") for path in files(300)}
        assert len(events) == 300 and max(len(batch) for batch in batches) <= 50
        assert sum(batch.fresh is not None for batch in batches) == 4, "one for each partition"
        assert sum(batch.end is not None for batch in batches) == 4
        assert [len(batch) for batch in client.batches("g", follow=False)] == []
    source.tell({"/r/0": 2, "/r/1": None})
    source.tell(files(10, 3), generation=True)
    with client_of(source, tmp_path / "store") as client:
        told: dict[str, tuple[str, int | None]] = {}
        for batch in client.batches("g", follow=False):
            told.update((event.path, (event.event_type, event.size)) for event in batch.events)
            batch.ack()
    gone = dict.fromkeys(files(300), ("deleted", None))
    assert told == gone | dict.fromkeys(files(10), ("modified", 3))


def test_old_deletions_are_removed(source: Source, tmp_path: Path) -> None:
    """A path that was made again stays. Who was there is not disturbed, nor who begins; who has not read a deletion that is
    removed is told, and told everything, once somebody ships.
    """

    async def removed(after_s: float) -> list[int]:
        broker = await Broker.connected(access(source.url, {}))
        swept: list[int] = []
        try:
            old = OldDeletions(broker, source.stream, source.names, 600, clock=lambda: time.time() + after_s)
            await old.remove(source.generation, 0, swept.append)
        finally:
            await broker.close()
        return swept

    def told(name: str) -> dict[str, str]:
        with client_of(source, tmp_path / name) as client:
            found: dict[str, str] = {}
            for batch in client.batches("g", follow=False):
                found.update((event.path, event.event_type) for event in batch.events)
                batch.ack()
        return found

    source.tell(files(20), generation=True)
    assert told("there").keys() == told("away").keys() == files(20).keys()
    source.tell({"/r/0": None, "/r/1": None, "/r/2": None})
    assert told("there") == dict.fromkeys(["/r/0", "/r/1", "/r/2"], "deleted")
    source.tell({"/r/1": 5})
    assert asyncio.run(removed(0)) == [], "they are not old"
    assert asyncio.run(removed(700))
    states = [body for _, body in everything(source.server, source.stream) if body["type"] == "event"]
    assert {body["path"] for body in states} == files(20).keys() - {"/r/0", "/r/2"}
    assert told("there") == {"/r/1": "created"}
    assert told("new").keys() == files(20).keys() - {"/r/0", "/r/2"}
    with pytest.raises(ServiceError, match="nobody ships it"):
        told("away")
    source.tell({path: size for path, size in files(20, 2).items() if path not in ("/r/0", "/r/2")}, generation=True)
    again = told("away")
    assert {path for path, kind in again.items() if kind == "deleted"} == {"/r/0", "/r/2"}


def test_what_fails_comes_again_and_nothing_of_it_is_kept(source: Source, tmp_path: Path) -> None:
    """With the results in the same database: what was written for a batch that is not acknowledged is rolled back."""
    source.tell({"/r/a": 1}, generation=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute("CREATE TABLE result (path)")
        store = SqliteFleetStore(connection)
        with FleetClient(store, source.url, stream=source.stream, prefix=source.stream) as client:
            attempts = []
            for batch in client.batches("g", follow=False, wait_s=1.0):
                for event in batch.events:
                    connection.execute("INSERT INTO result VALUES (?)", (event.path,))
                    attempts.append(batch.attempt)
                if batch.events and len(attempts) == 1:
                    batch.nack("no", retry_s=0.01)
                elif batch.events and len(attempts) == 2:
                    batch.extend()
                    batch.release()
                else:
                    batch.ack()
        assert attempts == [1, 2, 2]
        assert connection.execute("SELECT path FROM result").fetchall() == [("/r/a",)]


class AwaitedStore:
    """A store whose methods are awaited, as those of a database for asyncio are."""

    def __init__(self, store: SqliteFleetStore) -> None:
        self._store = store

    async def position(self, partition: int) -> FleetPosition | None:
        return self._store.position(partition)

    async def standing(self, source: str, partition: int) -> SourceStanding:
        return self._store.standing(source, partition)

    async def known(self, source: str, paths: Collection[bytes]) -> Mapping[bytes, PathKnown]:
        return self._store.known(source, paths)

    async def older(self, source: str, generation: int, after: bytes, most: int) -> Sequence[tuple[bytes, PathKnown]]:
        return self._store.older(source, generation, after, most)

    async def keep(self, kept: Kept) -> bool:
        return self._store.keep(kept)

    async def undo(self) -> None:
        self._store.undo()


async def test_the_twin_goes_on_when_the_server_was_away(tmp_path: Path) -> None:
    """Two workers in one event loop share the partitions of a server of their own, which is killed."""
    server = NatsServer(tmp_path)
    source = Source(server)
    await asyncio.to_thread(source.tell, files(40), generation=True)
    store = SqliteFleetStore(tmp_path / "store")
    sizes: dict[str, int | None] = {}
    owners: dict[int, set[str]] = {}

    async def work(name: str) -> None:
        awaited = AwaitedStore(store)
        async with AsyncFleetClient(
            awaited, source.url, stream=source.stream, prefix=source.stream, worker=name, away_s=2.0
        ) as client:
            async for batch in client.batches("g", max=10):
                sizes.update({event.path: event.size for event in batch.events})
                owners.setdefault(batch.partition, set()).add(name)
                await batch.ack()

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(EQUAL_S):
            while not condition():
                await asyncio.sleep(0.02)

    workers = [asyncio.ensure_future(work(name)) for name in ("a", "b")]
    try:
        await until(lambda: sizes == files(40))
        turn = 1

        def both() -> Awaitable[None]:
            nonlocal turn
            turn += 1
            return asyncio.to_thread(source.tell, files(40, turn))

        while not all(any(owned == {name} for owned in owners.values()) for name in ("a", "b")):
            owners.clear()  # until each has a partition to itself
            await both()
            await until(lambda: sizes == files(40, turn))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await both()
        await until(lambda: sizes == files(40, turn))
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        store.close()
        server.kill()


def test_what_cannot_be_used_is_refused_with_a_remedy(server: NatsServer, source: Source, tmp_path: Path) -> None:
    """And nothing is handed out."""

    def refused(error: type[Exception], client: FleetClient, group: str = "g") -> str:
        with client, pytest.raises(error) as found:
            list(client.batches(group, follow=False))
        return str(found.value)

    store = tmp_path / "store"
    assert "shardwatch ship --create" in refused(NotRunningError, FleetClient(store, server.url, stream="none"))
    assert "start one" in refused(NotRunningError, FleetClient(store, "nats://127.0.0.1:1"))
    source.tell({"/r/a": 1}, generation=True)
    with client_of(source, store) as client:
        for batch in client.batches("g", follow=False):
            batch.ack()
    assert "a store of its own" in refused(UsageError, client_of(source, store), "other")
    assert "letters, digits" in refused(UsageError, client_of(source, store), "a.b")
    with pytest.raises(UsageError, match="NATS_URL"):
        FleetClient(store, "nats://user:word@127.0.0.1:4222")
    closed = client_of(source, store)
    closed.close()
    assert "make a new one" in refused(NotRunningError, closed)


def synced(server: NatsServer, store: Path) -> dict[bytes, int | None]:
    """What a worker of a new group has after a sync."""
    with FleetClient(store, server.url) as client:
        with pytest.raises(NotRunningError, match="shardwatch ship"):
            client.sync("nobody")
        watermark = client.sync("one", EQUAL_S)
        assert watermark.source == "one" and watermark.sequence > 0
        sizes: dict[bytes, int | None] = {}
        for batch in client.batches("other", follow=False):
            for event in batch.events:
                sizes[os.fsencode(event.path)] = event.size
            batch.ack()
    return {path: size for path, size in sizes.items() if size is not None}


def test_the_example_of_the_docs_survives_the_death_of_workers(state_dir: Path, tmp_path: Path, server: NatsServer) -> None:
    """docs/fleet.md shows it. `ship` ships a tree; of two workers one is killed; what is in the database is what is there."""
    example = ROOT / "examples/fleet/worker.py"
    assert example.read_text().strip() in (ROOT / "docs/fleet.md").read_text()
    root, database = tmp_path / "root", tmp_path / "facts.db"
    root.mkdir()
    for n in range(30):
        (root / f"f{n}.json").write_text("x" * n)
    (root / os.fsdecode(b"b\xe9.json")).write_text("{}")

    def there() -> dict[bytes, int]:
        return {path: size for path, (size, _) in walk(root, service.settings).items()}

    def is_same() -> bool:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
                return dict(connection.execute("SELECT path, size FROM file WHERE source = 'one'")) == there()
        except sqlite3.OperationalError:  # it is about to be made
            return False

    command = [sys.executable, str(example), str(database), "facts"]
    ship = ["ship", server.url, "--source", "one", "--create", "--partitions", "4", "--state-dir", str(state_dir)]
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(running(state_dir, settings_for(root, shards=1)))
        stack.enter_context(Command(*ship))
        first, _ = (stack.enter_context(Command(command=command, NATS_URL=server.url)) for _ in range(2))
        eventually(is_same, EQUAL_S, what="the same files")
        deliver(first.process.pid, signal.SIGKILL)
        for n in range(10):
            (root / f"f{n}.json").unlink()
            (root / f"new{n}.json").write_text("y" * n)
        assert synced(server, tmp_path / "other") == there()
        eventually(is_same, EQUAL_S, what="the same files")
