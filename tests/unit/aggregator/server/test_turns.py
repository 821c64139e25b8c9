"""A turn of the aggregator ends in time whatever waits for it, and what is left over has its turn later. Time goes on here
whenever somebody looks at the clock, as it does while work is done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from entries import seen
from harness_serve import Bench
from index_rows import query
from told_index import ToldIndex

from shardwatch.aggregator.groups.record import SetAsidePath
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.portion import Count
from shardwatch.aggregator.index.tombstones import COLLECTED_MAX, Tombstones
from shardwatch.aggregator.server import description
from shardwatch.aggregator.server.call import Outgoing
from shardwatch.aggregator.server.description import SET_ASIDE_MAX, SET_ASIDE_OF_ONE_MAX
from shardwatch.aggregator.server.serve import TURN_S
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Listing, Looks

#: Seconds that a look at the clock takes.
LOOK_S = 0.001
#: What one request may take beyond TURN_S: the last piece of work that was begun.
MORE_S = 0.02


class CountingIndex(ToldIndex):
    """Tells how many rows were counted, and how many of them at once at most."""

    counted = 0
    at_once = 0

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        found = super().count(lane, after, upto, limit)
        self.counted += found.rows
        self.at_once = max(self.at_once, found.rows)
        return found


class Working(Bench):
    """A bench whose clock goes on by itself once it `works`."""

    works = False
    _now = 0.0

    @property
    def now(self) -> float:
        self._now += LOOK_S * self.works
        return self._now

    @now.setter
    def now(self, value: float) -> None:
        self._now = value

    def take(self, out: list[Outgoing]) -> None:
        """Reading replies takes no time of the service's."""
        works, self.works = self.works, False
        super().take(out)
        self.works = works

    def turn(self, op: str = "", **fields: Any) -> float:
        """One turn, with a request or without; how long it took."""
        began = self._now
        if op:
            self.send(op, **fields)
        else:
            self.take(self.server.tick())
        return self._now - began

    def until(self, number: int) -> int:
        """Turns until a reply is there; a request beside it is answered in each of them."""
        turns = 0
        while number not in self.replies:
            assert self.server.next_due() == 0.0, "it goes on at once"
            assert self.turn("hello") < TURN_S + MORE_S
            assert self.replies.pop(self.number)["ok"]
            turns += 1
        return turns


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Working]:
    bench = Working(tmp_path / "groups.db", CountingIndex())
    yield bench
    bench.store.abandon()


def test_many_groups_are_described_in_turns(bench: Working) -> None:
    """1,000 groups with everything pending. Rows are counted once for all; other requests are answered meanwhile."""
    for n in range(500):
        bench.index.put(b"/r/%d" % n)
    for n in range(1000):
        bench.ask("pull", group=f"g{n}", from_="start" if n % 2 else "now", peek=True)
    bench.index.put(b"/r/last")
    bench.works = True
    first, second = bench.send("groups"), bench.send("status")
    assert bench.until(first) > 3
    bench.until(second)
    rows = bench.replies[first]["groups"]
    assert {(row["name"], row["backlog"]) for row in rows} == {(f"g{n}", 501 if n % 2 else 1) for n in range(1000)}
    for row in [*rows, *(later := bench.replies[second]["status"]["groups"])]:
        assert row.pop("oldest_pending_s") > 0  # they are described one after the other
    assert later == rows
    assert bench.index.counted <= 2 * 501  # type: ignore[attr-defined]
    assert bench.server.next_due() > 0.0


def test_a_long_backlog_is_counted_in_turns(bench: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    """One group that is behind by millions of rows: so many are counted at once, and other requests are answered meanwhile."""
    monkeypatch.setattr(description, "_ROWS", 2)
    for n in range(500):
        bench.index.put(b"/r/%d" % n)
    bench.ask("pull", group="g", from_="start", peek=True)
    bench.works = True
    first = bench.send("groups")
    assert bench.until(first) > 2
    assert [row["backlog"] for row in bench.replies[first]["groups"]] == [500]
    assert (bench.index.counted, bench.index.at_once) == (500, 2)  # type: ignore[attr-defined]


def test_status_for_many_is_made_once(bench: Working) -> None:
    """Who asks while a description is made waits for the next one, all of them for the same."""
    bench.index.put(b"/r/a")
    for n in range(300):
        bench.ask("pull", group=f"g{n}", from_="start", peek=True)
    bench.works = True
    bench.index.counted = 0  # type: ignore[attr-defined]
    asked = [bench.send("status") for _ in range(20)]
    while any(number not in bench.replies for number in asked):
        bench.turn()
    assert bench.index.counted < len(asked) / 2  # type: ignore[attr-defined]


def test_a_group_goes_on_while_groups_are_described(bench: Working) -> None:
    """What is said of it is what was pending when its rows were counted."""
    for path in (b"/r/a", b"/r/b"):
        bench.index.put(path)
    for n in range(300):
        bench.ask("pull", group=f"g{n}", from_="start", peek=True)
    bench.works = True
    status = bench.send("status")
    bench.turn()
    assert status not in bench.replies
    assert len(bench.ask("pull", group="g299")["batch"]["events"]) == 2
    bench.until(status)
    (row,) = [row for row in bench.replies[status]["status"]["groups"] if row["name"] == "g299"]
    assert (row["backlog"], row["leased"]) == (2, 2)


def test_many_groups_that_wait_are_served_in_turns(bench: Working) -> None:
    """One commit concerns all of them; each is served, and whoever asks for something else is answered in between."""
    waiting = [bench.send("pull", group=f"g{n}", from_="start", wait_ms=600_000) for n in range(300)]
    bench.index.put(b"/r/a")
    bench.works = True
    began = bench._now
    bench.commit()
    assert bench._now - began < TURN_S + MORE_S
    assert 0 < sum(number in bench.replies for number in waiting) < 300
    assert bench.until(waiting[-1]) > 1
    assert all(len(bench.replies[number]["batch"]["events"]) == 1 for number in waiting)


def test_peeks_that_wait_are_served_in_turns(bench: Working) -> None:
    """All of one group, and each would be a batch."""
    waiting = [bench.send("pull", group="g", from_="start", peek=True, wait_ms=600_000) for _ in range(300)]
    bench.index.put(b"/r/a")
    bench.works = True
    began = bench._now
    bench.commit()
    assert bench._now - began < TURN_S + MORE_S
    for number in waiting:
        bench.until(number)


def test_waits_that_end_at_once_end_in_turns(bench: Working) -> None:
    """Each is answered that nothing came."""
    waiting = [bench.send("pull", group="g", from_="start", wait_ms=1_000) for _ in range(300)]
    bench.now += 2
    bench.works = True
    assert bench.turn() < TURN_S + MORE_S
    for number in waiting:
        bench.until(number)
        assert bench.replies[number]["why"] == "empty"


def test_paths_set_aside_are_listed_up_to_a_bound(bench: Working) -> None:
    """Of one group, and of all."""
    for n in range(20):
        bench.ask("pull", group=f"g{n:02}", from_="start", peek=True)
    bench.store.abandon()
    paths = [SetAsidePath(0, i, 0, b"%d" % i, False, 5, "") for i in range(SET_ASIDE_OF_ONE_MAX + 5)]
    with closing(sqlite3.connect(bench.path)) as db, db:
        for path in paths:
            db.execute("INSERT INTO parked (id, key, body) SELECT id, ?, ? FROM groups", (path.key, msgspec.msgpack.encode(path)))
    bench.open()
    rows = bench.ask("groups")["groups"]
    assert [len(row["parked"]) for row in rows[:9]] == [SET_ASIDE_OF_ONE_MAX] * 9
    assert sum(len(row["parked"]) for row in rows) <= SET_ASIDE_MAX
    assert {row["parked_paths"] for row in rows} == {SET_ASIDE_OF_ONE_MAX + 5}


def test_tombstones_are_forgotten_a_part_at_a_time(tmp_path: Path) -> None:
    """Of a large tree that was removed: so many in one turn, with the directories that are empty by then. How many that are is
    said by nobody who asks for a turn."""
    assert Tombstones.collect.__defaults__ == ((), COLLECTED_MAX)
    index = Index(tmp_path / "index.db")
    names = [b"%03d" % n for n in range(100)]
    index.begin()
    for directory in (b"/r/a", b"/r/b"):
        index.records.listing(Listing(directory, 1, *seen([(n, FILE, 1, 2, 1, 3, 4, 5, False) for n in names])), [])
    index.backlog.note_handed(0, index.tick)
    for directory in (b"/r/a", b"/r/b"):
        index.records.looks(Looks(directory, 1, [], b"", names), [])
    index.commit()
    done = []
    while forgotten := index.tombstones.collect({0: index.tick}, 10, (), 30):
        done.append(forgotten)
    assert done == [30, 30, 30, 30, 30, 30, 20]
    assert index.backlog.pending(0, 0, 10).rows == []
    assert query(index, "SELECT count(*) FROM directory") == [(0,)]
    index.abandon()
