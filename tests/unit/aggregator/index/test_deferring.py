"""Commits that are deferred: everything reads as if they were not, but for other processes, and a crash takes nothing."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import rows
from entries import Entry, seen
from index_rows import change_closed, query_file

from shardwatch.aggregator.index import deferring as deferring_module
from shardwatch.aggregator.index import file as file_module
from shardwatch.aggregator.index import redo as redo_module
from shardwatch.aggregator.index.deferring import ROWS_MAX, Deferring, rows_within
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import open_index
from shardwatch.aggregator.index.redo import RedoFile
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Listing, Looks

SETTINGS = Settings(roots=(b"/r",), include=(), exclude=())
DIRECTORIES = 12


def entry(directory: int, name: int, version: int) -> Entry:
    return (b"%02d" % name, FILE, 1, 1 + 100 * directory + name, 1, version, version, version, False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    index = Index(path)
    index.begin()
    for directory in range(DIRECTORIES):
        entries = [entry(directory, name, 1) for name in range(10)]
        index.records.listing(Listing(b"/r/%02d" % directory, 1, *seen(entries)), ())
    index.commit()
    yield index
    index.abandon()


def rewrite(index: Index, version: int, name: int = 3, *, may_defer: bool = True) -> None:
    """A transaction in which one file of each directory is found to be another one."""
    index.backlog.note_handed(0, index.tick)
    index.begin()
    looks = [
        Looks(b"/r/%02d" % directory, version, *seen([entry(directory, name, version)]), [])
        for directory in range(DIRECTORIES)
    ]
    for left in index.records.scattered(looks):
        index.records.looks(left, ())
    index.streams.save("s0", 1, version, 0)
    index.commit(may_defer=may_defer)


def killed(path: Path, into: Path) -> Path:
    """The files as a crash at this moment leaves them."""
    into.mkdir()
    for suffix in ("", "-wal", "-redo"):
        shutil.copyfile(f"{path}{suffix}", f"{into / path.name}{suffix}")
    return into / path.name


def everything(index: Index) -> object:
    """All that an index says, and will say."""
    groups = [(row.tick, row.path, row.size, row.held) for row in index.backlog.pending(0, 0, 1000).rows]
    return rows(index), groups, index.files, index.directories, index.backlog.collected, index.streams.known()


def of_others(path: Path, sql: str) -> list[Any]:
    """What another process reads."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        found = query_file(db, sql)
    db.close()
    return found


def test_a_crash_takes_nothing_that_was_deferred(index: Index, path: Path, tmp_path: Path) -> None:
    """Whenever it comes: with files that leave their pages, and with rows that change again."""
    for version in range(2, 8):
        rewrite(index, version, version % 3)
        assert index.deferring
        again = Index(killed(path, tmp_path / str(version)))
        assert again.file.found_tick == index.tick
        assert everything(again) == everything(index)
        again.close()


class _LongOpen(sqlite3.Connection):
    """One that has changed nearly as many rows as SQLite counts to."""

    @property
    def total_changes(self) -> int:
        return (super().total_changes + (1 << 32) - 60) % (1 << 32) - (1 << 31)


def test_the_count_of_changed_rows_that_begins_anew_takes_nothing(index: Index, path: Path, tmp_path: Path) -> None:
    """After 2**31 rows, some days of hard work, it goes on below zero: in the midst of what is deferred, say. Whether the service
    is killed then, or ends."""
    anew = []
    for version in range(2, 8):
        place = killed(path, tmp_path / str(version))
        again = Index(place, connect=lambda place: sqlite3.connect(place, isolation_level=None, factory=_LongOpen))
        begun = again.file.rows_changed
        for step in range(2, version + 1):
            rewrite(again, step)
            assert again.deferring
        anew.append(again.file.rows_changed < begun)
        expected = everything(again)
        third = Index(killed(place, tmp_path / f"killed-{version}"))
        assert everything(third) == expected
        third.close()
        again.close()
        third = Index(place)
        assert everything(third) == expected
        third.close()
    assert anew[0] < anew[-1], "it began anew in the midst of them"


def test_a_crash_while_it_is_done_again_takes_nothing(index: Index, path: Path, tmp_path: Path) -> None:
    """It is one transaction, and what follows it bears another name: it is not done twice."""
    rewrite(index, 2)
    rewrite(index, 3)
    place = killed(path, tmp_path / "killed")
    expected = everything(index)
    again = Index(place)
    halfway = killed(place, tmp_path / "again")  # the redo file still has what is done
    rewrite(again, 4, may_defer=False)
    assert everything(again) != expected
    again.abandon()
    for left, version in ((halfway, 3), (place, 4)):
        third = Index(left)
        assert third.streams.known() == {"s0": (1, version, 0)}
        third.close()


def test_others_see_it_when_it_is_committed(index: Index, path: Path) -> None:
    """What reads over the connection of the index sees it at once."""
    sizes = "SELECT size FROM every WHERE name = x'3033'"
    rewrite(index, 2)
    assert {row.size for row in index.backlog.pending(0, 120, 100).rows} == {2}
    assert set(of_others(path, sizes)) == {(1,)}
    index.commit_deferred()
    assert not index.deferring
    assert set(of_others(path, sizes)) == {(2,)}
    commits = index.file.commits
    index.commit_deferred()
    assert index.file.commits == commits


def test_an_index_that_is_closed_has_it_all(index: Index, path: Path) -> None:
    rewrite(index, 2)
    expected = everything(index)
    index.close()
    assert path.with_name("index.db-redo").read_bytes() == b""
    again = Index(path)
    assert everything(again) == expected
    again.close()


def test_a_transaction_that_writes_anything_else_is_committed(index: Index, path: Path, tmp_path: Path) -> None:
    """With what was deferred before, since it follows from that."""
    rewrite(index, 2)
    index.begin()
    index.debts.owe(b"/r/00", b"03")
    index.commit(may_defer=True)
    assert not index.deferring
    rewrite(index, 3, 4)  # another name than the one that is owed
    assert index.deferring
    again = Index(killed(path, tmp_path / "killed"))
    assert everything(again) == everything(index)
    assert again.owed.keys() == {b"/r/00"}
    again.close()


def test_what_is_written_between_transactions_is_noticed(index: Index, path: Path, tmp_path: Path) -> None:
    """It is in no transaction that could be done again, so the next one commits the database."""
    rewrite(index, 2)
    assert index.deferring
    index.file.db.execute("UPDATE state SET service='another'")
    rewrite(index, 3)
    assert not index.deferring
    again = Index(killed(path, tmp_path / "killed"))
    assert everything(again) == everything(index) and again.file.service == "another"
    again.abandon()


def table(path: Path) -> tuple[sqlite3.Connection, RedoFile, Deferring]:
    """A transaction that has begun, over a table of numbers."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)")
    file = RedoFile(path, None)
    deferring = Deferring(db, file, 1)
    db.execute("BEGIN")
    deferring.begin()
    return db, file, deferring


def test_what_changes_nothing_is_not_written(path: Path) -> None:
    """As where rows are confirmed that nobody doubts: it changes nothing when it is done again either."""
    db, file, deferring = table(path)
    deferring.write("UPDATE t SET b=? WHERE a=?", [(1, 2), (3, 4)])
    deferring.write_one("INSERT INTO t VALUES (?, ?)", (1, 1))
    deferring.write_one("DELETE FROM t WHERE a=?", (2,))
    assert deferring.defer(("UPDATE t SET b=?", ((7,),)), 1000)
    assert list(file.transactions(1)) == [[("INSERT INTO t VALUES (?, ?)", [[1, 1]]), ("UPDATE t SET b=?", [[7]])]]
    db.close()


def test_a_transaction_that_is_too_large_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a directory with millions of files is one transaction: its rows are gone from memory once they are written."""
    monkeypatch.setattr(deferring_module, "ROWS_MAX", 10)

    class Rows(list[tuple[int, int]]):
        """A list that can be referred to weakly."""

    db, file, deferring = table(path)
    written = []
    for begin in range(0, 40, 4):
        rows = Rows((number, 0) for number in range(begin, begin + 4))
        written.append(weakref.ref(rows))
        deferring.write("INSERT INTO t VALUES (?, ?)", rows)
        del rows
    assert [rows() for rows in written] == [None] * 10
    assert not deferring.defer(("UPDATE t SET b=?", ((7,),)), 1000)
    assert list(file.transactions(1)) == []
    db.execute("COMMIT")
    deferring.committed()
    db.execute("BEGIN")
    deferring.begin()
    deferring.write_one("DELETE FROM t WHERE a=?", (2,))
    assert deferring.defer(("UPDATE t SET b=?", ((7,),)), 1000)
    db.close()


def test_a_note_of_the_time_is_not_deferred(path: Path) -> None:
    """Nor is anything else that a commit writes by itself."""
    now = 10**18
    index = Index(path, wall_ns=lambda: now)
    index.begin()
    index.records.listing(Listing(b"/r/00", 1, *seen([entry(0, name, 1) for name in range(10)])), ())
    index.commit(may_defer=True)
    for version in (2, 3):
        now += 10**9
        index.backlog.note_handed(0, index.tick)
        index.begin()
        index.records.looks(Looks(b"/r/00", version, *seen([entry(0, 3, version)]), []), ())
        index.commit(may_defer=True)
        assert index.deferring
    now += 61 * 10**9
    index.begin()
    index.records.looks(Looks(b"/r/00", 4, *seen([entry(0, 3, 4)]), []), ())
    index.commit(may_defer=True)
    assert not index.deferring
    index.close()


def test_ticks_are_reserved_outside_of_what_is_deferred(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "TICKS_RESERVED", 40)
    index.file._reserve()
    for version in range(2, 8):
        rewrite(index, version, 3)
        (tick, ceiling) = index.file.db.execute("SELECT tick, ceiling FROM state").fetchone()
        assert index.tick <= ceiling
        assert index.deferring == (tick < index.tick)


def test_only_so_many_rows_are_deferred(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(index, 2, may_defer=False)  # the files leave their pages
    monkeypatch.setattr(deferring_module, "ROWS_MAX", 2 * (DIRECTORIES + 1))
    found = []
    for version in range(3, 9):
        rewrite(index, version)
        found.append(index.deferring)
    assert found == [True, True, False] * 2


def test_as_many_rows_are_deferred_as_change_the_pages_that_are_cached() -> None:
    """All that change at random in a file that is cached; in a large one, hardly more than pages are cached."""
    assert rows_within(1000, 900) == ROWS_MAX
    assert rows_within(1000, 1001) == 6915
    assert rows_within(1000, 2000) == 1386
    assert 1000 <= rows_within(1000, 10**6) <= 1001


def test_where_the_redo_file_refuses_the_database_is_committed(path: Path) -> None:
    """Then nothing is lost by it, and the database says what the matter is, if it is refused, too."""

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    index = Index(path, durability="power", sync=refuse)
    index.begin()
    index.records.listing(Listing(b"/r/00", 1, *seen([entry(0, name, 1) for name in range(10)])), ())
    index.commit()
    index.begin()
    index.records.looks(Looks(b"/r/00", 2, *seen([entry(0, 3, 2)]), []), ())
    index.commit(may_defer=True)
    assert not index.deferring
    index.abandon()
    again = Index(path)
    assert {row.size for row in again.backlog.pending(0, 0, 100).rows} == {1, 2}
    again.close()


def test_what_does_not_fit_the_database_is_damage(index: Index, path: Path, tmp_path: Path) -> None:
    """As where a part of the file was exchanged: the index is set aside, with its redo file, and built anew."""
    rewrite(index, 2)
    place = killed(path, tmp_path / "killed")
    change_closed(place, "UPDATE page SET dir = dir + 100, first = x'00'")
    change_closed(place, "INSERT INTO entry SELECT id, x'3033', 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 9000 + id, 0, 0, 0 FROM directory")
    again, notes = open_index(place, SETTINGS)
    assert "index.db.damaged-1" in notes[0]
    assert place.with_name("index.db.damaged-1-redo").exists()
    assert again.tick == 0
    again.close()


def test_a_redo_file_of_another_index_is_nothing(index: Index, path: Path, tmp_path: Path) -> None:
    """As where the index was removed, or is an older one."""
    rewrite(index, 2)
    place = killed(path, tmp_path / "killed")
    for suffix in ("", "-wal"):
        Path(f"{place}{suffix}").unlink()
    again = Index(place)
    assert (again.tick, again.files) == (0, 0)
    again.close()


def test_a_redo_file_that_makes_no_sense_is_damage(
    index: Index, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no version writes it, though its checksum is right."""
    with monkeypatch.context() as patch:
        patch.setattr(redo_module, "_encode", lambda writes: b"\xc1")
        rewrite(index, 2)
    again, notes = open_index(killed(path, tmp_path / "killed"), SETTINGS)
    assert "the redo file of the index is damaged" in notes[0]
    again.close()


def test_a_disk_that_refuses_to_read_it_is_waited_for(
    index: Index, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is left alone, and is whole when the disk can be read again."""
    rewrite(index, 2)
    place = killed(path, tmp_path / "killed")

    def refuse(fd: int, length: int, at: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refuse)
        with pytest.raises(sqlite3.OperationalError, match="can't be read: Input/output error"):
            Index(place)
    again = Index(place)
    assert everything(again) == everything(index)
    again.close()


def test_a_state_directory_that_is_gone_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="No such file or directory"):
        Index(tmp_path / "gone" / "index.db")
