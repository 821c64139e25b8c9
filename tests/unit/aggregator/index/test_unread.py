"""Rows that are written without being read: only what may be, and with the same result as by any other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from entries import Entry, seen
from index_rows import query

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.scattered import Scattered, suits
from shardwatch.shard.contract.files.packed import FILE, LINK
from shardwatch.shard.contract.wire.frames import Listing, Looks

DIRECTORIES = 12
#: Names of each directory: too few for a page.
NAMES = [b"a", b"b", b"c"]


def entry(
    directory: int, name: bytes, version: int, *, kind: int = FILE, ino: int = 0, dev: int = 1, nlink: int = 1
) -> Entry:
    return (name, kind, dev, ino or 100 * directory + name[0], nlink, version, version, version, False)


def path(directory: int) -> bytes:
    return b"/r/%02d" % directory


class Told:
    """An index of which a group has been handed everything, and the statements that it runs."""

    def __init__(
        self, place: Path, *, content_only: bool = False, lane_of: Callable[[bytes], int] | None = None
    ) -> None:
        self.index = Index(place, content_only=content_only, lane_of=lane_of)
        self.statements: list[str] = []
        self.index.begin()
        for directory in range(DIRECTORIES):
            self.index.records.listing(Listing(path(directory), 1, *seen([entry(directory, name, 1) for name in NAMES])), ())
        self.index.commit()
        self.index.backlog.holders.place(0, 0, 0)
        self.hand()
        self.index.file.db.set_trace_callback(self.statements.append)

    def hand(self) -> None:
        self.index.backlog.note_handed(0, self.index.tick)
        self.index.backlog.holders.reach(0, 0, self.index.tick)

    def looks(self, *looks: Looks) -> None:
        self.index.begin()
        left = self.index.records.scattered([one for one in looks if suits(one)])
        for one in [*left, *(one for one in looks if not suits(one))]:
            self.index.records.looks(one, ())
        self.index.commit()

    def rewrite(self, name: bytes, version: int) -> None:
        """A file of each directory."""
        self.looks(*(Looks(path(d), version, *seen([entry(d, name, version)]), []) for d in range(DIRECTORIES)))

    def ready(self) -> None:
        """The next rewrites of the other files are expected to be like these."""
        self.rewrite(b"a", 2)
        self.statements.clear()

    def reads(self) -> int:
        """How often rows were read of which it was not known how they are."""
        return sum(text.startswith(("SELECT e.dir", "SELECT name")) for text in self.statements)

    def rows(self, since: int) -> list[object]:
        """Everything but ticks, of which those that rows were given first need not be in the same order."""
        sql = (
            f"SELECT dir, name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, tick>{since}, held, at_ns"
            " FROM entry ORDER BY dir, name, directory"
        )
        return [query(self.index, sql), self.index.files, self.index.directories, self.index.file.written, self.index.owed]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    told = Told(tmp_path / "index.db")
    yield told
    told.index.abandon()


def test_what_is_as_before_is_not_read(told: Told) -> None:
    """And a group is handed it from memory, as it would be read."""
    told.ready()
    told.rewrite(b"b", 2)
    assert told.reads() == 0
    assert query(told.index, "SELECT DISTINCT size, held FROM entry WHERE name=x'62'") == [(2, -1)]
    since = told.index.tick - 2 * DIRECTORIES
    assert told.index.file.ticks.newest.pending(0, since, told.index.tick, 100) is not None
    kept = told.index.backlog.pending(0, since, 100).rows
    told.index.shrink()
    assert len(kept) == 2 * DIRECTORIES
    assert told.index.backlog.pending(0, since, 100).rows == kept


def absent(told: Told) -> None:
    told.looks(Looks(path(1), 2, [], b"", [b"b"]))
    told.hand()


def named(told: Told) -> None:
    told.looks(Looks(path(1), 2, *seen([entry(1, b"b", 2, nlink=2)]), []))
    told.hand()


def linked(told: Told) -> None:
    told.looks(Looks(path(1), 2, *seen([entry(1, b"b", 2, kind=LINK)]), []))
    told.hand()


def handed_to_nobody(told: Told) -> None:
    told.looks(Looks(path(1), 2, *seen([entry(1, b"b", 2)]), []))


def held_by_others(told: Told) -> None:
    """Another group has not come to the file yet when it changes."""
    told.index.backlog.holders.place(1, 0, 0)
    told.looks(Looks(path(1), 2, *seen([entry(1, b"b", 2)]), []))
    told.hand()


@pytest.mark.parametrize(
    ("before", "odd"),
    [
        (None, entry(1, b"b", 3, ino=7)),
        (None, entry(1, b"b", 3, dev=7)),
        (None, entry(1, b"b", 3, nlink=2)),
        (None, entry(1, b"b", 3, kind=LINK)),
        (None, entry(1, b"b", 0)),
        (None, entry(1, b"new", 3)),
        (absent, entry(1, b"b", 3)),
        (named, entry(1, b"b", 3)),
        (linked, entry(1, b"b", 3)),
        (handed_to_nobody, entry(1, b"b", 3)),
        (held_by_others, entry(1, b"b", 3)),
    ],
    ids=[
        "another inode", "another device", "a second name", "a link", "as it was", "new", "gone before", "a second name before",
        "a link before", "not handed", "other groups",
    ],
)  # fmt: skip
def test_what_is_otherwise_is_read(tmp_path: Path, before: Callable[[Told], None] | None, odd: Entry) -> None:
    """One file in the midst of others, alone in its record or with another one; with the result of the way of single records."""
    for number, others in enumerate(([], [entry(1, b"c", 3)])):
        found = []
        for way in ("together", "single"):
            told = Told(tmp_path / f"{way}{number}.db")
            single = patch.object(Scattered, "rewrite", lambda self, records: (list(records), 0))
            for name, version in ((b"a", 2), (b"b", 0), (b"a", 3)):  # so that all note the same groups
                told.rewrite(name, version)
                told.hand()
            if before is not None:
                before(told)
            told.statements.clear()
            since = told.index.tick
            looks = [Looks(path(d), 3, *seen([entry(d, b"b", 3)]), []) for d in range(DIRECTORIES) if d != 1]
            looks.insert(3, Looks(path(1), 3, *seen([odd, *others]), []))
            if way == "single":
                with single:
                    told.looks(*looks)
            else:
                told.looks(*looks)
                assert 0 < told.reads() < DIRECTORIES - 1
            found.append(told.rows(since))
            told.index.close()
        assert found[0] == found[1]


def test_it_is_not_tried_in_vain_again(told: Told) -> None:
    """After rows that were otherwise, they are read, until they show what the next ones are like."""
    told.ready()
    told.rewrite(b"a", 3)  # which nobody was handed since
    told.rewrite(b"a", 4)
    assert sum(text.startswith("UPDATE entry SET size=") for text in told.statements) == DIRECTORIES
    told.hand()
    told.rewrite(b"a", 5)
    told.hand()
    told.statements.clear()
    told.rewrite(b"a", 6)
    assert told.reads() == 0


def test_rows_of_a_tree_that_is_all_kept_in_memory_are_dealt_with_too(told: Told) -> None:
    """What is kept for groups is forgotten then, as far as it may change."""
    for version in range(2, 8):
        told.rewrite(b"a", version)
        told.hand()
    told.statements.clear()
    told.rewrite(b"a", 8)
    assert told.reads() == 0
    rows = told.index.backlog.pending(0, told.index.tick - DIRECTORIES, 100).rows
    assert [(row.path[-1:], row.size) for row in rows] == [(b"a", 8)] * DIRECTORIES


def test_rows_are_read_where_only_content_counts(tmp_path: Path) -> None:
    """Since the time of change does not tell then."""
    told = Told(tmp_path / "index.db", content_only=True)
    told.ready()
    told.rewrite(b"b", 2)
    assert told.reads() > 0
    told.index.close()


def test_files_that_make_no_page_are_not_read_either(told: Told) -> None:
    """Of a record of more names that is known by the number of rows. What makes a page is left for the way of single records; and
    if all is so, nothing is expected of the next rows."""
    many = [b"d%d" % number for number in range(8)]

    def record(version: int, *numbers: int) -> Looks:
        return Looks(path(3), version, *seen([entry(3, many[n], version, ino=900 + n) for n in numbers]), [])

    for number in range(len(many)):
        told.looks(record(1, number))
    told.hand()
    told.ready()
    few, again = ([Looks(path(d), v, *seen([entry(d, b"b", v)]), []) for d in range(5, 10)] for v in (3, 4))
    told.looks(*few, record(3, 0, 2, 3, 6))
    assert told.reads() == 0
    assert query(told.index, "SELECT count(*) FROM entry WHERE size=3") == [(5 + 4,)]
    told.hand()
    told.looks(*again, record(4, *range(8)))
    assert told.reads() > 0
    assert query(told.index, "SELECT count(*) FROM page") == [(1,)]
    records = told.index.records
    assert records.are_scattered([record(5, *range(8))] * 4)
    told.index.begin()
    assert records.scattered([record(5, *range(8))]) == [record(5, *range(8))]
    assert not records.are_scattered([record(5, *range(8))] * 4)
    assert [records.are_scattered(few[:n]) for n in (3, 4)] == [False, True]
    assert [suits(record(6, 0, 1)), suits(Looks(path(3), 1, [b"%d" % n for n in range(16)], b"", []))] == [True, False]


def test_rows_are_read_while_a_group_has_given_some_up(told: Told) -> None:
    """Whether it holds a path is asked for each of them then, and nothing is expected of the next ones."""
    told.ready()
    told.index.backlog.holders.skip(0, 0, 1, 3)
    told.rewrite(b"b", 2)
    assert told.reads() > 0
    told.statements.clear()
    told.rewrite(b"c", 2)
    assert (told.reads(), sum(text.startswith("UPDATE entry SET size=") for text in told.statements)) == (DIRECTORIES // 4, 0)


def test_rows_of_another_lane_are_read(tmp_path: Path) -> None:
    """Nobody was handed any of those: they keep their ticks."""
    told = Told(tmp_path / "index.db", lane_of=lambda path: 5 if path.endswith(b"/b") else 0)
    told.ready()
    ticks = query(told.index, "SELECT tick FROM entry WHERE name=x'62' ORDER BY tick")
    told.rewrite(b"b", 2)
    assert told.reads() > 0
    assert query(told.index, "SELECT tick FROM entry WHERE name=x'62' AND size=2 ORDER BY tick") == ticks
    told.index.close()
