"""What is said of a database that can't be used, where SQLite does not say why; and what is found in one that is damaged."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from entries import seen
from index_rows import change_closed

from shardwatch.aggregator.index.holders import INTEGERS_OR_BYTES
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import open_index
from shardwatch.aggregator.storage.damage import damaged, examine, refusal, set_aside
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Listing


def _free(monkeypatch: pytest.MonkeyPatch, path: Path, pages: int) -> None:
    """The disk has so many free pages of 4 KiB."""
    fields = list(os.statvfs(path))
    fields[0] = fields[1] = 4096  # f_bsize, f_frsize
    fields[4] = pages  # f_bavail
    found = os.statvfs_result(fields)
    monkeypatch.setattr(os, "statvfs", lambda path: found)


@pytest.mark.parametrize(("pages", "full"), [(0, True), (7, True), (15, True), (16, False), (10_000, False)])
def test_a_disk_with_hardly_any_room_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pages: int, full: bool) -> None:
    """SQLite writes 32 KiB at once in one place, and calls it an error of the disk if there is less."""
    _free(monkeypatch, tmp_path, pages)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    found = refusal(error, tmp_path)
    assert (found.message == f"the disk of the state directory {tmp_path} is full") == full, found
    assert ("free some space" in found.remedy) == full


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """An index with rows and pages, that is not open."""
    path = tmp_path / "index.db"
    index = Index(path)
    index.begin()
    for directory, names in ((b"/r/rows", [b"a"]), (b"/r/pages", [b"a", b"b", b"c", b"d"])):
        entries = [(name, FILE, 1, 5, 1, 1, 1, 1, False) for name in names]
        index.records.listing(Listing(directory, 1, *seen(entries)), ())
    index.streams.serve("service")
    index.commit()
    index.consumers.keep({"g": 1})
    index.close()
    return path


def examined(path: Path) -> str:
    return examine(path, lambda: None, INTEGERS_OR_BYTES)


def _in_the_schema(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize(("old", "new"), [(b"ctime_ns INT", b"ctimf_ns INT"), (b"names BLOB", b"mames BLOB")])
def test_tables_that_statements_do_not_suit_are_damaged(closed: Path, old: bytes, new: bytes) -> None:
    """To SQLite this is an error like any other; waiting does not help. The index is set aside, and made anew."""
    _in_the_schema(closed, old, new)
    with pytest.raises(sqlite3.OperationalError, match="no such column") as raised:
        index = Index(closed)
        try:
            index.begin()
            index.records.listing(Listing(b"/r/pages", 2, [], b""), ())
        finally:
            index.abandon()
    assert damaged(raised.value)


def test_a_state_that_statements_do_not_suit_is_set_aside(closed: Path) -> None:
    """When the index is opened."""
    _in_the_schema(closed, b"collected INT", b"collecued INT")
    index, notes = open_index(closed, Settings(roots=(b"/r",), include=(), exclude=()))
    index.abandon()
    assert closed.with_name("index.db.damaged-1").exists()
    assert "no such column" in notes[0]


def test_text_that_is_not_utf_8_is_damage(closed: Path) -> None:
    """In a row, where Python says it without a number; and in the names of tables, where SQLite quotes it."""
    change_closed(closed, "UPDATE state SET service=CAST(x'ff' AS TEXT)")
    with pytest.raises(sqlite3.OperationalError) as raised:
        Index(closed)
    assert damaged(raised.value)
    assert examined(closed) == "state.service holds text that is not UTF-8"
    change_closed(closed, "UPDATE state SET service=''")
    _in_the_schema(closed, b"tablemomentmoment", b"table\xffomentmoment")
    assert "the text that describes its tables" in examined(closed)


def test_types_that_are_none_of_ours_are_damage(closed: Path) -> None:
    """SQLite takes any word for a type."""
    _in_the_schema(closed, b"committed INTEGER", b"committed INUEGER")
    assert examined(closed) == "stream.committed is of a type that is none of ours"


def test_a_disk_that_refuses_is_no_damage() -> None:
    """Each is an error of the same class as a statement that does not suit the tables."""
    for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
        error = sqlite3.OperationalError("refused")
        error.sqlite_errorcode = code
        assert not damaged(error)
    assert not damaged(sqlite3.OperationalError("raised by ourselves"))


def test_nothing_that_was_set_aside_is_overwritten(tmp_path: Path) -> None:
    """Nor the log of a database that was to be set aside when a kill came."""
    path = tmp_path / "index.db"
    for time in (1, 2, 3):
        path.write_text(f"database {time}")
        (tmp_path / "index.db-wal").write_text(f"log {time}")
        if time == 2:
            (tmp_path / "index.db-wal").rename(tmp_path / "index.db.damaged-2-wal")
        set_aside(path)
    assert {found.name: found.read_text() for found in tmp_path.iterdir()} == {
        "index.db.damaged-1": "database 1", "index.db.damaged-1-wal": "log 1", "index.db.damaged-2-wal": "log 2",
        "index.db.damaged-3": "database 2", "index.db.damaged-4": "database 3", "index.db.damaged-4-wal": "log 3",
    }  # fmt: skip
