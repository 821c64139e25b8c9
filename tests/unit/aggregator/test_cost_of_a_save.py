"""What one save costs the aggregator, in what can be counted: it is most of what normal work takes, and grows unnoticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from entries import Entry, seen
from index_rows import CountingConnection, connect_counting

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.intake.engine import Engine
from shardwatch.aggregator.intake.receive import Receiver
from shardwatch.aggregator.server.serve import Server
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Baseline, Frame, Listing, Looks, Record

_NAMES = [b"f%02d" % n for n in range(20)]
#: Of a page of a log, and of its head (the format of SQLite's files, 4.2).
_LOGGED_BYTES = 4096 + 24


def _entry(name: bytes, version: int) -> Entry:
    return (name, FILE, 1, 5 + _NAMES.index(name), 1, version, version, version, False)


class Service:
    """The aggregator without sockets, over both databases, with a directory of files and a worker whose pull waits."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.connections: dict[str, CountingConnection] = {}
        settings = Settings(roots=(b"/r",), include=(), exclude=())
        plan = Plan(1, (Anchor(b"/r", "s0", b"/r"),))
        self.index = Index(directory / "index.db", connect=self._connect)
        self.store = GroupStore(directory / "groups.db", connect=self._connect)
        self.receiver = Receiver(self.index, lambda: plan)
        self.index.commit()
        registry = Registry(self.index.backlog, self.store, settings, time.monotonic(), time.time)
        self.server = Server(self.index.backlog, registry, Engine(self.index, self.receiver, settings, []), settings)
        self._requests = self._frames = 0
        self.take(Listing(b"/r", 1, *seen([_entry(name, 1) for name in _NAMES])), Baseline(1, 1, len(_NAMES)))
        self.ask("create", group="g")
        self.ask("pull", group="g", wait_ms=60_000)
        self.receiver.replies(touched_only=True)

    def _connect(self, path: Path) -> CountingConnection:
        self.connections[path.name] = connect_counting(path)
        return self.connections[path.name]

    def take(self, *records: Record) -> list[object]:
        """A frame of the shard, and a turn. The batches that follow from it."""
        self._frames += 1
        self.receiver.frame(Frame(WIRE_VERSION, "s0", 1, 1, self._frames, list(records), ""), 1.0)
        self.index.commit()
        return [msgspec.msgpack.decode(reply.body)["batch"]["id"] for reply in self.server.on_commit()]

    def ask(self, op: str, **fields: object) -> None:
        self._requests += 1
        body = {"v": 1, "id": self._requests, "op": op, **fields}
        self.server.handle([b"worker"], msgspec.msgpack.encode(body))

    def save(self, name: bytes, version: int, *, together: bool, renamed: bool = False) -> None:
        """All that follows from a save: its frame, the batch, its ack and the next pull, which waits; these two `together`.
        `renamed`: another file came in its place, as editors save."""
        births = {name: 10 + version} if renamed else {}
        (batch,) = self.take(Looks(b"/r", version, *seen([_entry(name, version)]), [], births))
        if together:
            self.ask("pull", group="g", wait_ms=60_000, ack=batch)
        else:
            self.ask("ack", group="g", batch=batch)
            self.ask("pull", group="g", wait_ms=60_000)

    def pages(self, name: str) -> int:
        """How many pages are in the log of a database."""
        return (self.directory / f"{name}-wal").stat().st_size // _LOGGED_BYTES


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    it = Service(tmp_path)
    yield it
    it.store.abandon()
    it.index.abandon()


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize(("together", "commits", "of_groups"), [(False, 2, 7), (True, 1, 5)])
def test_a_save_is_a_few_commits_of_a_few_statements_and_pages(
    together: bool, commits: int, of_groups: int, renamed: bool, service: Service
) -> None:
    """The row, the lease and its end; the last two in one, if the next pull acknowledges. A file that has rested leaves its page
    and becomes a row; the row of the group is written for a hundred leases at once."""
    service.save(_NAMES[0], 2, together=together, renamed=renamed)  # the first lease reserves numbers
    for version, name in enumerate(_NAMES[1:4], 3):
        before = {database: service.pages(database) for database in service.connections}
        for connection in service.connections.values():
            connection.statements.clear()
        service.save(name, version, together=together, renamed=renamed)
        statements = {database: connection.statements for database, connection in service.connections.items()}
        assert {database: done.count("COMMIT") for database, done in statements.items()} == {"index.db": 1, "groups.db": commits}
        assert {database: len(done) for database, done in statements.items()} == {"index.db": 7, "groups.db": of_groups}
        # Of the index: entry and its two indexes, page, stream, state, and a page of one of them that is not the root.
        logged = {database: service.pages(database) - before[database] for database in before}
        assert logged == {"index.db": 7, "groups.db": 3 if together else 5}


def test_a_save_does_not_wake_the_shard_once_more(service: Service) -> None:
    """Its frame is acknowledged with the beat."""
    for version, name in enumerate(_NAMES[:3], 2):
        service.save(name, version, together=True)
        assert service.receiver.replies(touched_only=True) == []
    ((shard, reply),) = service.receiver.replies(touched_only=False)
    assert (shard, reply.committed) == ("s0", 4)


def test_a_pull_with_nothing_new_asks_the_index_nothing(service: Service) -> None:
    """It comes after each save."""
    service.save(_NAMES[0], 2, together=True)
    statements = service.connections["index.db"].statements
    statements.clear()
    service.ask("pull", group="g", wait_ms=60_000)
    assert statements == []
