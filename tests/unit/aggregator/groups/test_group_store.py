"""groups.db: what comes back after a crash, and what happens to a file that can't be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from harness_serve import Bench, short
from told_index import ToldIndex

from shardwatch.aggregator.groups.batch import GroupBatch
from shardwatch.aggregator.groups.failure import Failure
from shardwatch.aggregator.groups.group import Group
from shardwatch.aggregator.groups.lease_terms import LeaseTerms
from shardwatch.aggregator.groups.store import GroupStore, boot_id
from shardwatch.aggregator.protocol.messages import RefusedError
from shardwatch.shard.contract.errors import ShardwatchError


def test_a_group_comes_back_as_it_was(tmp_path: Path) -> None:
    """Positions, leases, failed batches, held rows, reasons and paths set aside."""
    index = ToldIndex()
    group = Group.new(3, "g", "t", 5.0, attempts_max=1)
    group.begin(index, 0, 0)
    index.put(b"/r/a")
    index.put(b"/r/b", lane=2)
    index.put(b"/r/bad")
    batches = [group.pull(index, 0.0, 1, LeaseTerms(10.0, "w"), 9) for _ in range(3)]
    assert all(isinstance(b, GroupBatch) for b in batches)
    group.batches.nack(index, 3, 0.0, Failure("no"))
    index.put(b"/r/a", size=2)
    group.pull(index, 0.0, 1, LeaseTerms(10.0, "w"), 9)
    store = GroupStore(tmp_path / "groups.db", boot="b")
    store.write(group)
    store.commit()
    store.abandon()
    store = GroupStore(tmp_path / "groups.db", boot="b")
    assert store.known() == [3]
    back = store.load(3)
    assert back is not None
    assert back.row() == group.row() and back.state == "active"
    assert back.describe(index, 0.0, 0, 10) == group.describe(index, 0.0, 0, 10)
    for number in (0, 2):
        assert back.position.scan(number) == group.position.scan(number)
        assert back.unacknowledged.cursor(number) == group.unacknowledged.cursor(number)
    assert back.position.reached() == group.position.reached()
    described = back.describe(index, 0.0, 0, 10)
    assert (described["backlog"], described["leased"], described["parked_paths"]) == (1, 2, 1)
    with pytest.raises(RefusedError, match="it was nacked"):
        back.ack(index, 3, 0.0)
    assert store.load(4) is None
    store.close()
    store.close()


def test_nothing_is_durable_before_the_commit(tmp_path: Path) -> None:
    """A crash in the open transaction leaves what was committed before."""
    store = GroupStore(tmp_path / "groups.db", boot="b")
    group = Group.new(1, "g", "t", 0.0)
    group.begin(ToldIndex(), 0, 0)
    store.write(group)
    store.abandon()
    store = GroupStore(tmp_path / "groups.db", boot="b")
    assert store.known() == []
    store.abandon()


@pytest.mark.parametrize(
    "junk", [b"this is no database at all, and long enough to be one" * 40, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, junk: bytes) -> None:
    """It is kept under another name, a new one begins, and the note says so; a second one does not overwrite the first."""
    path = tmp_path / "groups.db"
    for n in (1, 2):
        path.write_bytes(junk)
        store = GroupStore(path, boot="b")
        assert store.known() == []
        assert f"groups.db.damaged-{n}" in store.notes[0]
        assert (tmp_path / f"groups.db.damaged-{n}").read_bytes() == junk
        store.close()


def test_rows_that_can_t_be_read_are_damage_too(tmp_path: Path) -> None:
    """The server starts with no groups and a note, not with a traceback."""
    bench = Bench(tmp_path / "groups.db")
    bench.index.put(b"/r/a")
    bench.pull()
    bench.store.abandon()
    db = sqlite3.connect(tmp_path / "groups.db")
    db.execute("UPDATE units SET parts = x'c1'")
    db.commit()
    db.close()
    bench.open()
    assert bench.ask("groups")["groups"] == []
    assert "damaged" in bench.server.registry.notes[0]
    assert bench.ask("pull", group="g", from_="start")["created"]
    bench.store.abandon()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """It is left alone, with a word on what to do."""
    GroupStore(tmp_path / "groups.db", boot="b").close()
    db = sqlite3.connect(tmp_path / "groups.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ShardwatchError, match="version 99"):
        GroupStore(tmp_path / "groups.db", boot="b")


def test_a_disk_that_refuses_is_no_damage(tmp_path: Path) -> None:
    """A file that can't be opened is not renamed."""
    (tmp_path / "groups.db").mkdir()
    with pytest.raises(sqlite3.OperationalError):
        GroupStore(tmp_path / "groups.db", boot="b")
    assert (tmp_path / "groups.db").is_dir()


def test_the_boot_has_an_identity() -> None:
    """Linux tells it."""
    assert len(boot_id()) == 36


def test_groups_of_the_first_format(tmp_path: Path) -> None:
    """They keep their positions, and get a bit each."""
    bench = Bench(tmp_path / "groups.db")
    bench.index.put(b"/r/a")
    for name in ("g", "h"):
        batch = bench.pull(name)
        assert batch is not None and bench.ack(batch)["ok"]
    bench.store.close()
    db = sqlite3.connect(tmp_path / "groups.db")
    for table, columns in {"groups": ("bit", "begun"), "lanes": ("skip_after", "skip_upto"), "units": ("once",)}.items():
        for column in columns:
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    db.execute("DROP INDEX outputs")
    for column in ("kind", "at", "output"):
        db.execute(f"ALTER TABLE parked DROP COLUMN {column}")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    bench.open()
    assert {g.mark.bit for g in bench.server.registry.by_name.values()} == {0, 1}
    bench.index.put(b"/r/a", size=2)
    bench.index.put(b"/r/b")
    for name in ("g", "h"):
        assert short(bench.drain(name)) == [("modified", "/r/a"), ("created", "/r/b")]
    bench.store.abandon()
