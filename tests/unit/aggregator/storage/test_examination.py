"""Is a value of another type than its column found in a database, and nothing else?"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from entries import seen
from index_rows import change_closed

from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index.holders import INTEGERS_OR_BYTES
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.storage.damage import examine
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.wire.frames import Listing, Looks

CORPUS = Path(__file__).parents[3] / "corpus"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An index with rows of files and directories, pages, files with several names, and more groups than an integer has bits."""
    index = Index(tmp_path / "index.db")
    index.begin()
    index.records.listing(Listing(b"/r", 1, *seen([(b"d", DIRECTORY, 0, 0, 0, 0, 0, 0, False)])), ())
    for directory in (b"/r/d", b"/r/e"):
        index.records.listing(Listing(directory, 1, *seen([(b"%d" % n, FILE, 1, n, 1, 1, 1, 1, False) for n in range(6)])), ())
    index.commit()
    index.backlog.holders.place(0, 0, 0)
    index.backlog.holders.place(100, 0, index.tick)
    index.backlog.note_handed(0, index.tick)
    index.begin()
    index.records.looks(Looks(b"/r/d", 2, *seen([(b"1", FILE, 1, 1, 2, 2, 2, 2, False)]), []), ())
    index.records.looks(Looks(b"/r/e", 2, *seen([(b"%d" % n, FILE, 1, n, 1, 2, 2, 2, False) for n in range(6)]), []), ())
    index.debts.owe(b"/r/d", b"2")
    index.anchors.adopt([b"/r"])
    index.streams.save("a", 1, 1, 1)
    index.commit()
    index.consumers.keep({"group": 1})
    index.close()
    with sqlite3.connect(path := tmp_path / "index.db") as db:
        assert {type_ for (type_,) in db.execute("SELECT typeof(held) FROM page UNION SELECT typeof(held) FROM entry")} == {
            "integer", "blob"
        }  # fmt: skip
    db.close()
    return path


def examined(path: Path) -> str:
    return examine(path, lambda: None, INTEGERS_OR_BYTES)


def test_an_index_as_it_is_holds_nothing_wrong(path: Path) -> None:
    """Nor with a table that SQLite makes for whoever asks for statistics."""
    assert examined(path) == ""
    change_closed(path, "ANALYZE")
    assert examined(path) == ""


@pytest.mark.parametrize("script", sorted(CORPUS.glob("state_*/*.sql")), ids=lambda script: f"{script.parent.name}-{script.stem}")
def test_a_database_of_any_schema_holds_nothing_wrong(script: Path, tmp_path: Path) -> None:
    """It may be met before it is migrated."""
    with sqlite3.connect(tmp_path / "some.db") as db:
        db.executescript(script.read_text())
    db.close()
    assert examined(tmp_path / "some.db") == ""


def test_any_column_with_another_type_is_named(path: Path) -> None:
    """Whatever the table, as far as it has rows."""
    with sqlite3.connect(path, isolation_level=None) as db:
        columns = [
            (table, column, type_)
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
            if db.execute(f"SELECT 1 FROM {table}").fetchone()
            for _, column, type_, _, _, _ in db.execute(f"PRAGMA table_info({table})").fetchall()
        ]
        assert {table for table, _, _ in columns} >= {"state", "directory", "entry", "page", "owed", "anchor", "stream", "moment"}
        for table, column, type_ in columns:
            (before,) = db.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()
            wrong = b"blob" if type_ == "TEXT" else "text"
            db.execute("BEGIN")
            try:
                db.execute(f"UPDATE {table} SET {column}=? WHERE {column} IS ?", (wrong, before))
            except sqlite3.IntegrityError:  # a key that is a number, or one that has to stay single
                db.execute("ROLLBACK")
                continue
            db.execute("COMMIT")
            assert examined(path) == f"{table}.{column} holds a value of another type"
            db.execute(f"UPDATE {table} SET {column}=? WHERE {column} IS ?", (before, wrong))
            assert examined(path) == ""
    db.close()


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    """And what is not there is not made."""
    assert examined(tmp_path / "index.db") == ""
    assert not (tmp_path / "index.db").exists()
    (tmp_path / "index.db").write_bytes(b"x" * 8192)
    assert "not a database" in examined(tmp_path / "index.db")


@pytest.mark.parametrize("column", ["created", "bit", "token"])
def test_groups_are_examined_too(tmp_path: Path, column: str) -> None:
    """They have columns for numbers of seconds besides."""
    path = tmp_path / "groups.db"
    GroupStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO groups VALUES (1, 'g', 't', 1.5, 1, 'active', '', 'i', 0, 0, 1, 0, 0, 0)")
    db.close()
    assert examine(path, lambda: None) == ""
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE groups SET {column}=x'ff'")
    db.close()
    assert examine(path, lambda: None) == f"groups.{column} holds a value of another type"
