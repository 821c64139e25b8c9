"""The loop of `batches`, with a real store and no server."""

from __future__ import annotations

import sqlite3
from collections import deque
from types import SimpleNamespace
from typing import cast

import pytest
from fleet_steps import carry_out

from shardwatch.bridge.fleet.course import Arrived
from shardwatch.bridge.fleet.following import FleetFollowing, FleetHanded, FollowingOptions
from shardwatch.bridge.fleet.member import Member
from shardwatch.bridge.fleet.readings import Began, Chunk, LastGeneration, ReadingOpened
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.store import FleetPosition, Kept
from shardwatch.bridge.protocol.bodies import PathState, encode


class FullOnce(SqliteFleetStore):
    """Its disk is full when something is kept for the first time."""

    is_full = True

    def _write(self, kept: Kept) -> bool:
        if kept.paths and self.is_full:
            self.is_full = False
            raise sqlite3.OperationalError("database or disk is full")
        return super()._write(kept)


class OnlyWorker:
    """Has every partition, for good."""

    def __init__(self) -> None:
        self.events: deque[ReadingOpened | Began | Chunk] = deque()
        self.started: list[int] = []
        self.again_of: list[int] = []

    def next(self, wait_s: float | None) -> ReadingOpened | Began | Chunk | None:
        return self.events.popleft() if self.events else None

    def start(self, partition: int, reading: int, after: int) -> None:
        self.started.append(after)
        self.events.appendleft(Began(partition, reading, after))

    def more(self, partition: int, reading: int) -> None:
        """Nothing more comes."""

    def begin(self, partition: int, reading: int, lease_s: float) -> bool:
        return True

    def holds(self, partition: int) -> bool:
        return True

    def finish(self, partition: int) -> None:
        """Nobody waits for it."""

    def again(self, partition: int, reading: int) -> None:
        self.again_of.append(partition)

    def is_idle(self, paused: set[int], missing: set[int]) -> bool:
        return not self.events


def following(worker: OnlyWorker, store: SqliteFleetStore) -> FleetFollowing:
    return FleetFollowing(cast("Member", worker), store, FollowingOptions("g", 100, 60.0, 0.0), clock=lambda: 0.0)


def state(path: str, tick: int) -> bytes:
    return encode(PathState("created", path, False, 1, 2, tick, 0.0, source="one", generation=1))


def test_what_the_store_has_rolled_back_is_not_acknowledged_by_a_second_try(connection: sqlite3.Connection) -> None:
    """The rows of the worker went with the first one: it would be kept that they are there. The batch comes again."""
    connection.execute("CREATE TABLE result (path)")
    worker, store = OnlyWorker(), FullOnce(connection)
    loop = following(worker, store)
    opened = ReadingOpened(0, 1, "stream", (), 1, 1)
    worker.events += [opened, Chunk(0, 1, [Arrived(1, state("/a", 1))])]

    def handed() -> FleetHanded:
        found = carry_out(loop.next())
        assert found is not None
        if found.told.fresh:
            assert carry_out(found.ack()) and carry_out(found.ack())
            found = carry_out(loop.next())
        assert found is not None and [event.path for event in found.told.events] == ["/a"]
        connection.execute("INSERT INTO result VALUES ('/a')")
        return found

    batch = handed()
    with pytest.raises(sqlite3.OperationalError, match="full"):
        carry_out(batch.ack())
    assert [carry_out(batch.ack()) for _ in range(2)] == [False, False]
    assert connection.execute("SELECT count(*) FROM result").fetchone() == (0,) and worker.again_of == [0]
    worker.events += [opened._replace(reading=2), Chunk(0, 2, [Arrived(1, state("/a", 1))])]
    assert carry_out(handed().ack())
    assert connection.execute("SELECT count(*) FROM result").fetchone() == (1,)
    position = store.position(0)
    assert position is not None and position.sequence == 1


@pytest.mark.parametrize(("last", "after"), [(10, 10), (9, 0)])
def test_a_stream_that_has_lost_its_last_messages_is_read_anew(connection: sqlite3.Connection, last: int, after: int) -> None:
    """Also where the worker comes to it late, when the stream has given their sequences again. What it says of deletions that
    are removed counts from where it was opened."""
    worker, store = OnlyWorker(), SqliteFleetStore(connection)
    assert store.keep(Kept(0, None, FleetPosition("stream", "g", 10, 10), {}, {}, {}))
    loop = following(worker, store)
    worker.events.append(ReadingOpened(0, 1, "stream", (LastGeneration("one", 1, 2),), 1, last))
    assert carry_out(loop.next()) is None
    assert worker.started == [min(after, 2)]
    worker.events.append(Chunk(0, 1, [Arrived(11, state("/a", 1))]))
    batch = carry_out(loop.next())
    assert batch is not None and batch.told.kept.after.seen == min(last, 10)


async def test_what_was_missed_of_a_partition_that_others_have_is_not_waited_for() -> None:
    leases = SimpleNamespace(held=lambda: [1], has_all=lambda partitions: True)
    member = SimpleNamespace(
        _listings=SimpleNamespace(check=lambda: None), _has_looked=True, _events=(), _leases=leases, _in_hand={},
        _heads=SimpleNamespace(partitions=2), _reading=SimpleNamespace(are_idle=lambda partitions: True),
    )  # fmt: skip
    assert await Member.is_idle(cast("Member", member), set(), {0})
    assert not await Member.is_idle(cast("Member", member), set(), {0, 1})
