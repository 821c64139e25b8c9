"""The tables `directory` and `entry`, and the entries that are in pages: read and written, a directory at a time. Nothing is
decided here, but whether rows are as well a page."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import eq
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.files.packed import INT_MAX, Seen, identifying, joined, pack, pieces, unpack
from shardwatch.shard.contract.wire.fold import fold
from shardwatch.shard.contract.wire.frames import Check

from .changes import Changes
from .file import IndexFile
from .holders import stored
from .inodes import Inodes
from .page import Page, paged, worth
from .pages import Pages, onward
from .row import INSERT, KNOWN, UPDATE, WRITTEN, Known, Written, bounds, known_from, ranged

#: Directory ids kept in memory: at most times, and while there is much to do (`IndexFile.expand`).
IDS_MAX: Final = 1024
IDS_MAX_EXPANDED: Final = 16_384
#: Rows of a directory that are read and dealt with at once: some hundredths of a second. At least 3.
ROWS_AT_ONCE: Final = 10_000
#: Names up to which rows are read name by name; of more, the whole directory is read, unless it has many more rows than that.
_BY_NAME_MAX: Final = 48
#: Rows per name up to which a whole directory is read for some of its names.
_OTHERS_MAX: Final = 20
#: Forgets a directory without rows, by its id.
_FORGET_DIRECTORY: Final = (
    "DELETE FROM directory WHERE id=?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE dir=?1)"
    " AND NOT EXISTS (SELECT 1 FROM page WHERE dir=?1)"
)
_CONFIRM: Final = (
    "UPDATE entry SET racy=0 WHERE dir=? AND name=? AND directory=0 AND racy=1 AND kind=? AND ino=? AND size=?"
    " AND mtime_ns=? AND ctime_ns=?"
)

_DELETE: Final = "DELETE FROM entry WHERE dir=? AND name=? AND directory=?"

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


def _by_page(places: Iterable[Place]) -> Iterable[tuple[Page, list[int]]]:
    """Each of the pages, and where the entries in it are."""
    found: dict[int, tuple[Page, list[int]]] = {}
    for page, place in places:
        found.setdefault(page.id, (page, []))[1].append(place)
    return found.values()


def _walked(entry: Relocatable) -> tuple[int, bytes, int]:
    return entry.dir, entry.row.name, entry.row.directory


class Tables:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self.db: Any = file.db
        self.inodes = Inodes(file)
        self.pages = Pages(file.db, self.inodes)
        #: Whether the directory that was asked for last was new. The next one will be new too: in a first listing they all are.
        self._expects_new = False
        #: Path -> id of directories that were used lately.
        self.ids: dict[bytes, int] = {}
        #: Files that were found in rows lately, by the id of the directory and the name. What it says may have become wrong.
        self._in_rows: set[tuple[int, bytes]] = set()

    def shrink(self) -> None:
        """Forgets what it keeps in memory to be quicker."""
        self.ids.clear()
        self._in_rows.clear()

    # -- directories

    def id_of(self, path: bytes) -> tuple[int, bool]:
        """Id of a directory, and whether it is new: it gets a row here, where it has none."""
        id_ = self.ids.get(path)
        if id_ is not None:
            return id_, False
        id_ = None if self._expects_new else self._find(path)
        if id_ is None:
            made = self.db.execute("INSERT OR IGNORE INTO directory (path) VALUES (?)", (path,))
            self._expects_new = made.rowcount == 1
            if self._expects_new:
                return made.lastrowid, True  # not kept: after its first listing, a directory is seldom heard of soon
            id_ = self._find(path)
            assert id_ is not None
        if len(self.ids) >= (IDS_MAX_EXPANDED if self._file.expanded else IDS_MAX):
            self.ids.clear()
        self.ids[path] = id_
        return id_, False

    def _find(self, path: bytes) -> int | None:
        found = self.db.execute("SELECT id FROM directory WHERE path=?", (path,)).fetchone()
        return None if found is None else found[0]

    def below(self, path: bytes, stops: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """(id, path) of a directory and of all below it, save those in or below one of `stops`."""
        found = self.db.execute("SELECT id, path FROM directory WHERE path=?1 OR (path>?2 AND path<?3)", bounds(path))
        return [
            (id_, below) for id_, below in found if not any(below == stop or below.startswith(stop + b"/") for stop in stops)
        ]

    def knows(self, directory: bytes) -> bool:
        """Whether anything was ever said of what is in a directory, or below it."""
        sql = "SELECT 1 FROM directory WHERE path=?1 OR (path>?2 AND path<?3) LIMIT 1"
        return self.db.execute(sql, bounds(directory)).fetchone() is not None

    def is_directory(self, above: bytes, name: bytes) -> bool:
        """Whether a row says that this name is there, and a directory."""
        sql = "SELECT 1 FROM entry e JOIN directory d ON d.id=e.dir WHERE d.path=? AND e.name=? AND e.directory=1 AND e.kind<>0"
        return self.db.execute(sql, (above, name)).fetchone() is not None

    def forget_empty(self, directories: Iterable[tuple[int]]) -> None:
        """Forgets those that have no rows: else every directory that ever was would stay."""
        self.db.executemany(_FORGET_DIRECTORY, list(directories))
        self.ids.clear()

    def forget_if_empty(self, id_: int, path: bytes) -> None:
        """The same of one."""
        if self.db.execute(_FORGET_DIRECTORY, (id_,)).rowcount:
            self.ids.pop(path, None)

    # -- rows of a directory

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
            for page in self.pages.within(id_, after, upto if end is None else end):
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
        self.add_paged(id_, known, [name for name in names if (name, 0) not in known])
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

    def add_paged(self, id_: int, known: Rows, names: list[bytes]) -> None:
        """Adds what pages hold of these names."""
        names.sort()
        for page, inside in self.pages.holding(id_, names):
            places = [place for name in inside if (place := page.place(name)) is not None]
            if places:
                known.add(page, places)

    def _rows(self, sql: str, arguments: Sequence[object]) -> Rows:
        return Rows(map(known_from, self.db.execute(sql, arguments)))

    def folded(self, record: Check) -> int | None:
        """What the entries of the names that a record covers fold to; None where there are more or fewer than it has names, or
        one of them holds what no stat can."""
        id_ = self._find(record.path)
        if id_ is None:
            return fold([], b"")
        sql = "SELECT name, ino, size, mtime_ns, ctime_ns, nlink, kind FROM entry WHERE dir=? AND kind<>0"
        sql, arguments = ranged(sql, id_, record.after, record.upto)
        rows = self.db.execute(f"{sql} LIMIT ?", [*arguments, record.count + 1]).fetchall()
        try:
            found = [
                (name, pack(ino, size, mtime, ctime, 0, nlink, kind, 0)) for name, ino, size, mtime, ctime, nlink, kind in rows
            ]
            for page in self.pages.within(id_, record.after, record.upto):
                names, stats = page.names.split(b"\0"), pieces(identifying(page.stats))
                found += [(names[place], stats[place]) for place in page.places_in(record.after, record.upto)]
                if len(found) > record.count:
                    return None
            return fold(*joined(found)) if len(found) == record.count else None
        except (struct.error, TypeError):  # a number beyond its range, or no number
            return None

    def write(self, id_: int, changes: Changes, places: Mapping[bytes, Place]) -> None:
        """Writes what changes in a directory, and counts it. `places`: of the entries that are in pages, which they leave."""
        self.put(id_, changes.updates, changes.inserts, changes.forgotten, places)
        self._file.count_changes(changes)

    def put(
        self,
        id_: int,
        updates: list[Written],
        inserts: list[Written],
        forgotten: list[tuple[bytes, int]],
        places: Mapping[bytes, Place],
    ) -> None:
        """The same, without counting. What comes to rest together becomes a page."""
        if places:
            leaving = [places[name] for name, directory in forgotten if not directory and name in places]
            forgotten = [(name, directory) for name, directory in forgotten if directory or name not in places]
            moved = [row for row in updates if not row[1] and row[0] in places]
            updates = [row for row in updates if row[1] or row[0] not in places]
            inserts = inserts + moved + self._leave(leaving + [places[row[0]] for row in moved])
        if worth(len(updates) + len(inserts)):
            updates, inserts = self._rest(id_, updates, inserts)
        many = self.db.executemany
        if forgotten:
            many(_DELETE, [(id_, name, directory) for name, directory in forgotten])
        if updates:
            many(UPDATE, [(*update, id_) for update in updates])
        if inserts:
            many(INSERT, [(*insert, id_) for insert in inserts])

    def take_out(self, id_: int, places: Sequence[Place], rows: Sequence[Written] | None = None) -> None:
        """Makes rows of these entries of a directory. `rows`: what becomes of them; None: they stay as they are."""
        if rows is None:
            rows = [row for page, some in _by_page(places) for row in page.written(some)]
        self.db.executemany(INSERT, [(*row, id_) for row in [*rows, *self._leave(places)]])

    def is_in_row(self, id_: int, name: bytes) -> bool:
        """Whether an entry, if there is one, was in a row lately, so that it is looked for there first."""
        return (id_, name) in self._in_rows

    def note_row(self, id_: int, name: bytes) -> None:
        """The entry is in a row now."""
        if len(self._in_rows) >= (IDS_MAX_EXPANDED if self._file.expanded else IDS_MAX):
            self._in_rows.clear()
        self._in_rows.add((id_, name))

    def find_place(self, id_: int, name: bytes) -> tuple[Page | None, int | None]:
        """Where an entry is in a page; (None, None) if it is in none."""
        page = self.pages.at(id_, name)
        place = None if page is None else page.place(name)
        return (None, None) if place is None else (page, place)

    def leave(self, page: Page, place: int) -> None:
        """One entry is not in its page any more."""
        rest = page.without((place,))
        if rest is None or not rest.sparse():
            self.pages.replace(page, rest)
        else:
            self.take_out(page.dir, [(page, place)], ())

    def _leave(self, places: Iterable[Place]) -> list[Written]:
        """These entries are not in their pages any more. Returns others that leave with them, because few are left there."""
        others: list[Written] = []
        for page, gone in _by_page(places):
            rest = page.without(gone)
            if rest is not None and rest.sparse():
                others += rest.written(rest.places())
                rest = None
            self.pages.replace(page, rest)
        return others

    def _rest(self, id_: int, updates: list[Written], inserts: list[Written]) -> tuple[list[Written], list[Written]]:
        """Makes pages of those that can be in pages; returns the others."""
        resting: set[bytes] = set()
        for page, run in paged(id_, sorted(updates + inserts)):
            if not self.pages.overlaps(page):
                self.pages.add(page)
                resting.update(row[0] for row in run)
        if not resting:
            return updates, inserts
        gone = [(id_, row[0], 0) for row in updates if not row[1] and row[0] in resting]
        self.db.executemany(_DELETE, gone)
        return (
            [row for row in updates if row[1] or row[0] not in resting],
            [row for row in inserts if row[1] or row[0] not in resting],
        )

    def confirm(self, id_: int, seen: Seen) -> None:
        """Rows that say the same as these looks, which are not racy, are racy no more."""
        self.db.executemany(
            _CONFIRM,
            [
                (id_, name, kind, ino, size, mtime_ns, ctime_ns)
                for name, (ino, size, mtime_ns, ctime_ns, _, _, kind, racy) in zip(seen.names, unpack(seen.stats), strict=True)
                if not racy
            ],
        )

    def rest(self, id_: int, rows: Sequence[Known]) -> None:
        """Makes pages of those of these rows that can be pages together, with the ticks that they have. `rows`: by name."""
        ticks = [row.tick for row in rows if row.lane is not None and not row.directory]
        if not worth(1 + sum(map(eq, ticks[1:], map((1).__add__, ticks)))):
            return
        sql = f"SELECT {', '.join(WRITTEN)} FROM entry WHERE dir=? AND name>=? AND name<=? ORDER BY name"
        try:
            pages = list(paged(id_, self.db.execute(sql, (id_, rows[0].name, rows[-1].name)).fetchall()))
        except (struct.error, TypeError):  # in a damaged file: the verification asks for another look
            return
        for page, run in pages:
            if not self.pages.overlaps(page):
                self.pages.add(page)
                self.db.executemany(_DELETE, [(id_, row[0], 0) for row in run])

    # -- all entries

    def onward(self, after: tuple[int, bytes, int], limit: int) -> list[Relocatable]:
        """The next `limit` entries in the order of (id of the directory, name, is it about a directory)."""
        sql = f"SELECT e.dir, d.path, {KNOWN} FROM entry e JOIN directory d ON d.id=e.dir"
        order = "WHERE (e.dir, e.name, e.directory) > (?, ?, ?) ORDER BY e.dir, e.name, e.directory LIMIT ?"
        found = [
            Relocatable(id_, path, known_from(tuple(columns)), None)
            for id_, path, *columns in self.db.execute(f"{sql} {order}", (*after, limit))
        ]
        entries = 0
        for page, path in onward(self.db, after[0], after[1], INT_MAX):
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

    def relane(self, id_: int, row: Known, lane: int | None, tick: int, held: int, at: int | None = None) -> None:
        """Puts a row into another lane. `at`: when it changed by that, ns, if it did."""
        sql = "UPDATE entry SET lane=?, held=?, tick=?, at_ns=coalesce(?, at_ns) WHERE dir=? AND name=? AND directory=?"
        self.db.execute(sql, (lane, stored(held), tick, at, id_, row.name, row.directory))
