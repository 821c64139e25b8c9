"""Finds files by name, size and time in the index of a running service, from another process. It never asks the disk.

It reads pages: each is a short transaction of its own on a connection that cannot write. So the aggregator never waits for it,
and the log of the database does not grow because of a reader, however slowly the pages are taken. A file that changes in the
meantime is found as it was or as it is; every file that stays as it is is found once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from shardwatch.shard.contract.files.paths import Nearest, join
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.filter.pattern import OPEN, Names, parse

from .page import Page
from .reading import IndexReader

#: Directories, rows, and entries in pages that one portion reads at most.
_DIRECTORIES: Final = 5_000
_ROWS: Final = 20_000
#: Conditions on a name that are given to SQLite at most.
_CONDITIONS_MAX: Final = 50

#: The directory's id, name, size, mtime_ns, at_ns and tick of a row.
_Columns = tuple[int, bytes, int, int, int, int]
_directory: Final = itemgetter(0)
_key: Final = itemgetter(0, 1)


class FoundRow(NamedTuple):
    """A file or a link, as the index knows it."""

    path: bytes
    size: int
    mtime_ns: int
    #: When the look began that changed the row last, ns since 1970.
    at_ns: int
    tick: int


class Wanted(NamedTuple):
    """What is to be found. All of it must hold."""

    #: Gitignore patterns, relative to a root, at least one of them; the last that matches a path decides.
    patterns: Sequence[str]
    #: More bytes than this.
    larger: int = -1
    #: Modified at this time or later, ns since 1970.
    since_ns: int | None = None


def find(reader: IndexReader, roots: Iterable[bytes], wanted: Wanted) -> Iterator[list[FoundRow]]:
    """Yields what is found, a page of at most 20,000 files at a time, in no particular order. A page may be empty.

    Raises ServiceError if the index cannot be read, UsageError for a bad pattern.
    """
    return _Search(reader, roots, wanted).pages()


class _Search:
    """One search: where it is, and what it compares with."""

    def __init__(self, reader: IndexReader, roots: Iterable[bytes], wanted: Wanted) -> None:
        self._reader = reader
        self._roots = Nearest(roots)
        self._wanted = wanted
        self._filter = Filter(wanted.patterns, ())
        self._names = _names_of(wanted.patterns)
        self._conditions = " AND size > ?"
        self._arguments: list[object] = [wanted.larger]
        if wanted.since_ns is not None:
            self._conditions += " AND mtime_ns >= ?"
            self._arguments.append(wanted.since_ns)

    def pages(self) -> Iterator[list[FoundRow]]:
        at, name = 0, b""
        while True:
            with self._reader.moment():
                directories = dict(self._directories(at))
                if not directories:
                    return
                last = max(directories)
                names = self._names if self._names is not None and self._names.tell(directories.values()) else None
                rows = self._rows(names, at, name, last)
                end = _key(rows[-1]) if len(rows) == _ROWS else (last + 1, b"")
                paged, end = self._paged(names, at, name, end)
            rows += paged
            if names is None or not names.all:
                rows = self._kept(directories, sorted(rows))
            rows = sorted(row for row in rows if _key(row) <= end)
            if len(rows) > _ROWS:
                del rows[_ROWS:]
                end = _key(rows[-1])
            at, name = end
            yield [FoundRow(join(directories[row[0]], row[1]), *row[2:]) for row in rows if row[0] in directories]

    def _directories(self, at: int) -> list[tuple[int, bytes]]:
        sql = "SELECT id, path FROM directory WHERE id >= ? ORDER BY id LIMIT ?"
        return self._reader.select(sql, at, _DIRECTORIES)

    def _rows(self, names: _NameConditions | None, at: int, name: bytes, last: int) -> list[_Columns]:
        """What is after `name` in the directory `at`, or in a later one up to `last`."""
        sql, shapes = ("", ()) if names is None else (names.sql, names.arguments)
        return self._reader.select(
            "SELECT dir, name, size, mtime_ns, at_ns, tick FROM entry WHERE (dir, name) > (?, ?) AND dir <= ?"
            f" AND directory = 0 AND kind <> 0{self._conditions}{sql} ORDER BY dir, name LIMIT ?",
            at, name, last, *self._arguments, *shapes, _ROWS,
        )  # fmt: skip

    def _paged(
        self, names: _NameConditions | None, at: int, name: bytes, end: tuple[int, bytes]
    ) -> tuple[list[_Columns], tuple[int, bytes]]:
        """What pages have after `name` in the directory `at` and up to `end`; and how far that is, where they have very many."""
        found: list[_Columns] = []
        room, reached = _ROWS, (at, name)
        for page, _ in self._reader.onward(at, name, end[0] if end[1] else end[0] - 1):
            places = page.places_in(name if page.dir == at else None, end[1] if page.dir == end[0] else None)
            if names is not None:
                places = names.places(page, places)
            some = page.known(places[:room])
            for row in some:
                if row.size > self._wanted.larger and (self._wanted.since_ns is None or row.mtime_ns >= self._wanted.since_ns):
                    found.append((page.dir, row.name, row.size, row.mtime_ns, page.at_ns, row.tick))
            if some:
                reached = page.dir, some[-1].name
            if len(places) > room:
                return found, reached
            room -= len(places)
        return found, end

    def _kept(self, directories: dict[int, bytes], rows: list[_Columns]) -> list[_Columns]:
        """Those of the rows that the patterns match."""
        found = []
        for id_, some in groupby(rows, _directory):
            by_name = {row[1]: row for row in some}
            path = directories.get(id_, b"/")
            found += [by_name[name] for name in self._filter.keeps_names(self._relative(path), by_name)]
        return found

    def _relative(self, directory: bytes) -> bytes:
        """The directory relative to its root, as the filter wants it."""
        root = self._roots.of(directory) or b"/"
        return directory[len(root) :].lstrip(b"/")


class _NameConditions:
    """What SQLite can tell of names, faster than Python can: that they equal, begin with, or end in something.

    It lets through all that the patterns may match, in directories of which none matches them: such a one would match all that
    is in it.
    """

    def __init__(self, names: Names, *, all: bool) -> None:
        """`all`: the patterns say nothing else, so what SQLite lets through is what they match."""
        self._match = names.match
        self._pick = names.pick
        self.all = all
        shapes: list[tuple[str, tuple[object, ...]]] = [("name = ?", (literal,)) for literal in names.literals]
        shapes += [("substr(name, 1, ?) = ?", (len(prefix), prefix)) for prefix in names.prefixes]
        shapes += [("substr(name, ?) = ?", (-len(suffix), suffix)) for suffix in names.suffixes]
        self.sql = f" AND ({' OR '.join(sql for sql, _ in shapes)})"
        self.arguments = tuple(value for _, values in shapes for value in values)

    def places(self, page: Page, places: Sequence[int]) -> Sequence[int]:
        """Those of the places in a page that SQLite would let through. Most pages have none."""
        names = page.names.split(b"\0")
        return [place for place in places if self._match(names[place])] if self._pick(names) else ()

    def tell(self, directories: Iterable[bytes]) -> bool:
        """Whether they tell what may match in these directories."""
        return not any(map(self._match, {part for path in directories for part in path.split(b"/")}))


def _names_of(patterns: Sequence[str]) -> _NameConditions | None:
    """None where the patterns say something that SQLite can't tell."""
    rules = [rule for pattern in patterns if (rule := parse(pattern)) is not None]
    positive = [rule for rule in rules if rule.positive]
    last = [rule.segments[-1] if rule.segments and rule.tail == OPEN else None for rule in positive]
    segments = [segment for segment in last if segment is not None]
    names = Names(segments)
    count = len(names.literals) + len(names.prefixes) + len(names.suffixes)
    if len(segments) < len(last) or names.rest is not None or not 0 < count <= _CONDITIONS_MAX:
        return None
    return _NameConditions(names, all=all(rule.positive and rule.double and len(rule.segments) == 1 for rule in rules))
