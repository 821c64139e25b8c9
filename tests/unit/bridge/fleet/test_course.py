"""What the messages of a partition mean, with a real store and no server."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import TypeVar

import pytest

from shardwatch.bridge.fleet.course import Arrived, Course
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.steps import FleetFlow
from shardwatch.bridge.fleet.store import FleetPosition
from shardwatch.bridge.protocol.bodies import End, PathState, encode

T = TypeVar("T")


class Partition:
    """The only one of a source, and what a group makes of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._course = Course(SqliteFleetStore(connection), 0, None, FleetPosition("stream", "g", 0), 0)
        self._sequence = 0

    def tell(self, path: str, generation: int, tick: int) -> None:
        self._tell(PathState("created", path, False, 1, 2, tick, 0.0, source="one", generation=generation))

    def end(self, generation: int) -> None:
        self._tell(End("one", generation, 0, 1))

    def _tell(self, body: PathState | End) -> None:
        self._sequence += 1
        self._course.feed([Arrived(self._sequence, encode(body))])

    def handed(self) -> list[tuple[str, str]]:
        """The events of everything that was told, each batch acknowledged."""
        found = []
        while (told := carry_out(self._course.next(100))) is not None:
            found += [(event.event_type, event.path) for event in told.events]
            assert carry_out(self._course.keep(told))
        return found


def carry_out(flow: FleetFlow[T]) -> T:
    try:
        step = next(flow)
        while True:
            step = flow.send(step.call(*step.arguments))
    except StopIteration as end:
        found: T = end.value
        return found


@pytest.fixture
def partition() -> Iterator[Partition]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield Partition(connection)


def test_what_comes_late_from_a_generation_before_the_complete_one_is_no_news(partition: Partition) -> None:
    """A ship that was stopped goes on with a file that is gone since. Only of its source something is known by then."""
    partition.tell("/r/gone", 1, 1)
    partition.end(1)
    assert partition.handed() == [("created", "/r/gone")]
    partition.tell("/r/kept", 2, 1)
    partition.end(2)
    assert partition.handed() == [("created", "/r/kept"), ("deleted", "/r/gone")]
    partition.tell("/r/gone", 1, 2)
    assert partition.handed() == []


def test_what_comes_late_in_a_generation_is_no_news(partition: Partition) -> None:
    """Nor what comes twice, while what is newer is."""
    for tick in (2, 1, 2, 3):
        partition.tell("/r/a", 1, tick)
        partition.tell("/r/b", 1, 1)
    assert partition.handed() == [("created", "/r/a"), ("created", "/r/b")]
    partition.tell("/r/a", 1, 3)
    assert partition.handed() == []
    partition.tell("/r/a", 1, 4)
    assert partition.handed() == [("modified", "/r/a")]
