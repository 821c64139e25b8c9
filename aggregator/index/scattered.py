"""Known plain files of many directories that were rewritten, with few statements: what a burst in random order consists of.

Rows that are as those before them were are written without being read (`unread`). Of the other files one SELECT reads the rows of
up to 64 in any directories, another one the pages of those that are in none, and one `executemany` each writes rows that have
changed, rows that files become that leave their pages, and what is left of the pages. A record about anything else is left, and
the index takes the way of single records (`Records.looks`), with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, Final

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.files.packed import FILE, Stat, unpack
from shardwatch.shard.contract.wire.frames import Looks

from .entries import Place
from .holders import loaded, stored
from .page import worth
from .plain import REWRITE, make_a_page
from .row import KNOWN, Row, Written, stat_of
from .tables import Tables
from .ticks import Ticks
from .unread import Unread

#: Files that one statement reads, the most first. What is left over is filled up with names that no file has.
_SIZES: Final = (64, 16, 4)
_COLUMNS: Final = ", ".join(f"e.{column.strip()}" for column in KNOWN.split(","))
_KNOWN: Final = {
    size: f"SELECT e.dir, {_COLUMNS} FROM (VALUES {','.join(['(?,?)'] * size)}) v"
    " CROSS JOIN entry e WHERE e.dir=v.column1 AND e.name=v.column2"
    for size in _SIZES
}

#: A file: the id of its directory, and its name.
_Key = tuple[int, bytes]
#: A file that has changed: what was seen of it; its lane, its tick and who holds its path, as its row has them; in what way it
#: has changed; and the record that says so.
_Changed = tuple[_Key, Stat, int, int, Any, Verdict, Looks]
#: A tick, which groups hold the path, as it is stored, and whether the tick is new.
_Stamp = tuple[int, Any, bool]
_row_of: Final[Callable[[tuple[Any, ...]], Row]] = partial(tuple.__new__, Row)


#: Names of a record that may be taken for a part of what changes here and there. What more files become together is seen by
#: reading all of them.
_NAMES_MAX: Final = 15
#: How many rows each of some directories has from one name to another, as far as it is of interest.
_ROWS_MAX: Final = 2 * _NAMES_MAX
_ROWS: Final = {
    size: "SELECT (SELECT count(*) FROM (SELECT 1 FROM entry WHERE dir=v.column1 AND name>=v.column2 AND name<=v.column3"
    f" LIMIT {_ROWS_MAX})) FROM (VALUES {','.join(['(?,?,?)'] * size)}) v"
    for size in _SIZES
}


def suits(record: Looks) -> bool:
    """Whether a record is of the kind that is dealt with here, as far as it says itself."""
    return not (record.absent or record.births or len(record.names) > _NAMES_MAX)


class _KnownFiles:
    """What is known of some files: the columns of `row.KNOWN` of each. None: of a name that a directory has or had, too."""

    def __init__(self) -> None:
        self.entries: dict[_Key, Any] = {}
        #: Where those are that are in pages.
        self.places: dict[_Key, Place] = {}


class Scattered:
    """Of one index; within its transaction."""

    def __init__(self, tables: Tables, ticks: Ticks, *, content_only: bool) -> None:
        """`content_only`: as of `Index`."""
        self._tables = tables
        self._ticks = ticks
        self._content_only = content_only
        self._unread = Unread(tables, ticks)
        #: Whether most files of the last records were in pages, so that these are looked for there first.
        self._mostly_paged = False

    def rewrite(self, records: Sequence[Looks]) -> tuple[list[Looks], int]:
        """Deals with records that `suits` holds of, which `are_worth_it`, and of whose names none is owed a look. Returns what
        is left of them, and how many rows were written.

        What is left may be applied afterwards, in the order in which it is returned: records of which two are about the same file
        are all left, in their order.
        """
        ids = self._tables.directories.known_ids([record.path for record in records])
        if len({*ids}) < len(ids) and _are_about_the_same(ids, records):
            return list(records), 0
        left: list[Looks] = []
        if self._unread.is_expecting:
            together = self._come_to_rest(records, ids)
            if True in together:
                left = list(compress(records, together))
                ids = [id_ for id_, one in zip(ids, together, strict=True) if not one]
                records = [record for record, one in zip(records, together, strict=True) if not one]
            if not records:  # as where one directory is rewritten after the other
                self._unread.expect_nothing()
                return left, 0
        records, written = self._unread.rewrite(records, ids)
        if records:
            others, read = self._rewrite(records)
            return others + left, written + read
        return left, written

    def are_worth_it(self, records: Sequence[Looks]) -> bool:
        """Whether most of these records are of so few files that no page is made of them, as where changes come in random order;
        or may be left out because of their rows."""
        if len(records) < _SIZES[-1]:
            return False
        return self._unread.is_expecting or 2 * sum([worth(len(record.names)) for record in records]) < len(records)

    def _come_to_rest(self, records: Sequence[Looks], ids: Sequence[int | None]) -> list[bool]:
        """Of each record, whether a page may be made of its files, which are so many of those between them."""
        many = [
            (id_, min(record.names), max(record.names))
            for id_, record in zip(ids, records, strict=True)
            if worth(len(record.names))
        ]
        if not many:
            return []
        rows = iter(self._count(many))
        return [worth(count := len(record.names)) and make_a_page(count, next(rows)) for record in records]

    def _count(self, ranges: Sequence[tuple[int | None, bytes, bytes]]) -> list[int]:
        """How many rows are in each of these ranges of a directory's names, _ROWS_MAX at most."""
        found: list[int] = []
        while len(found) < len(ranges):
            left = len(ranges) - len(found)
            size = next((size for size in _SIZES if size <= left), _SIZES[-1])
            some = [value for range_ in ranges[len(found) : len(found) + size] for value in range_]
            some += [None] * (3 * size - len(some))
            found += [count for (count,) in self._tables.db.execute(_ROWS[size], some)]
        return found

    def _rewrite(self, records: Sequence[Looks]) -> tuple[list[Looks], int]:
        """The same with records of which no two are about the same file, by what is known of their files."""
        ids = self._tables.directories.known_ids([record.path for record in records])
        few = [
            (id_, record) for id_, record in zip(ids, records, strict=True) if id_ is not None and not worth(len(record.names))
        ]
        if not few:
            return list(records), 0
        found = self._find([(id_, name) for id_, record in few for name in record.names])
        left: list[Looks] = []
        changed: list[_Changed] = []
        for id_, record in zip(ids, records, strict=True):
            if id_ is None or worth(len(record.names)) or not self._compare(id_, record, found, changed):
                left.append(record)
        if changed:
            self._write(changed, found.places)
        return left, len(changed)

    # -- what is known

    def _find(self, keys: Sequence[_Key]) -> _KnownFiles:
        """What is known of each of these files. What is in no row and in no page is left out."""
        found = _KnownFiles()
        if self._mostly_paged:
            self._add_paged(keys, found)
            self._add_rows([key for key in keys if key not in found.entries], found)
        else:
            self._add_rows(keys, found)
            self._add_paged([key for key in keys if key not in found.entries], found)
        self._mostly_paged = 2 * len(found.places) > len(keys)
        return found

    def _add_rows(self, keys: Sequence[_Key], found: _KnownFiles) -> None:
        entries = found.entries
        begin = 0
        while begin < len(keys):
            size = next((size for size in _SIZES if size <= len(keys) - begin), _SIZES[-1])
            some: list[int | bytes | None] = [value for key in keys[begin : begin + size] for value in key]
            some += [None] * (2 * size - len(some))
            for row in self._tables.db.execute(_KNOWN[size], some):
                key = row[:2]
                entries[key] = None if key in entries else row[1:]
            begin += size

    def _add_paged(self, keys: Sequence[_Key], found: _KnownFiles) -> None:
        """One page of each directory at a time, which mostly is the only one that is wanted of it."""
        names_of: dict[int, list[bytes]] = {}
        for id_, name in sorted(keys):
            names_of.setdefault(id_, []).append(name)
        while names_of:
            pages = {page.dir: page for page in self._tables.pages.of_each([(id_, names[0]) for id_, names in names_of.items()])}
            beyond: dict[int, list[bytes]] = {}
            for id_, names in names_of.items():
                page = pages.get(id_)
                for name in names:
                    if page is not None and name <= page.last:
                        if (place := page.place(name)) is not None:
                            found.entries[id_, name] = page.entry(place, name)
                            found.places[id_, name] = page, place
                    elif name is not names[0]:  # else it lies in no page
                        beyond.setdefault(id_, []).append(name)
            names_of = beyond

    # -- what changes

    def _compare(self, id_: int, record: Looks, found: _KnownFiles, changed: list[_Changed]) -> bool:
        """Adds those of the files of a record that have changed. Returns False, and adds nothing, if one of them is not a plain
        file in a row of its own or in a page."""
        content_only, before = self._content_only, len(changed)
        for name, stat in zip(record.names, unpack(record.stats), strict=True):
            key = id_, name
            known = found.entries.get(key)
            if known is None:
                del changed[before:]
                return False
            _, directory, old_ino, _, _, old_ctime_ns, old_dev, old_nlink, old_kind, _, lane, tick, held = known
            ino, _, _, ctime_ns, dev, nlink, kind, _ = stat
            if (
                directory or old_kind != FILE or kind != FILE or old_nlink != 1 or nlink != 1 or lane is None
                # Other names of the file that was there may be in doubt, also by what an earlier record of this frame says.
                or old_dev != dev or old_ino != ino
            ):  # fmt: skip
                del changed[before:]
                return False
            verdict = Verdict.CHANGED  # by the time of change, as `compare` says, too
            if old_ctime_ns == ctime_ns or content_only:
                verdict = compare(stat_of(known), stat, content_only=content_only)
            if verdict is not Verdict.SAME:
                changed.append((key, stat, lane, tick, held, verdict, record))
        return True

    def _stamped(self, changed: Sequence[_Changed]) -> list[_Stamp]:
        """What each of these files gets: its tick, which groups hold its path, as it is stored, and whether the tick is new."""
        ticks = self._ticks
        _, _, lane, _, held, _, _ = changed[0]
        if all(one[2] == lane and one[4] == held and one[5] is Verdict.CHANGED for one in changed):
            given = [one[3] for one in changed]
            stamp = ticks.again_alike(lane, min(given), max(given), held, len(changed))
            if stamp is not None:
                if not (self._mostly_paged or self._content_only):
                    self._unread.expect(lane, given[-1], held)
                first, held = stamp
                return [(tick, held, True) for tick in range(first, first + len(changed))]
        stamps: list[_Stamp] = []
        for _, _, lane, tick, held, verdict, _ in changed:
            if verdict is Verdict.NOTED:
                ticks.newest.forget(tick)
            elif ticks.seen(lane, tick):
                held = stored(ticks.holders.superseded(lane, tick, loaded(held), there=True))
                stamps.append((ticks.next(), held, True))
                continue
            stamps.append((tick, held, False))
        return stamps

    def _write(self, changed: Sequence[_Changed], places: Mapping[_Key, Place]) -> None:
        """Writes what these files are now. `places`: of those that are in pages, which they leave."""
        updates: list[tuple[object, ...]] = []
        moved: list[tuple[Place, Written]] = []
        newest: list[Row] = []
        of: Looks | None = None
        for (key, stat, lane, _, _, _, record), (tick, held, anew) in zip(changed, self._stamped(changed), strict=True):
            ino, size, mtime_ns, ctime_ns, dev, _, kind, racy = stat
            at = record.at
            if anew:
                if record is not of:
                    of, above = record, record.path if record.path == b"/" else record.path + b"/"
                row = (tick, lane, loaded(held), kind, 0, above + key[1], size, mtime_ns, at, dev, ino, ctime_ns, 0)
                newest.append(_row_of(row))
            if (place := places.get(key)) is None:
                updates.append((ino, size, mtime_ns, ctime_ns, dev, racy, tick, held, at, *key))
            else:
                moved.append((place, (key[1], 0, *stat, lane, tick, held, at, 0)))
        if updates:
            self._tables.write(REWRITE, updates)
        if moved:
            self._tables.writer.take_out_each(moved)
        if newest:
            self._ticks.newest.note_rows(newest)  # together: they are handed out together, too


def _are_about_the_same(ids: Sequence[int | None], records: Sequence[Looks]) -> bool:
    """Whether two of these records are about the same file."""
    keys = [(id_, name) for id_, record in zip(ids, records, strict=True) if id_ is not None for name in record.names]
    return len(set(keys)) < len(keys)
