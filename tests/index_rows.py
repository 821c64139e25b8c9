"""Looks into the file of an index. The only place in the tests which knows that the index is a file with a connection, and that
its entries lie in rows and in pages."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.page import Page
from shardwatch.aggregator.index.pages import all_pages
from shardwatch.aggregator.index.row import WRITTEN

_COLUMNS = ", ".join(("dir", *WRITTEN))
_MARKS = ",".join("?" * (len(WRITTEN) + 1))


def query(index: Index, sql: str) -> list[Any]:
    """The rows of a SELECT or PRAGMA, with what was not committed yet. In the table `every` is what is in rows or pages."""
    return query_file(index.file.db, sql)


def query_file(db: Any, sql: str, arguments: Sequence[object] = ()) -> list[Any]:
    """The same, over a connection to the file, to which nothing is written."""
    if " every" not in sql:
        return db.execute(sql, arguments).fetchall()  # type: ignore[no-any-return]
    with contextlib.closing(sqlite3.connect(":memory:")) as own:
        db.execute("SAVEPOINT looking")  # all that is read is of one moment
        try:
            for table in ("directory", "entry"):
                _copy(db, own, table)
            own.execute("CREATE TABLE every AS SELECT * FROM entry")
            for page in all_pages(db):
                _insert(own, "every", page)
        finally:
            db.execute("RELEASE looking")
        return own.execute(sql, arguments).fetchall()


def _copy(db: Any, own: sqlite3.Connection, table: str) -> None:
    own.execute(db.execute("SELECT sql FROM sqlite_master WHERE type='table' AND name=?", (table,)).fetchone()[0])
    rows = db.execute(f"SELECT * FROM {table}").fetchall()
    if rows:
        own.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)


def spread(db: Any) -> None:
    """Makes rows of all pages, so that a statement can change one of them."""
    for page in list(all_pages(db)):
        _insert(db, "entry", page)
        db.execute("DELETE FROM page WHERE id=?", (page.id,))


def _insert(db: Any, table: str, page: Page) -> None:
    for row in page.written(page.places()):
        db.execute(f"INSERT INTO {table} ({_COLUMNS}) VALUES ({_MARKS})", (page.dir, *row))


def pages(index: Index) -> list[Page]:
    """All pages, in the order in which they were made."""
    return list(all_pages(index.file.db))


def racy(index: Index) -> int:
    """How many rows are of a look that was racy."""
    return int(query(index, "SELECT total(racy) FROM entry")[0][0])


def change_closed(path: Path, statement: str) -> None:
    """Changes the file of an index that is not open, as a crash or somebody else might have left it."""
    db = sqlite3.connect(path)
    with db:
        db.execute(statement)
    db.close()


class CountingConnection(sqlite3.Connection):
    """Remembers the statements, so that a test can tell what is read how often."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.statements: list[str] = []

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        self.statements.append(sql)
        return super().execute(sql, parameters)


def connect_counting(path: Path) -> CountingConnection:
    """Opens the file of an index for `Index(connect=...)`."""
    return sqlite3.connect(path, isolation_level=None, factory=CountingConnection)
