"""Looks into the file of an index. The only place in the tests which knows that the index is a file with a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shardwatch.aggregator.index.index import Index


def query(index: Index, sql: str) -> list[Any]:
    """The rows of a SELECT or PRAGMA, with what was not committed yet."""
    return index.file.db.execute(sql).fetchall()  # type: ignore[no-any-return]


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
