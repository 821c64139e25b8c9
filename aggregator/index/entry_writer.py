"""Writes entries, and decides nothing but whether they are rows of the table `entry` or lie in pages."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from operator import eq
from typing import Any, Final

from shardwatch.shard.contract.files.packed import Seen, unpack

from .changes import Changes
from .entries import Place
from .file import IndexFile
from .holders import stored
from .page import Page, paged, worth
from .pages import Pages
from .row import INSERT, UPDATE, WRITTEN, Known, Written

_CONFIRM: Final = (
    "UPDATE entry SET racy=0 WHERE dir=? AND name=? AND directory=0 AND racy=1 AND kind=? AND ino=? AND size=?"
    " AND mtime_ns=? AND ctime_ns=?"
)
_DELETE: Final = "DELETE FROM entry WHERE dir=? AND name=? AND directory=?"


def _by_page(places: Iterable[Place]) -> Iterable[tuple[Page, list[int]]]:
    """Each of the pages, and where the entries in it are."""
    found: dict[int, tuple[Page, list[int]]] = {}
    for page, place in places:
        found.setdefault(page.id, (page, []))[1].append(place)
    return found.values()


class EntryWriter:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile, pages: Pages) -> None:
        self._file = file
        self._db: Any = file.db
        self._pages = pages

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
            inserts = inserts + moved + self._left_with(leaving + [places[row[0]] for row in moved])
        if worth(len(updates) + len(inserts)):
            updates, inserts = self._rest(id_, updates, inserts)
        many = self._file.write
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
        self._file.write(INSERT, [(*row, id_) for row in [*rows, *self._left_with(places)]])

    def take_out_each(self, moved: Sequence[tuple[Place, Written]]) -> None:
        """Makes rows of these entries of any directories, each with what becomes of it."""
        rows = [(*row, page.dir) for (page, _), row in moved]
        for page, others in self._leave(place for place, _ in moved):
            rows += [(*row, page.dir) for row in others]
        self._file.write(INSERT, rows)

    def leave(self, page: Page, place: int) -> None:
        """One entry is not in its page any more."""
        rest = page.without((place,))
        if rest is None or not rest.sparse():
            self._pages.replace(page, rest)
        else:
            self.take_out(page.dir, [(page, place)], ())

    def _left_with(self, places: Iterable[Place]) -> list[Written]:
        """These entries of a directory are not in their pages any more. Returns others that leave with them."""
        return [row for _, others in self._leave(places) for row in others]

    def _leave(self, places: Iterable[Place]) -> list[tuple[Page, list[Written]]]:
        """These entries are not in their pages any more. Returns others that leave with them, because few are left there, and the
        pages that these were in."""
        replaced: list[tuple[Page, Page | None]] = []
        others: list[tuple[Page, list[Written]]] = []
        for page, gone in _by_page(places):
            rest = page.without(gone)
            if rest is not None and rest.sparse():
                others.append((page, rest.written(rest.places())))
                rest = None
            replaced.append((page, rest))
        self._pages.replace_each(replaced)
        return others

    def _rest(self, id_: int, updates: list[Written], inserts: list[Written]) -> tuple[list[Written], list[Written]]:
        """Makes pages of those that can be in pages; returns the others."""
        resting: set[bytes] = set()
        for page, run in paged(id_, sorted(updates + inserts)):
            if not self._pages.overlaps(page):
                self._pages.add(page, folded=True)
                resting.update(row[0] for row in run)
        if not resting:
            return updates, inserts
        gone = [(id_, row[0], 0) for row in updates if not row[1] and row[0] in resting]
        self._file.write(_DELETE, gone)
        return (
            [row for row in updates if row[1] or row[0] not in resting],
            [row for row in inserts if row[1] or row[0] not in resting],
        )

    def confirm(self, id_: int, seen: Seen) -> None:
        """Rows that say the same as these looks, which are not racy, are racy no more."""
        self._file.write(
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
            pages = list(paged(id_, self._db.execute(sql, (id_, rows[0].name, rows[-1].name)).fetchall()))
        except (struct.error, TypeError):  # in a damaged file: the verification asks for another look
            return
        for page, run in pages:
            if not self._pages.overlaps(page):
                self._pages.add(page, folded=True)
                self._file.write(_DELETE, [(id_, row[0], 0) for row in run])

    def relane(self, id_: int, row: Known, lane: int | None, tick: int, held: int, at: int | None = None) -> None:
        """Puts a row into another lane. `at`: when it changed by that, ns, if it did."""
        sql = "UPDATE entry SET lane=?, held=?, tick=?, at_ns=coalesce(?, at_ns) WHERE dir=? AND name=? AND directory=?"
        self._db.execute(sql, (lane, stored(held), tick, at, id_, row.name, row.directory))
