"""The table `page`: pages read, and each of them checked; written, replaced and deleted. Nothing is decided here."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from shardwatch.shard.compiled.choice import native
from shardwatch.shard.contract.files.packed import INT_MAX

from .condensed import condense, expand
from .file import IndexFile
from .inodes import Inodes
from .page import COLUMNS, Page, checksum, inode_numbers, page_of, stretch_of
from .stretch import Stretch

_condense: Final = native(condense)
#: Later than every name.
_LAST: Final = b"\xff" * 256
#: The last page that begins at a name or before it, or the first one of the directory; ?1 is the directory, ?2 the name.
_AT: Final = "coalesce((SELECT max(first) FROM page WHERE dir=?1 AND first<=?2), x'')"
_BETWEEN: Final = f"SELECT {COLUMNS} FROM page p WHERE dir=?1 AND first>={_AT} AND first<=?3 AND last>=?2 ORDER BY first"
_TWO: Final = f"SELECT {COLUMNS} FROM page p WHERE dir=? LIMIT 2"
_BEFORE: Final = f"SELECT {COLUMNS} FROM page p WHERE dir=? AND first<=? ORDER BY first DESC LIMIT 1"
_BEGINNING: Final = f"SELECT {COLUMNS} FROM page p WHERE dir=? AND first=? AND length(live)=?"
_LAST_NAME: Final = Page._fields.index("last")
_LIVE: Final = Page._fields.index("live")
_CRC: Final = Page._fields.index("crc")
#: The last column.
_STATS: Final = Page._fields.index("stats")
_ONWARD: Final = (
    f"SELECT {COLUMNS}, d.path FROM page p LEFT JOIN directory d ON d.id=p.dir WHERE (p.dir, p.first) >= (?1, {_AT})"
    " AND p.dir<=?3 ORDER BY p.dir, p.first"
)
#: Files of any directories whose pages one statement reads, the most first. What is left over is filled up with no file.
_SIZES: Final = (64, 16, 4, 1)
_EACH: Final = {
    size: f"SELECT {COLUMNS} FROM (VALUES {','.join(['(?,?)'] * size)}) v CROSS JOIN page p"
    " WHERE p.dir=v.column1 AND p.first=(SELECT max(first) FROM page WHERE dir=v.column1 AND first<=v.column2)"
    for size in _SIZES
}
#: The same of directories, each with the name at which its page begins, that have one page and no row.
_ALONE: Final = {
    size: f"SELECT {COLUMNS}, d.path FROM (VALUES {','.join(['(?,?)'] * size)}) v CROSS JOIN directory d CROSS JOIN page p"
    " WHERE d.path=v.column1 AND p.dir=d.id AND p.first=v.column2 AND NOT EXISTS (SELECT 1 FROM entry WHERE dir=d.id)"
    " AND NOT EXISTS (SELECT 1 FROM page WHERE dir=p.dir AND first<>p.first)"
    for size in _SIZES
}
_BY_TICK: Final = (
    f"SELECT {COLUMNS}, d.path FROM page p LEFT JOIN directory d ON d.id=p.dir WHERE p.lane=? AND p.tick>=? ORDER BY p.tick"
)
_BY_ID: Final = f"SELECT {COLUMNS}, d.path FROM page p LEFT JOIN directory d ON d.id=p.dir WHERE p.id=?"
#: The first tick of the next page that has one after another; and the pages that may hold some ticks, with which of their entries
#: are live.
_NEXT_BASE: Final = "SELECT id, base FROM page WHERE lane=? AND tick>? ORDER BY tick LIMIT 1"
_LIVES: Final = "SELECT id, base, live FROM page WHERE lane=?1 AND tick>?2 AND base<=?3 ORDER BY tick"
_NEXT_BY_ID: Final = f"SELECT {COLUMNS} FROM page p WHERE p.id>? ORDER BY p.id LIMIT ?"
#: Pages that are made known by their inodes in one turn: some 10 ms.
_INDEXED_AT_ONCE: Final = 500
_FIELDS: Final = Page._fields[1:]
_INSERT: Final = f"INSERT INTO page ({', '.join(_FIELDS)}) VALUES ({','.join('?' * len(_FIELDS))})"
_REPLACE: Final = f"UPDATE page SET {', '.join(f'{field}=?' for field in _FIELDS)} WHERE id=?"
#: A page whose files were all rewritten keeps its names, and what leads to them.
_RENEW: Final = "UPDATE page SET base=?, tick=?, held=?, at_ns=?, crc=?, stats=? WHERE id=?"
#: Most pages shrink in their middle: nothing moves that leads to them.
_SHRINK: Final = "UPDATE page SET live=?, crc=? WHERE id=?"


def whole(row: Sequence[Any], /) -> tuple[Any, ...]:
    """The fields of the page of a row that was selected as `COLUMNS`, which may be longer. Has a native twin (`shard.compiled`).

    Raises ValueError, TypeError, OverflowError or struct.error if it is damaged.
    """
    fields = (*row[:_STATS], expand(row[_STATS], len(row[_LIVE])))
    if fields[_CRC] != checksum(fields):
        raise ValueError("a page does not agree with its checksum")
    return fields


_whole: Final = native(whole)


def checked(row: Sequence[Any]) -> Page:
    """The page of a row that was selected as `COLUMNS`, which may be longer. Raises sqlite3.DatabaseError if it is damaged."""
    return page_of(_fields(row))


def _fields(row: Sequence[Any]) -> tuple[Any, ...]:
    """The fields of a `Page`. Raises as `checked` does."""
    try:
        return _whole(row)
    except (TypeError, ValueError, OverflowError, struct.error):
        raise _damage(row[0]) from None


def _whole_number(id_: object, column: object) -> int:
    """What a page with this id has in a column, where that is a number. Raises sqlite3.DatabaseError if it is none."""
    if not isinstance(column, int):
        raise _damage(id_)
    return column


def _damage(id_: object) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"page {id_} of the index does not agree with its checksum")


def _columns(page: Page) -> tuple[Any, ...]:
    """A page as it is stored: all of its columns but `id`."""
    return (*page[1:_STATS], _condense(page.stats))


def _in_directory(row: Sequence[Any]) -> tuple[Page, bytes]:
    return checked(row), _path(row)


def _path(row: Sequence[Any]) -> bytes:
    """The path of the page's directory, which was selected last. Raises sqlite3.DatabaseError if there is none."""
    path: bytes | None = row[-1]
    if path is None:
        raise sqlite3.DatabaseError(f"page {row[0]} of the index is of no directory")
    return path


def onward(db: Any, id_: int, name: bytes, upto: int) -> Iterator[tuple[Page, bytes]]:
    """Pages and the paths of their directories, in the order of directory and names, from the one on that may hold what comes
    after a name, up to a directory."""
    return map(_in_directory, db.execute(_ONWARD, (id_, name, upto)))


def all_pages(db: Any) -> Iterator[Page]:
    """Every page there is."""
    return map(checked, db.execute(f"SELECT {COLUMNS} FROM page p ORDER BY id"))


def within(db: Any, id_: int, after: bytes | None, upto: bytes | None) -> Iterator[Page]:
    """The pages of a directory that may hold names after one and up to another (None: from the first, to the last), in order."""
    return between(db, id_, b"" if after is None else after + b"\0", _LAST if upto is None else upto)


def between(db: Any, id_: int, first: bytes, last: bytes) -> Iterator[Page]:
    """The pages of a directory that may hold names from `first` to `last`, in order."""
    return map(checked, db.execute(_BETWEEN, (id_, first, last)))


class Turnover(Struct):
    """How often what has become of pages since the index was opened, transactions that were undone included."""

    #: Pages that were made when a directory was listed for the first time.
    made: int = 0
    #: Pages that were made of rows which changed together.
    folded: int = 0
    #: Pages whose entries were all new, which kept their names.
    renewed: int = 0
    #: How often entries left a page of which others stayed.
    shrunk: int = 0
    #: Pages of which nothing was left, or so little that it became rows.
    gone: int = 0


class Pages:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile, inodes: Inodes) -> None:
        self._db: Any = file.db
        self._write, self._write_one = file.write, file.write_one
        self.turnover = Turnover()
        #: Which of them may hold which files.
        self.inodes = inodes

    # -- of a directory

    def within(self, id_: int, after: bytes | None, upto: bytes | None) -> Iterator[Page]:
        """See `within`."""
        return within(self._db, id_, after, upto)

    def only(self, id_: int) -> Page | None:
        """The page of a directory that has just one."""
        rows = self._db.execute(_TWO, (id_,)).fetchall()
        return checked(rows[0]) if len(rows) == 1 else None

    def alone(self, directories: Sequence[tuple[bytes, bytes]]) -> dict[bytes, Page]:
        """The pages of directories that have just one, and no row, by the path. `directories`: paths, each with the name at which
        the page is to begin."""
        found: dict[bytes, Page] = {}
        begin = 0
        while begin < len(directories):
            size = next(size for size in _SIZES if size <= len(directories) - begin)
            arguments = [value for directory in directories[begin : begin + size] for value in directory]
            for row in self._db.execute(_ALONE[size], arguments):
                page, path = _in_directory(row)
                found[path] = page
            begin += size
        return found

    def at(self, id_: int, name: bytes) -> Page | None:
        """The page that may hold a name, if one may."""
        row = self._db.execute(_BEFORE, (id_, name)).fetchone()
        if row is None or (isinstance(row[_LAST_NAME], bytes) and row[_LAST_NAME] < name):
            return None
        return checked(row)

    def beginning(self, id_: int, name: bytes, count: int) -> Page | None:
        """The page that has so many entries, live or not, of which this one is the first live one; if there is one."""
        row = self._db.execute(_BEGINNING, (id_, name, count)).fetchone()
        return None if row is None else checked(row)

    def holding(self, id_: int, names: Iterable[bytes]) -> Iterator[tuple[Page, list[bytes]]]:
        """The pages that may hold some names, each with those of the names that lie in it. `names`: sorted."""
        page: Page | None = None
        inside: list[bytes] = []
        for name in names:
            if page is None or name > page.last:
                if page is not None and inside:
                    yield page, inside
                    inside = []
                page = next(between(self._db, id_, name, _LAST), None)
                if page is None:
                    return
            if page.first <= name:
                inside.append(name)
        if page is not None and inside:
            yield page, inside

    def of_each(self, files: Sequence[tuple[int, bytes]]) -> Iterator[Page]:
        """The pages that may hold some files of any directories: for each file the last one of its directory that begins at its
        name or before it, if there is one. A page may come more than once. `files`: ids of directories, and names."""
        begin = 0
        while begin < len(files):
            size = next(size for size in _SIZES if size <= len(files) - begin)
            arguments = [value for file in files[begin : begin + size] for value in file]
            yield from map(checked, self._db.execute(_EACH[size], arguments))
            begin += size

    def overlaps(self, page: Page) -> bool:
        """Whether a page of the same directory has a name between the first and the last of this one."""
        return self._db.execute(_BETWEEN, (page.dir, page.first, page.last)).fetchone() is not None

    # -- by tick

    def ticked(self, lane: int, tick: int) -> Iterator[tuple[Page, bytes]]:
        """The pages of a lane that may hold this tick or later ones, in the order of their ticks, with the paths of their
        directories."""
        return map(_in_directory, self._db.execute(_BY_TICK, (lane, tick)))

    def stretches(self, lane: int, after: int) -> Iterator[Stretch]:
        """What the pages of a lane hold of later ticks than `after`, in the order of their ticks."""
        for row in self._db.execute(_BY_TICK, (lane, after + 1)):
            yield stretch_of(_fields(row), _path(row), after)

    def next_base(self, lane: int, after: int) -> int | None:
        """The first tick of the next page of a lane that has a later one than `after`; None if there is no such page."""
        row = self._db.execute(_NEXT_BASE, (lane, after)).fetchone()
        return None if row is None else _whole_number(*row)

    def lives(self, lane: int, after: int, upto: int) -> Iterator[tuple[int, bytes]]:
        """`base` and `live` of the pages of a lane that may hold ticks after one and up to another, in the order of their ticks.
        They are not compared with their checksums, for which all of a page would have to be read."""
        for id_, base, live in self._db.execute(_LIVES, (lane, after, upto)):
            if not isinstance(live, bytes):
                raise _damage(id_)
            yield _whole_number(id_, base), live

    # -- by inode

    def with_inode(self, dev: int, ino: int) -> Iterator[tuple[Page, bytes, int]]:
        """The live entries of a file: each with its page, the path of its directory, and its place in the page."""
        for id_ in self.inodes.pages(ino):
            row = self._db.execute(_BY_ID, (id_,)).fetchone()
            if row is None:
                raise sqlite3.DatabaseError(f"page {id_} of the index, which is known by its inodes, is missing")
            page, path = _in_directory(row)
            numbers = inode_numbers(page.stats)
            if ino in numbers:
                for place in page.places():
                    if numbers[place] == ino and page.device(place) == dev:
                        yield page, path, place

    def index_inodes(self, limit: int = _INDEXED_AT_ONCE) -> None:
        """Makes some more of the pages known by their inodes (`Inodes.complete`)."""
        rows = self._db.execute(_NEXT_BY_ID, (self.inodes.reached, limit)).fetchall()
        for page in map(checked, rows):
            self.inodes.add(page.id, page.stats)
        self.inodes.reach(rows[-1][0] if len(rows) == limit else INT_MAX)

    # -- changes

    def add(self, page: Page, *, folded: bool = False) -> None:
        """`folded`: it is made of rows."""
        if folded:
            id_ = self._write_one(_INSERT, _columns(page)).lastrowid
            self.turnover.folded += 1
        else:
            id_ = self._db.execute(_INSERT, _columns(page)).lastrowid
            self.turnover.made += 1
        if self.inodes.used:
            self.inodes.add(id_, page.stats)

    def replace(self, old: Page, new: Page | None) -> None:
        """Writes what has become of a page; None deletes it."""
        self.replace_each([(old, new)])

    def replace_each(self, pages: Iterable[tuple[Page, Page | None]]) -> None:
        """Writes what has become of some pages, of each of which there is one; None deletes it."""
        turnover = self.turnover
        shrunken = []
        for old, new in pages:
            self.inodes.replaced(old, new)
            if new is None:
                self._write_one("DELETE FROM page WHERE id=?", (old.id,))
                turnover.gone += 1
            elif old.names is new.names and old.live is new.live:
                self._write_one(_RENEW, (new.base, new.tick, new.held, new.at_ns, new.crc, _condense(new.stats), new.id))
                turnover.renewed += 1
            else:
                turnover.shrunk += 1
                if old.stats is new.stats and old[:_LIVE] == new[:_LIVE]:
                    shrunken.append((new.live, new.crc, new.id))
                else:
                    self._write_one(_REPLACE, (*_columns(new), new.id))
        if shrunken:
            self._write(_SHRINK, shrunken)
