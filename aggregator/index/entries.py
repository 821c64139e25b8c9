"""The entries of a directory, as they are found: in rows of the table `entry`, and in pages. Nothing is changed here."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.files.packed import INT_MAX, identifying, joined, pack, pieces
from shardwatch.shard.contract.wire.fold import fold
from shardwatch.shard.contract.wire.frames import Check

from .directory_table import IDS_MAX, IDS_MAX_EXPANDED
from .file import IndexFile
from .page import Page
from .pages import Pages, onward
from .row import GONE, KNOWN, Known, known_from, ranged

#: Rows of a directory that are read and dealt with at once: some hundredths of a second. At least 3.
ROWS_AT_ONCE: Final = 10_000
#: Names up to which rows are read name by name; of more, the whole directory is read, unless it has many more rows than that.
_BY_NAME_MAX: Final = 48
#: Rows per name up to which a whole directory is read for some of its names.
_OTHERS_MAX: Final = 20

#: A page, and the number of an entry in it.
Place = tuple[Page, int]


class Rows(dict[tuple[bytes, int], Known]):
    """Entries of some names of a directory, by (name, is it about a directory)."""

    def __init__(self, rows: Iterable[Known] = ()) -> None:
        super().__init__(((row.name, row.directory), row) for row in rows)
        #: Where those are that are in pages. It stays as it is when entries are taken out of the dictionary.
        self.places: dict[bytes, Place] = {}

    def add(self, page: Page, places: Sequence[int]) -> None:
        """Adds entries of a page."""
        for place, known in zip(places, page.known(places), strict=True):
            if (known.name, 0) in self:
                raise sqlite3.DatabaseError(f"an entry is in a row and in page {page.id}")
            self[known.name, 0] = known
            self.places[known.name] = page, place


class Covered(NamedTuple):
    """What the index has of a range of a directory's names: those after one and up to another; None is open."""

    rows: Rows
    #: Pages that hold some of them, in the order of names, and perhaps others.
    pages: list[Page]
    after: bytes | None
    upto: bytes | None

    def entries(self, done: set[bytes] | frozenset[bytes] = frozenset()) -> Rows:
        """The rows, with the entries in pages save some, in the order of names."""
        alone = not self.rows
        for page in self.pages:
            places = page.places_in(self.after, self.upto)
            if done and places:
                names = page.names.split(b"\0")
                places = [place for place in places if names[place] not in done]
            if places:
                self.rows.add(page, places)
        if alone or not self.rows.places:
            return self.rows
        ordered = Rows(self.rows[key] for key in sorted(self.rows))
        ordered.places = self.rows.places
        return ordered


class Relocatable(NamedTuple):
    """An entry in the walk through all of them."""

    dir: int
    path: bytes
    row: Known
    #: Where it is, if it is in a page.
    place: Place | None


def _walked(entry: Relocatable) -> tuple[int, bytes, int]:
    return entry.dir, entry.row.name, entry.row.directory


class Entries:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile, pages: Pages) -> None:
        self._file = file
        self._db: Any = file.db
        self._pages = pages
        #: Files that were found in rows lately, by the id of the directory and the name. What it says may have become wrong.
        self._in_rows: set[tuple[int, bytes]] = set()

    def shrink(self) -> None:
        """Forgets what it keeps in memory to be quicker."""
        self._in_rows.clear()

    # -- of a directory

    def covered(self, id_: int, after: bytes | None, upto: bytes | None) -> Iterator[Covered]:
        """The names after `after` up to `upto` (None: from the first, to the last), in parts of up to ROWS_AT_ONCE rows and some
        more entries in pages. There is always one part, and together they cover the whole range. The process shows between two
        parts that it is alive.
        """
        while True:
            sql, arguments = ranged(f"SELECT {KNOWN} FROM entry WHERE dir=?", id_, after, upto)
            rows = self._rows(f"{sql} LIMIT ?", [*arguments, ROWS_AT_ONCE])
            end: bytes | None = None
            if len(rows) >= ROWS_AT_ONCE:
                last, _ = next(reversed(rows))
                for about in (0, 1):  # another row of the last name may follow: it comes with the next part
                    rows.pop((last, about), None)
                end, _ = next(reversed(rows))
            pages: list[Page] = []
            entries = 0
            for page in self._pages.within(id_, after, upto if end is None else end):
                if entries >= ROWS_AT_ONCE:
                    end = pages[-1].last
                    for key in [key for key in rows if key[0] > end]:
                        del rows[key]
                    break
                pages.append(page)
                entries += len(page.live)
            yield Covered(rows, pages, after, upto if end is None else end)
            if end is None:
                return
            self._file.on_progress()
            after = end

    def named(self, id_: int, names: Sequence[bytes]) -> Rows:
        """The entries of these names, and perhaps of others."""
        known = self._named_rows(id_, names)
        self._add_paged(id_, known, [name for name in names if (name, 0) not in known])
        return known

    def _named_rows(self, id_: int, names: Sequence[bytes]) -> Rows:
        if len(names) > _BY_NAME_MAX:
            most = _OTHERS_MAX * len(names)
            known = self._rows(f"SELECT {KNOWN} FROM entry WHERE dir=? LIMIT ?", [id_, most])
            if len(known) < most:
                return known
        known = Rows()
        for name in names:
            known.update(self._rows(f"SELECT {KNOWN} FROM entry WHERE dir=? AND name=?", [id_, name]))
        return known

    def _add_paged(self, id_: int, known: Rows, names: list[bytes]) -> None:
        """Adds what pages hold of these names."""
        names.sort()
        for page, inside in self._pages.holding(id_, names):
            places = [place for name in inside if (place := page.place(name)) is not None]
            if places:
                known.add(page, places)

    def _rows(self, sql: str, arguments: Sequence[object]) -> Rows:
        return Rows(map(known_from, self._db.execute(sql, arguments)))

    def folded(self, id_: int | None, record: Check) -> int | None:
        """What the entries of the names that a record covers fold to; None where there are more or fewer than it has names, or
        one of them holds what no stat can. `id_`: of the directory, if it is known."""
        if id_ is None:
            return fold([], b"")
        sql = "SELECT name, ino, size, mtime_ns, ctime_ns, nlink, kind FROM entry WHERE dir=? AND kind<>0"
        sql, arguments = ranged(sql, id_, record.after, record.upto)
        rows = self._db.execute(f"{sql} LIMIT ?", [*arguments, record.count + 1]).fetchall()
        try:
            found = [
                (name, pack(ino, size, mtime, ctime, 0, nlink, kind, 0)) for name, ino, size, mtime, ctime, nlink, kind in rows
            ]
            for page in self._pages.within(id_, record.after, record.upto):
                names, stats = page.names.split(b"\0"), pieces(identifying(page.stats))
                found += [(names[place], stats[place]) for place in page.places_in(record.after, record.upto)]
                if len(found) > record.count:
                    return None
            return fold(*joined(found)) if len(found) == record.count else None
        except (struct.error, TypeError):  # a number beyond its range, or no number
            return None

    # -- of a name

    def is_in_row(self, id_: int, name: bytes) -> bool:
        """Whether an entry, if there is one, was in a row lately, so that it is looked for there first."""
        return (id_, name) in self._in_rows

    def note_row(self, id_: int, name: bytes) -> None:
        """The entry is in a row now."""
        if len(self._in_rows) >= (IDS_MAX_EXPANDED if self._file.expanded else IDS_MAX):
            self._in_rows.clear()
        self._in_rows.add((id_, name))

    def has_directory(self, id_: int, name: bytes) -> bool:
        """Whether a directory is there: those are never in a page."""
        sql = "SELECT 1 FROM entry WHERE dir=? AND name=? AND directory=1 AND kind<>?"
        return self._db.execute(sql, (id_, name, GONE)).fetchone() is not None

    def find_place(self, id_: int, name: bytes) -> tuple[Page | None, int | None]:
        """Where an entry is in a page; (None, None) if it is in none."""
        page = self._pages.at(id_, name)
        place = None if page is None else page.place(name)
        return (None, None) if place is None else (page, place)

    # -- all of them

    def onward(self, after: tuple[int, bytes, int], limit: int, upto: int = INT_MAX) -> list[Relocatable]:
        """The next `limit` entries in the order of (id of the directory, name, is it about a directory), up to those of the
        directory with the id `upto`."""
        sql = f"SELECT e.dir, d.path, {KNOWN} FROM entry e JOIN directory d ON d.id=e.dir"
        order = "WHERE (e.dir, e.name, e.directory) > (?, ?, ?) AND e.dir <= ? ORDER BY e.dir, e.name, e.directory LIMIT ?"
        found = [
            Relocatable(id_, path, known_from(tuple(columns)), None)
            for id_, path, *columns in self._db.execute(f"{sql} {order}", (*after, upto, limit))
        ]
        entries = 0
        for page, path in onward(self._db, after[0], after[1], upto):
            places = page.places_in(after[1] if page.dir == after[0] else None, None)
            found += [
                Relocatable(page.dir, path, known, (page, place))
                for place, known in zip(places, page.known(places), strict=True)
            ]
            entries += len(places)
            if entries >= limit:
                break
        found.sort(key=_walked)
        return found[:limit]
