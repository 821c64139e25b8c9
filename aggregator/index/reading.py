"""Reads the index of a running service from another process, without a lock for which others would wait.

Every call is a short transaction of its own, so that the log of the database does not grow because of a reader.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.state.directory import StateDirectory

from ..storage.damage import unsuited
from .holders import INTEGERS_OR_BYTES
from .page import Page
from .pages import all_pages, between, onward, within
from .row import LEFT_OUT
from .row import Known as EntryKnown

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


_at_ns: Final = attrgetter("at_ns")


def _stat(row: EntryKnown) -> Stat:
    return row.kind, row.dev, row.ino, row.nlink, row.size, row.mtime_ns, row.ctime_ns


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
        with self._told():
            return self._db.execute(sql, arguments).fetchall()

    def onward(self, id_: int, name: bytes, upto: int) -> Iterator[tuple[Page, bytes]]:
        """See `pages.onward`. To be called in a `moment`."""
        with self._told():
            yield from onward(self._db, id_, name, upto)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
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
        if found != "ok":
            return " ".join(found.split())
        try:
            for _ in all_pages(self._db):
                pass
            return unsuited(self._db, INTEGERS_OR_BYTES)
        except sqlite3.DatabaseError as error:
            return str(error)

    def names(self, directory: bytes) -> Known:
        """All that is there, as far as the index knows."""
        with self.moment():
            known = self._known("", directory)
            for page in self._pages(directory):
                known.update({(row.name, 0): _stat(row) for row in page.known(page.places())})
        return known

    def at(self, directory: bytes, name: bytes) -> Known:
        """The same of one name."""
        with self.moment():
            known = self._known(" AND name=?", directory, name)
            for _, row in self._paged(directory, name):
                known[name, 0] = _stat(row)
        return known

    def _known(self, condition: str, *arguments: object) -> Known:
        sql = f"SELECT {_COLUMNS} FROM entry WHERE dir=(SELECT id FROM directory WHERE path=?) AND kind<>0{condition}"
        return {(row[0], row[1]): (row[2],) if row[1] else row[2:] for row in self.select(sql, *arguments)}

    def _pages(self, directory: bytes, name: bytes | None = None) -> list[Page]:
        """The pages of a directory, or those that may hold a name."""
        found = self.select("SELECT id FROM directory WHERE path=?", directory)
        if not found:
            return []
        with self._told():
            (id_,) = found[0]
            return list(within(self._db, id_, None, None) if name is None else between(self._db, id_, name, name))

    def _paged(self, directory: bytes, name: bytes) -> list[tuple[Page, EntryKnown]]:
        """What a page holds of a name, if any does."""
        found = [(page, page.place(name)) for page in self._pages(directory, name)]
        return [(page, page.known([place])[0]) for page, place in found if place is not None]

    def rows(self, path: bytes) -> list[PathRow]:
        """The entries of a path: of a file, of a directory, or of both; at most one each, the older first."""
        columns = ", ".join(f"e.{field}" for field in PathRow._fields[1:])
        sql = f"SELECT e.directory, {columns} FROM entry e JOIN directory d ON d.id=e.dir WHERE d.path=? AND e.name=?"
        with self.moment():
            found = [PathRow(bool(row[0]), *row[1:]) for row in self.select(sql, *os.path.split(path))]
            for page, row in self._paged(*os.path.split(path)):
                kind, dev, ino, nlink, size, mtime_ns, ctime_ns = _stat(row)
                found.append(
                    PathRow(False, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, row.lane, row.tick, page.at_ns)
                )
        return sorted(found, key=_at_ns)

    def directories(self) -> Iterator[bytes]:
        """Directories in which something is known to be."""
        last: object = -1
        sql = (
            "SELECT id, path FROM directory WHERE id>? AND (EXISTS (SELECT 1 FROM entry WHERE dir=directory.id AND kind<>0)"
            f" OR EXISTS (SELECT 1 FROM page WHERE dir=directory.id)) ORDER BY id LIMIT {_DIRECTORIES}"
        )
        while rows := self.select(sql, last):
            last = rows[-1][0]
            yield from (row[1] for row in rows)
