"""What the messages of a partition mean, with a real store and no server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import pytest
from fleet_steps import carry_out

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.fleet.course import Arrived, Course
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.store import FleetPosition
from shardwatch.bridge.protocol.bodies import End, PathState, encode, encode_event
from shardwatch.bridge.protocol.logs import LogEntry
from shardwatch.bridge.protocol.names import Subjects


class Partition:
    """The only one of a source, and what a group makes of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._course = Course(SqliteFleetStore(connection), 0, None, FleetPosition("stream", "g", 0), 0)
        self.sequence = 0
        self._connection = connection

    def tell(self, path: str, generation: int, tick: int) -> None:
        self._tell(PathState("created", path, False, 1, 2, tick, 0.0, source="one", generation=generation))

    def end(self, generation: int) -> None:
        self._tell(End("one", generation, 0, 1))

    def batch(self, generation: int, previous: int, ticks: Mapping[str, int], *, complete: bool = False) -> None:
        """A message of a log."""
        entry = LogEntry(0, generation, b",".join(self._encoded(ticks)), int(complete))
        self._feed(entry.message(Subjects("p", "one", 1), previous).body)

    def _encoded(self, ticks: Mapping[str, int]) -> Iterator[bytes]:
        for path, tick in ticks.items():
            yield encode_event(Event("created", path, False, 1, 2, tick, 0.0))

    def _tell(self, body: PathState | End) -> None:
        self._feed(encode(body))

    def _feed(self, body: bytes) -> None:
        self.sequence += 1
        self._course.feed([Arrived(self.sequence, body)])

    def lose(self) -> None:
        """A message that is removed before it is read."""
        self.sequence += 1

    def missed(self) -> dict[str, int]:
        """What has to be told again, since this was asked last."""
        found = dict(self._course.missed)
        self._course.missed.clear()
        return found

    def position(self) -> int:
        """Up to which sequence all is kept."""
        position = SqliteFleetStore(self._connection).position(0)
        return 0 if position is None else position.sequence

    def handed(self, most: int = 100) -> list[tuple[str, str]]:
        """The events of everything that was told, each batch acknowledged."""
        found = []
        while (told := carry_out(self._course.next(most))) is not None:
            assert len(told.events) <= most
            found += [(event.event_type, event.path) for event in told.events]
            assert carry_out(self._course.keep(told))
        return found


@pytest.fixture
def partition(connection: sqlite3.Connection) -> Partition:
    return Partition(connection)


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


def test_a_message_of_a_log_is_handed_out_in_parts(partition: Partition) -> None:
    """The position goes over it once all of it is done, and what ends the generation comes last."""
    partition.batch(1, 0, {f"/r/{n}": n for n in range(1, 6)})
    partition.batch(1, 1, {"/r/6": 6}, complete=True)
    assert partition.handed(2) == [("created", f"/r/{n}") for n in range(1, 7)]
    assert partition.missed() == {} and partition.position() == 2
    partition.batch(2, 0, {"/r/1": 1, "/r/2": 9}, complete=True)
    assert partition.handed(2) == [
        ("modified", "/r/1"), ("modified", "/r/2"), *(("deleted", f"/r/{n}") for n in range(3, 7)),
    ]  # fmt: skip
    assert partition.missed() == {}


def test_what_is_missing_in_a_log_is_noticed(partition: Partition) -> None:
    """What comes nevertheless is handed out, but nothing is taken to be complete until a later generation is."""
    partition.batch(1, 0, {"/r/a": 1, "/r/b": 2}, complete=True)
    assert partition.handed() == [("created", "/r/a"), ("created", "/r/b")]
    partition.batch(2, 0, {"/r/a": 1})
    partition.lose()
    partition.batch(2, 3, {"/r/c": 3}, complete=True)
    assert partition.handed() == [("modified", "/r/a"), ("created", "/r/c")]
    assert partition.missed() == {"one": 2}
    partition.batch(2, 4, {"/r/c": 4})
    assert (partition.handed(), partition.missed()) == ([("modified", "/r/c")], {}), "once"
    partition.batch(3, 0, {"/r/a": 1, "/r/c": 4}, complete=True)
    assert partition.handed() == [("modified", "/r/a"), ("modified", "/r/c"), ("deleted", "/r/b")]
    assert partition.missed() == {}


def test_a_log_that_has_lost_its_beginning(partition: Partition) -> None:
    """For a group that begins, too: it is not told that anything is complete."""
    for _ in range(3):
        partition.lose()
    partition.batch(1, 3, {}, complete=True)
    partition.batch(1, 4, {})
    assert partition.handed() == [] and partition.missed() == {"one": 1}


def test_a_message_of_a_log_that_comes_twice_is_no_news_and_misses_nothing(partition: Partition) -> None:
    """An attempt whose answer was lost, beside the one that follows."""
    partition.batch(1, 0, {"/r/a": 1})
    partition.batch(1, 0, {"/r/a": 1, "/r/b": 2})
    partition.batch(1, 2, {"/r/c": 3})
    assert partition.handed() == [("created", "/r/a"), ("created", "/r/b"), ("created", "/r/c")]
    assert partition.missed() == {}
