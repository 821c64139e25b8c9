"""Reads the index of a running service from another process, without a lock for which others would wait.

Every call is a short transaction of its own, so that the log of the database does not grow because of a reader.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.state.directory import StateDirectory

from .row import LEFT_OUT

#: (kind, dev, ino, nlink, size, mtime_ns, ctime_ns); of a directory only the kind counts.
Stat = tuple[int, ...]
#: What is known of the names in a directory: (name, 1 for a directory) -> its stat.
Known = dict[tuple[bytes, int], Stat]
_COLUMNS: Final = "name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns"
_DIRECTORIES: Final = 1000


class PathRow(NamedTuple):
    """What the index knows of a path. The fields are those of `row`."""

    directory: bool
    kind: int
    dev: int
    ino: int
    nlink: int
    size: int
    mtime_ns: int
    ctime_ns: int
    lane: int | None
    tick: int
    at_ns: int

    @property
    def is_event(self) -> bool:
        """Whether groups are told of what becomes of it."""
        return self.lane is not None and (self.lane != LEFT_OUT or not self.kind)

    @property
    def stat(self) -> Stat:
        return (self.kind,) if self.directory else self[1:8]


class IndexReader:
    """One connection. Raises ServiceError where the index can't be read or is damaged, UsageError for no file of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with StateDirectory(path.parent, foreign=True) as state:
            state.identity_of(path.name)  # SQLite would follow a link, and wait for a FIFO
        try:
            self._db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error as error:  # it is being made, or set aside, at this moment
            raise ServiceError(f"{path} can't be opened: {error}", hint="ask again") from error

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    def select(self, sql: str, *arguments: object) -> list[Any]:
        """All rows of a query, which should be one for a short time."""
        try:
            return self._db.execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise ServiceError(
                f"{self._path} can't be read: {error}", hint="a damaged index is built anew by itself; ask again"
            ) from error

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """All queries inside see the index as it is at the first of them. Keep it short, and do nothing else in it."""
        self.select("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def damage(self) -> str:
        """What is wrong in the file itself, "" where nothing is. Reads all of it."""
        found = str(self.select("PRAGMA integrity_check(1)")[0][0])
        return "" if found == "ok" else " ".join(found.split())

    def names(self, directory: bytes) -> Known:
        """All that is there, as far as the index knows."""
        return self._known("", directory)

    def at(self, directory: bytes, name: bytes) -> Known:
        """The same of one name."""
        return self._known(" AND name=?", directory, name)

    def _known(self, condition: str, *arguments: object) -> Known:
        sql = f"SELECT {_COLUMNS} FROM entry WHERE dir=(SELECT id FROM directory WHERE path=?) AND kind<>0{condition}"
        return {(row[0], row[1]): (row[2],) if row[1] else row[2:] for row in self.select(sql, *arguments)}

    def rows(self, path: bytes) -> list[PathRow]:
        """The rows of a path: of a file, of a directory, or of both; at most one each, the older first."""
        columns = ", ".join(f"e.{field}" for field in PathRow._fields[1:])
        sql = f"SELECT e.directory, {columns} FROM entry e JOIN directory d ON d.id=e.dir WHERE d.path=? AND e.name=?"
        found = self.select(f"{sql} ORDER BY e.at_ns", *os.path.split(path))
        return [PathRow(bool(row[0]), *row[1:]) for row in found]

    def directories(self) -> Iterator[bytes]:
        """Directories in which something is known to be."""
        last: object = -1
        sql = (
            "SELECT id, path FROM directory WHERE id>? AND EXISTS (SELECT 1 FROM entry WHERE dir=directory.id AND kind<>0)"
            f" ORDER BY id LIMIT {_DIRECTORIES}"
        )
        while rows := self.select(sql, last):
            last = rows[-1][0]
            yield from (row[1] for row in rows)
