"""What was committed comes from the log to the file, without the connection that writes."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shardwatch.aggregator.groups import schema as groups_schema
from shardwatch.aggregator.index import schema as index_schema
from shardwatch.aggregator.storage import checkpoints as checkpoints_module
from shardwatch.aggregator.storage.checkpoints import COMMITS, ROWS, Checkpoints, rows_since


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA wal_autocheckpoint=0")  # whatever is moved is moved by Checkpoints
    db.execute("CREATE TABLE rows (n INTEGER)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield db
    db.close()


@pytest.fixture
def checkpoints(db: sqlite3.Connection, path: Path) -> Iterator[Checkpoints]:
    checkpoints = Checkpoints((path,), "process")
    yield checkpoints
    checkpoints.close()


def commit(db: sqlite3.Connection, checkpoints: Checkpoints, count: int) -> None:
    """One row for each time that a commit is told."""
    for _ in range(count):
        db.execute("INSERT INTO rows VALUES (1)")
        checkpoints.committed(db.total_changes)


def moved(path: Path, tmp_path: Path) -> int:
    """How many rows there are in the file alone, as it lies on the disk."""
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with contextlib.closing(sqlite3.connect(copy)) as db:
        return int(db.execute("SELECT count(*) FROM rows").fetchone()[0])


def test_the_log_is_moved_after_some_commits(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    commit(db, checkpoints, COMMITS - 1)
    checkpoints.wait()
    assert moved(path, tmp_path) == 0
    commit(db, checkpoints, 1)
    checkpoints.wait()
    assert moved(path, tmp_path) == COMMITS


def test_a_count_of_rows_that_begins_anew_goes_on() -> None:
    """SQLite counts up to 2**31 - 1."""
    assert [rows_since(5, 12), rows_since((1 << 31) - 2, -(1 << 31) + 3)] == [7, 5]


def test_the_log_is_moved_after_some_rows_when_their_count_begins_anew(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    db.execute("INSERT INTO rows VALUES (1)")
    checkpoints.committed((1 << 31) - 1)
    checkpoints.wait()
    db.execute("INSERT INTO rows VALUES (1)")
    checkpoints.committed(-(1 << 31) + ROWS)
    checkpoints.wait()
    assert moved(path, tmp_path) == 2


def change(db: sqlite3.Connection, checkpoints: Checkpoints, rows: int) -> None:
    """One commit of so many rows."""
    db.execute("BEGIN")
    db.executemany("INSERT INTO rows VALUES (?)", [(n,) for n in range(rows)])
    db.execute("COMMIT")
    checkpoints.committed(db.total_changes)


def test_in_a_burst_it_is_moved_after_some_rows_and_begins_anew(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There few transactions change many rows. What is committed while the thread moves a long log is moved by the writer, so
    that the log does not go on."""
    monkeypatch.setattr(checkpoints_module, "_LONG", 10)
    sizes = []
    for times in range(3):
        rows = times * ROWS
        change(db, checkpoints, ROWS - 1 if times == 0 else ROWS - 102)
        checkpoints.wait()
        assert moved(path, tmp_path) == (rows + 101 if times else 0)
        change(db, checkpoints, 1)
        checkpoints.wait()
        assert moved(path, tmp_path) == rows + ROWS
        change(db, checkpoints, 1)
        assert moved(path, tmp_path) == rows + ROWS  # the burst may be over: nobody waits for the disk
        change(db, checkpoints, 100)
        assert moved(path, tmp_path) == rows + ROWS + 101  # at once
        sizes.append(path.with_name("a.db-wal").stat().st_size)
    assert max(sizes) < 1.5 * sizes[0]


def test_the_writer_leaves_a_short_log_to_the_thread(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """It may well be longer the next time."""
    change(db, checkpoints, ROWS)
    checkpoints.wait()
    change(db, checkpoints, 100)
    checkpoints.wait()
    assert moved(path, tmp_path) == ROWS
    change(db, checkpoints, ROWS)
    checkpoints.wait()
    assert moved(path, tmp_path) == 2 * ROWS + 100


def test_the_writer_moves_nothing_between_small_commits(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it would make somebody wait for the disk."""
    monkeypatch.setattr(checkpoints_module, "_LONG", 10)
    commit(db, checkpoints, COMMITS)
    checkpoints.wait()
    commit(db, checkpoints, 1)
    checkpoints.wait()
    assert moved(path, tmp_path) == COMMITS


def test_it_is_moved_again_and_again(db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
    for times in range(1, 4):
        commit(db, checkpoints, COMMITS)
        checkpoints.wait()
        assert moved(path, tmp_path) == times * COMMITS


def test_it_begins_over_once_it_was_moved(db: sqlite3.Connection, path: Path, checkpoints: Checkpoints) -> None:
    """So it does not grow."""
    sizes = []
    for _ in range(4):
        commit(db, checkpoints, COMMITS)
        checkpoints.wait()
        sizes.append(path.with_name("a.db-wal").stat().st_size)
    assert max(sizes) < 1.5 * sizes[0]


@pytest.mark.parametrize("open_it", [
    lambda path: index_schema.open_database(path)[0],
    lambda path: groups_schema.open_groups(path, "process", lambda path: sqlite3.connect(path, isolation_level=None)),
], ids=["index", "groups"])  # fmt: skip
def test_a_log_is_moved_within_a_commit_when_it_is_very_long(
    path: Path, monkeypatch: pytest.MonkeyPatch, open_it: Callable[[Path], Any]
) -> None:
    """Whatever the thread does or does not do."""
    for schema in (index_schema, groups_schema):
        monkeypatch.setattr(schema, "PAGES", 50)
    with contextlib.closing(open_it(path)) as db:
        db.execute("CREATE TABLE filler (bytes BLOB)")
        for _ in range(200):
            db.execute("INSERT INTO filler VALUES (zeroblob(4000))")
        assert path.with_name("a.db-wal").stat().st_size < 2 * 50 * 4096


def test_an_open_transaction_is_in_nobodys_way(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO rows VALUES (2)")
    for _ in range(COMMITS):
        checkpoints.committed(1)
    checkpoints.wait()
    db.execute("COMMIT")
    commit(db, checkpoints, COMMITS)
    checkpoints.wait()
    assert moved(path, tmp_path) == COMMITS + 1


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    path.write_bytes(b"no database, but long enough to be read as one" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Checkpoints((path,), "process")


def test_who_writes_goes_on_although_nothing_can_be_moved(
    db: sqlite3.Connection, path: Path, checkpoints: Checkpoints, tmp_path: Path
) -> None:
    """Another connection moves the log at the same time, or the disk refuses: the log stays as it is."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rows").fetchone()  # whoever reads needs the file as it is
        commit(db, checkpoints, COMMITS)
        checkpoints.wait()
        assert moved(path, tmp_path) == 0
    commit(db, checkpoints, COMMITS)
    checkpoints.wait()
    assert moved(path, tmp_path) == 2 * COMMITS


def test_it_is_closed_twice(checkpoints: Checkpoints) -> None:
    checkpoints.close()
    checkpoints.close()
