"""Entries at rest lie in pages: what would be lost if a page said more than it knows. Each rule has a test of its own."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from entries import Entry, seen
from hypothesis import given
from hypothesis import strategies as st
from index_rows import pages, query, spread

from shardwatch.aggregator.groups.index_port import IndexPort
from shardwatch.aggregator.index import finding
from shardwatch.aggregator.index import pages as index_pages
from shardwatch.aggregator.index.finding import Wanted, find
from shardwatch.aggregator.index.holders import Holders
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import open_index, refit
from shardwatch.aggregator.index.page import ENTRIES_MAX, ENTRIES_MIN, Page, checksum
from shardwatch.aggregator.index.pages import Turnover
from shardwatch.aggregator.index.reading import IndexReader
from shardwatch.aggregator.index.row import GONE, Row
from shardwatch.aggregator.storage.damage import damaged
from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK, WIDTH
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.fold import folded
from shardwatch.shard.contract.wire.frames import Check, Confirmed, Listing, Looks, Verified

R = b"/r"
NAMES = [b"a", b"b", b"c", b"d", b"e", b"f"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index."""
    index = Index(tmp_path / "index.db")
    yield index
    index.abandon()


def entry(
    name: bytes, version: int = 1, *, racy: bool = False, nlink: int = 1, dev: int = 1, kind: int = FILE, ino: int = 0
) -> Entry:
    return (name, kind, dev, ino or sum(name), nlink, version, version, version, racy)


def folder(name: bytes) -> Entry:
    return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)


def lists(index: Index, path: bytes, *entries: Entry, at: int = 100, **bounds: Any) -> None:
    index.begin()
    index.records.listing(Listing(path, at, *seen(sorted(entries)), **bounds), ())
    index.commit()


def looks(index: Index, path: bytes, *entries: Entry, absent: Sequence[bytes] = (), at: int = 200, **more: Any) -> None:
    index.begin()
    index.records.looks(Looks(path, at, *seen(sorted(entries)), list(absent), **more), ())
    index.commit()


def hand_out(index: Index) -> None:
    """A group has been handed everything there is, and acknowledged it."""
    index.backlog.holders.place(0, 0, index.tick)
    index.backlog.note_handed(0, index.tick)


def pending(index: IndexPort | Any, after: int = 0, limit: int = 10_000) -> list[Row]:
    return list(index.pending(0, after, limit).rows)


def said(index: Index) -> dict[bytes, tuple[int, int, int]]:
    """Path -> (tick, size, held)."""
    return {row.path: (row.tick, row.size, row.held) for row in pending(index.backlog)}


def shape(index: Index) -> tuple[list[list[bytes]], list[bytes]]:
    """Names of the live entries of each page, and of the rows of files that are there."""
    rows = query(index, "SELECT name FROM entry WHERE directory=0 AND kind<>0 ORDER BY name")
    return [page.live_names() for page in pages(index)], [name for (name,) in rows]


@pytest.fixture
def resting(index: Index) -> Index:
    """Six files in a page, which a group has."""
    lists(index, R, *map(entry, NAMES))
    hand_out(index)
    assert shape(index) == ([NAMES], [])
    return index


# -- what a page holds


def test_a_first_listing_is_written_as_pages(index: Index) -> None:
    """Of at most 256 entries each, with ticks that rise with the names; a directory is a row, as are a few files."""
    names = [b"%04d" % i for i in range(2 * ENTRIES_MAX + 3)]
    lists(index, R, *map(entry, names), folder(b"0000.d"))
    lists(index, b"/r/0000.d", *map(entry, NAMES[: ENTRIES_MIN - 1]))
    assert [len(page.live) for page in pages(index)] == [ENTRIES_MAX, ENTRIES_MAX, 3]
    assert [row.path for row in pending(index.backlog)][: len(names)] == [b"/r/" + name for name in names]
    assert [row.tick for row in pending(index.backlog)] == list(range(1, len(names) + ENTRIES_MIN))
    assert (index.files, index.directories, index.written) == (len(names) + 3, 1, len(names) + 4)


def test_nothing_is_written_for_a_listing_that_is_as_its_pages(resting: Index) -> None:
    """Also where rows and directories are beside them."""
    looks(resting, R, entry(b"b", 2))
    found = [*[entry(bytes([n])) for n in b"acdef"], entry(b"b", 2), folder(b"x")]
    lists(resting, R, *found)
    before, written = query(resting, "SELECT * FROM page"), resting.written
    lists(resting, R, *found, at=500)
    assert (query(resting, "SELECT * FROM page"), resting.written) == (before, written)


def other_than_held(index: Index, number: int) -> Listing:
    """A listing of the directory with this number, of which not one page says all."""
    path = b"/r/%02d" % number
    all_of_it = Listing(path, 500, *seen(list(map(entry, NAMES))))
    if number == 11:
        return msgspec.structs.replace(all_of_it, after=b"")
    if number == 13:
        looks(index, path, entry(b"beside"))
    elif number == 17:
        index.begin()
        index.debts.add(path, b"c", 100)
        index.commit()
    elif number == 19:
        return Listing(path, 500, *seen([entry(name, 2 if name == b"c" else 1) for name in NAMES]))
    elif number == 21:
        return Listing(path, 500, [], b"")
    else:
        return Listing(b"/r/new", 500, *seen(list(map(entry, NAMES))))
    return all_of_it


@pytest.mark.parametrize("odd", [11, 13, 17, 19, 21, 23])
def test_listings_that_are_as_their_pages_are_compared_together(index: Index, odd: int) -> None:
    """As far as they are: up to one of a range, one with more in the index, one that is owed, changed, empty, and new."""
    same = [Listing(b"/r/%02d" % number, 500, *seen(list(map(entry, NAMES)))) for number in range(25)]
    for listing in same:
        lists(index, listing.path, *map(entry, NAMES))
    assert not index.records.expects_rest
    lists(index, same[0].path, *map(entry, NAMES), at=400)
    assert index.records.expects_rest
    said: list[str] = []
    index.file.db.set_trace_callback(said.append)
    assert index.records.held(same) == len(same)
    index.file.db.set_trace_callback(None)
    assert len(said) <= 4  # 16 + 4 + 4 + 1
    written = index.written
    same[odd] = other_than_held(index, odd)
    assert index.records.held(same) == odd
    assert index.records.held([]) == 0
    assert index.written == written + (odd == 13)


def test_a_listing_that_is_as_its_page_ends_what_is_beside_it(resting: Index) -> None:
    """A file and a directory that have rows of their own are not in the listing any more."""
    looks(resting, R, entry(b"beside"), folder(b"x"))
    assert (resting.files, resting.directories) == (len(NAMES) + 1, 1)
    lists(resting, R, *map(entry, NAMES), at=500)
    assert (resting.files, resting.directories) == (len(NAMES), 0)


def test_a_listing_that_is_as_its_page_was_brings_back_what_left_it(index: Index) -> None:
    """No group had the file, so there is no row of it; it comes back as it was."""
    lists(index, R, *map(entry, NAMES))
    looks(index, R, absent=[b"c"])
    assert index.files == len(NAMES) - 1
    assert query(index, "SELECT count(*) FROM entry") == [(0,)]
    lists(index, R, *map(entry, NAMES), at=500)
    assert index.files == len(NAMES)


def test_a_listing_that_is_as_its_page_pays_what_is_owed(resting: Index) -> None:
    """A look at a name was owed, and the listing has made it."""
    resting.begin()
    resting.debts.add(R, b"c", 100)
    resting.debts.add(R, b"gone", 100)
    resting.commit()
    lists(resting, R, *map(entry, NAMES), at=500)
    assert not resting.owed
    assert shape(resting) == ([NAMES], [])


def test_what_is_owed_and_lies_in_a_page_takes_nothing_along(resting: Index) -> None:
    """A listing that finds it there, as it was, does not say that it is gone."""
    lists(resting, b"/r/c", *map(entry, NAMES))
    resting.begin()
    resting.debts.add(R, b"c", 100)
    resting.commit()
    lists(resting, R, *map(entry, NAMES), at=500)
    assert (resting.owed, resting.files) == ({}, 2 * len(NAMES))


@pytest.mark.parametrize(
    "odd",
    [entry(b"c", 2, racy=True), entry(b"c", 2, nlink=2), entry(b"c", 2, nlink=257), entry(b"c", 2, nlink=1 << 31), folder(b"c")],
)
def test_what_is_unusual_is_in_no_page(index: Index, odd: Entry) -> None:
    """When it is seen first, and where another file was that is in a page."""
    lists(index, R, *[odd if name == b"c" else entry(name) for name in NAMES])
    lists(index, b"/s", *map(entry, NAMES))
    hand_out(index)
    looks(index, b"/s", *[odd if name == b"c" else entry(name, 2) for name in NAMES])
    assert not any(b"c" in page.live_names() for page in pages(index))
    assert len(query(index, "SELECT 1 FROM entry WHERE name = x'63' AND kind <> 0")) == 2


def test_links_are_in_pages_too(index: Index) -> None:
    lists(index, R, *[entry(name, kind=LINK) for name in NAMES])
    assert [row.kind for row in pending(index.backlog)] == [LINK] * 6
    assert shape(index) == ([NAMES], [])


# -- rule 1: equal bytes prove nothing where a stat is racy


def test_an_equal_stat_after_a_racy_one_is_a_change(index: Index) -> None:
    """Two writes of the same size within one tick of the clock have the same stat: the second would be missed."""
    racy = [entry(name, racy=name == b"c") for name in NAMES]
    lists(index, R, *racy)
    hand_out(index)
    before = said(index)
    lists(index, R, *racy)
    after = said(index)
    assert {path for path in after if after[path] != before[path]} == {b"/r/c"}


def test_a_racy_look_at_a_whole_page_ends_it(resting: Index) -> None:
    looks(resting, R, *[entry(name, 2, racy=name == b"c") for name in NAMES])
    hand_out(resting)
    before = said(resting)
    looks(resting, R, *[entry(name, 2, racy=name == b"c") for name in NAMES])
    assert {path for path, found in said(resting).items() if found != before[path]} == {b"/r/c"}


def test_a_racy_row_is_confirmed_by_a_later_look_alone(index: Index) -> None:
    """That is not racy itself, shows the same, and was not followed by a hint. Whatever else is seen equal later is a change."""
    racy = [entry(name, racy=True) for name in NAMES]
    lists(index, R, *racy)
    hand_out(index)
    before = said(index)
    index.begin()
    odd = [racy[0], entry(b"b", 2), *map(entry, NAMES[2:])]
    index.records.confirmed(Confirmed(R, 200, *seen(odd)))
    index.commit()
    assert query(index, "SELECT name FROM entry WHERE racy=1 ORDER BY name") == [(b"a",), (b"b",)]
    lists(index, R, *map(entry, NAMES), at=300)
    assert {path for path, found in said(index).items() if found != before[path]} == {b"/r/a", b"/r/b"}
    lists(index, b"/s", *racy)
    hand_out(index)
    before = said(index)
    index.begin()
    index.records.verified(Verified(b"/s", 200, *seen([racy[0], *map(entry, NAMES[1:])]), None, None, [b"c"]), ())
    index.commit()
    assert {path for path, found in said(index).items() if found != before[path]} == {b"/s/a", b"/s/c"}


def test_another_number_of_the_device_is_no_change(resting: Index) -> None:
    """As after a reboot: the pages take it over, since a rename is recognised by it, and nobody is told."""
    before = said(resting)
    lists(resting, R, *[entry(name, dev=9) for name in NAMES], at=300)
    assert (said(resting), {row.dev for row in pending(resting.backlog)}) == (before, {9})
    assert shape(resting) == ([NAMES], [])
    lists(resting, R, *[entry(name, dev=8 if name == b"b" else 9) for name in NAMES], at=400)
    assert said(resting) == before
    assert {row.path: row.at_ns for row in pending(resting.backlog)} == {
        b"/r/" + name: 400 if name == b"b" else 300 for name in NAMES
    }
    looks(resting, R, entry(b"b", dev=7))  # one by itself leaves its page, with the tick that it has
    assert (said(resting), shape(resting)) == (before, ([[b"a", b"c", b"d", b"e", b"f"]], [b"b"]))


# -- rule 2: ticks are consecutive in a page, and rows come in the order of their ticks


def test_rows_and_pages_are_read_in_the_order_of_ticks(index: Index) -> None:
    """A row may have a tick between two of a page's; looks of any size find the same."""
    for number in range(3):
        lists(index, b"/r/%d" % number, *map(entry, NAMES))
        lists(index, b"/r/few%d" % number, entry(b"x"), entry(b"y"))
    looks(index, b"/r/1", entry(b"c", 2))  # nobody was handed it: it keeps its tick
    assert len(shape(index)[0]) == 3
    whole = pending(index.backlog)
    assert [row.tick for row in whole] == list(range(1, 25))
    assert [(row.path, row.size) for row in whole][10:12] == [(b"/r/1/c", 2), (b"/r/1/d", 1)]
    for limit in range(1, 26):
        after = 0
        found: list[Row] = []
        while True:
            portion = index.backlog.pending(0, after, limit)
            assert len(portion.rows) <= limit
            found += portion.rows
            after = portion.upto
            if portion.end:
                break
        assert found == whole
        assert index.backlog.count(0, 3, 20, limit).rows <= limit
    assert index.backlog.count(0, 3, 20, 10_000) == (17, 20)


@pytest.mark.parametrize("together", [False, True])
def test_names_that_are_not_in_order_make_no_page(index: Index, together: bool) -> None:
    """A page is found by its first and its last name. With a directory among them, too, and several such listings at once."""
    names = [b"c", b"f", b"a", b"e", b"b", b"d"]
    listings = [
        Listing(b"/r/%d" % number, 100, *seen([*map(entry, names), *([] if together else [folder(b"x")])])) for number in range(4)
    ]
    lists(index, b"/r/new", *map(entry, NAMES))
    index.begin()
    done = index.records.first(listings) if together else 0
    for listing in listings[done:]:
        index.records.listing(listing, ())
    index.commit()
    hand_out(index)
    for number in range(4):
        for name in names:
            looks(index, b"/r/%d" % number, entry(name, 2))
    assert index.files == 5 * len(NAMES)
    assert sorted(row.path for row in pending(index.backlog) if row.size == 2) == [
        b"/r/%d/%s" % (number, name) for number in range(4) for name in NAMES
    ]


def test_counts_of_many_pages_are_bounded_and_exact(index: Index) -> None:
    """However the ticks of rows lie between those of pages, and wherever a look begins and ends."""
    names = [b"%04d" % i for i in range(1_500)]
    lists(index, R, *map(entry, names))
    lists(index, b"/s", *map(entry, names))
    for number in range(0, 1_500, 7):
        looks(index, R, entry(names[number], 2))
    for after, upto in ((0, 3_000), (1, 2_999), (300, 1_700), (255, 257)):
        for limit in (512, 600, 1_000, 5_000):
            total, at = 0, after
            while at < upto:
                rows, reached = index.backlog.count(0, at, upto, limit)
                assert rows <= limit
                assert at < reached <= upto
                total, at = total + rows, reached
            assert total == upto - after


# -- rule 3: a tick that is on lease is found, wherever its entry has moved


def moved_by_device(index: Index) -> None:
    looks(index, R, entry(b"c", dev=7))


def moved_by_a_second_name(index: Index) -> None:
    looks(index, R, entry(b"c", nlink=2))


def moved_by_others(index: Index) -> None:
    for name in b"abdef":
        looks(index, R, entry(bytes([name]), 2))


def moved_by_priorities(index: Index) -> None:
    settings = Settings(roots=(R,), include=("*",), exclude=("a", "b", "f", "x"))
    work = refit(index, settings)
    assert work is not None
    while work.step(2):
        pass


@pytest.mark.parametrize("move", [moved_by_device, moved_by_a_second_name, moved_by_others, moved_by_priorities])
def test_a_tick_on_lease_is_found_after_its_entry_has_moved(resting: Index, move: Callable[[Index], None]) -> None:
    """A worker that gives its batch back gets it again: out of a page that is emptied, or of which all becomes rows."""
    (leased,) = [row for row in pending(resting.backlog) if row.path == b"/r/c"]
    move(resting)
    assert shape(resting)[0] in ([], [[b"a", b"b", b"d", b"e", b"f"]], [[b"c", b"d", b"e"]])
    assert [row.path for row in resting.backlog.rows_at(0, [leased.tick])] == [b"/r/c"]
    assert [row.tick for row in resting.backlog.rows_of(b"/r/c")] == [leased.tick]


def test_a_tick_on_lease_is_found_after_rows_have_become_a_page(resting: Index) -> None:
    """With the tick that they have; and what has got another tick is not found by the old one."""
    spread(resting.file.db)
    before = pending(resting.backlog)
    assert shape(resting) == ([], NAMES)
    lists(resting, R, *map(entry, NAMES))
    assert shape(resting) == ([NAMES], [])
    assert pending(resting.backlog) == before
    assert resting.backlog.rows_at(0, [row.tick for row in before]) == before
    looks(resting, R, *[entry(name, 2) for name in NAMES])
    assert shape(resting) == ([NAMES], [])
    assert resting.backlog.rows_at(0, [row.tick for row in before]) == []
    assert [row.tick for row in pending(resting.backlog)] == list(range(7, 13))


_MOVES: dict[str, Callable[[Index], None]] = {
    "one leaves its page": lambda index: looks(index, R, entry(b"c", 2)),
    "some leave, and the others with them": lambda index: looks(index, R, *[entry(name, 2) for name in NAMES[:4]], absent=[b"e"]),
    "each of several directories": lambda index: scatter(index, [(path, b"c") for path in (R, b"/s", b"/t", b"/u")]),
    "a page is written anew": lambda index: looks(index, R, *[entry(name, 2) for name in NAMES]),
    "rows are folded as they are": lambda index: lists(index, b"/rows", *map(entry, NAMES)),
    "rows that change are folded": lambda index: looks(index, b"/rows", *[entry(name, 2) for name in NAMES], entry(b"new")),
    "all goes": lambda index: lists(index, R),
}


def scatter(index: Index, files: Sequence[tuple[bytes, bytes]]) -> None:
    """Changes in many directories, with few statements."""
    index.begin()
    left = index.records.scattered([Looks(path, 200, *seen([entry(name, 2)]), []) for path, name in files])
    assert left == []
    index.commit()


@pytest.mark.parametrize("move", _MOVES.values(), ids=_MOVES)
def test_a_kill_while_entries_move_leaves_them_where_they_were(move: Callable[[Index], None], tmp_path: Path) -> None:
    """Before each statement of it: the next start finds all of them once, with the ticks that they had, and the move is made then
    as it would have been before."""
    path = tmp_path / "index.db"
    index = Index(path)
    lists(index, b"/rows", *map(entry, NAMES))
    spread(index.file.db)
    for directory in (R, b"/s", b"/t", b"/u"):
        lists(index, directory, *map(entry, NAMES))
    hand_out(index)
    before, shaped = kept(index), shape(index)
    killed: list[Path] = []

    def kill(statement: str) -> None:
        killed.append(tmp_path / f"{len(killed)}.db")
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{killed[-1]}{suffix}")

    index.file.db.set_trace_callback(kill)
    move(index)
    index.file.db.set_trace_callback(None)
    after, moved = kept(index), shape(index)
    assert len(killed) > 3 and (after, moved) != (before, shaped)
    index.abandon()
    for place in killed:
        index = Index(place)
        assert (kept(index), shape(index)) == (before, shaped)
        hand_out(index)
        move(index)
        assert ([row[1:] for row in kept(index)], shape(index)) == ([row[1:] for row in after], moved)
        index.abandon()


def kept(index: Index) -> list[tuple[int, bytes, int, int]]:
    """Of each entry, wherever it is: its tick, and its path, size and kind."""
    return [(row.tick, row.path, row.size, row.kind) for row in pending(index.backlog)]


# -- rule 4: garbage goes at once


def test_a_file_that_changes_all_the_time_leaves_nothing_behind(resting: Index) -> None:
    """Of the page, one entry has gone into a row, however often it changes; a group that slept reads six rows."""
    for version in range(2, 50):
        looks(resting, R, entry(b"c", version))
        resting.backlog.note_handed(0, resting.tick)
    assert shape(resting) == ([[b"a", b"b", b"d", b"e", b"f"]], [b"c"])
    assert len(pending(resting.backlog)) == 6


def test_a_burst_that_comes_again_writes_its_page_again(resting: Index) -> None:
    for version in range(2, 20):
        looks(resting, R, *[entry(name, version) for name in NAMES])
        resting.backlog.note_handed(0, resting.tick)
        assert shape(resting) == ([NAMES], [])
    assert {row.held for row in pending(resting.backlog)} == {-1}


def test_a_page_that_is_rewritten_is_read_once_and_written_once(resting: Index) -> None:
    """By statements that leave alone what leads to it: its names are the same. A burst consists of such records mostly."""
    statements: list[str] = []
    resting.file.db.set_trace_callback(statements.append)
    with patch.object(index_pages, "checked", side_effect=index_pages.checked) as checked:
        looks(resting, R, *[entry(name, 2) for name in NAMES])
    resting.file.db.set_trace_callback(None)
    about_pages = [sql for sql in statements if " page " in sql]
    assert [sql.split(" ", 1)[0] for sql in about_pages] == ["SELECT", "UPDATE"]
    assert not {"dir", "first", "last", "names", "live"} & {part.split("=")[0] for part in re.split(r"[ ,]+", about_pages[1])}
    assert checked.call_count == 1
    assert (shape(resting), {row.size for row in pending(resting.backlog)}) == (([NAMES], []), {2})


def test_a_page_of_which_little_changes_is_not_read_as_if_all_had(resting: Index) -> None:
    """Once for all names, and once to be written without them."""
    with patch.object(index_pages, "checked", side_effect=index_pages.checked) as checked:
        looks(resting, R, *[entry(name, 2) for name in NAMES[:4]])
    assert checked.call_count <= 2
    assert {row.size for row in pending(resting.backlog)} == {1, 2}


def test_only_what_was_handed_out_of_a_page_gets_new_ticks(index: Index) -> None:
    """A group has come to the midst of it: what it was not handed keeps its place in the queue, also when all changes."""
    lists(index, R, *map(entry, NAMES))
    index.backlog.note_handed(0, 2)
    looks(index, R, *[entry(name, 2) for name in NAMES])
    assert {row.path[-1:]: row.tick for row in pending(index.backlog)} == {
        b"a": 7, b"b": 8, b"c": 3, b"d": 4, b"e": 5, b"f": 6,
    }  # fmt: skip
    assert shape(index) == ([[b"c", b"d", b"e", b"f"]], [b"a", b"b"])


def test_a_page_of_which_little_is_left_becomes_rows(index: Index) -> None:
    """And one that has no live entry is not there. So a page costs no more than twice what it holds."""
    names = [b"%03d" % i for i in range(100)]
    lists(index, R, *map(entry, names))
    hand_out(index)
    for number, name in enumerate(names[:-25], 1):
        looks(index, R, entry(name, 2))
        assert len(pages(index)) == (number < 50)
    assert shape(index) == ([], names)
    assert len(pending(index.backlog)) == 100


def test_what_becomes_of_pages_is_counted(resting: Index) -> None:
    """A page is made, and written anew as a whole; entries leave it, until it is gone, and are folded into another. Nothing is
    counted that stays as it is."""
    assert resting.turnover == Turnover(made=1)
    lists(resting, R, *map(entry, NAMES), at=500)
    assert resting.turnover == Turnover(made=1)
    looks(resting, R, *[entry(name, 2) for name in NAMES])
    assert resting.turnover == Turnover(made=1, renewed=1)
    looks(resting, R, entry(b"c", 3))
    looks(resting, R, entry(b"a", 3))
    assert resting.turnover == Turnover(made=1, renewed=1, shrunk=2)
    looks(resting, R, *[entry(name, 4) for name in NAMES])
    assert resting.turnover == Turnover(made=1, folded=1, renewed=1, shrunk=2, gone=1)
    looks(resting, R, absent=NAMES)
    assert resting.turnover == Turnover(made=1, folded=1, renewed=1, shrunk=2, gone=2)


def test_pages_of_a_directory_never_overlap(resting: Index) -> None:
    """What changes together in the midst of a page stays in rows until nothing is left around it."""
    names = [b"%03d" % i for i in range(60)]
    lists(resting, b"/s", *map(entry, names))
    hand_out(resting)
    looks(resting, b"/s", *[entry(name, 2) for name in names[10:30]])
    assert [page.live_names() for page in pages(resting)][1:] == [names[:10] + names[30:]]
    hand_out(resting)
    looks(resting, b"/s", *[entry(name, 3) for name in names[:10]])
    looks(resting, b"/s", *[entry(name, 3) for name in names[10:30]])
    assert sorted((page.first, page.last) for page in pages(resting))[:-1] == [
        (names[0], names[9]), (names[10], names[29]), (names[30], names[59]),
    ]  # fmt: skip
    lists(resting, b"/s", *[entry(name, 3) for name in names[:30]], *[entry(name) for name in names[30:]])
    assert [row.size for row in pending(resting.backlog) if row.path.startswith(b"/s/")] == [1] * 30 + [3] * 30


def test_rows_on_both_sides_of_a_page_are_folded_by_no_listing(index: Index) -> None:
    """Their ticks follow one another, but a page of them would have another one in its midst, and not all would be found."""
    names = [bytes([letter]) for letter in range(ord("a"), ord("m"))]
    apart = [b"a", b"b", b"e", b"f"]
    lists(index, R, *map(entry, names))
    hand_out(index)
    looks(index, R, *[entry(name, 2) for name in apart])
    assert len(shape(index)[1]) == len(apart)
    hand_out(index)
    before, shaped = said(index), shape(index)
    lists(index, R, *[entry(name, 2 if name in apart else 1) for name in names], at=300)
    for name in reversed(apart):
        looks(index, R, entry(name, 3), at=400)
    assert (shape(index), index.files) == (shaped, len(names))
    assert {path for path, found in said(index).items() if found != before[path]} == {b"/r/" + name for name in apart}


# -- rule 5: a look says how far it got, and is bounded


@pytest.mark.parametrize(
    ("pull", "most"),
    [(lambda b: b.pending(0, 0, 10), 3), (lambda b: b.count(0, 0, 4_000, 600), 100), (lambda b: b.rows_at(0, [5]), 1)],
)
def test_a_look_reads_few_pages(index: Index, pull: Callable[[Any], object], most: int) -> None:
    """However many there are: no more than hold what was asked for, and one to know where it begins."""
    for number in range(500):
        lists(index, b"/r/%d" % number, *map(entry, NAMES))
    with (
        patch.object(index_pages, "_fields", side_effect=index_pages._fields) as whole,
        patch.object(index_pages, "_whole_number", side_effect=index_pages._whole_number) as part,
    ):
        pull(index.backlog)
    assert 0 < whole.call_count + part.call_count <= most


# -- rule 6: hard links


def search(index: Index) -> int:
    """Looks for names until there is nothing to look for; returns the number of turns."""
    turns = 0
    while index.debts.searching:
        index.debts.search(index.begin, index.commit)
        turns += 1
    return turns


def test_a_second_name_finds_the_first_one_in_a_page(resting: Index) -> None:
    """`ln a b` says nothing to a's directory: its stat says one name. So all can be found by inode from then on, and stay where
    they are; and what comes to rest from then on rests in pages too."""
    looks(resting, b"/other", entry(b"link", nlink=2, ino=sum(b"c")))
    search(resting)
    assert resting.owed == {R: {b"c": (200, 200)}}
    assert shape(resting) == ([NAMES], [b"link"])
    lists(resting, b"/s", *map(entry, NAMES))
    looks(resting, b"/other", entry(b"another", nlink=3, ino=sum(b"d")), at=300)
    assert not resting.debts.searching  # now it is told at once
    assert resting.owed == {R: {b"c": (200, 200), b"d": (300, 300)}, b"/s": {b"d": (300, 300)}}
    looks(resting, R, *[entry(name, 1, nlink=1 + (name == b"c")) for name in NAMES], at=400)
    assert (resting.owed[b"/s"], shape(resting)[1]) == ({b"c": (400, 400), b"d": (300, 300)}, [b"another", b"c", b"link"])
    assert R not in resting.owed


def test_names_of_other_files_are_not_taken_for_names_of_one(resting: Index) -> None:
    """Of another device, of a neighbouring inode number, and what is in its page no more."""
    lists(resting, b"/s", *[entry(name, dev=2) for name in NAMES])
    looks(resting, R, entry(b"c", ino=1000), absent=[b"d"])
    search(resting)
    for ino in (sum(b"c"), sum(b"d"), sum(b"f") + 1):
        looks(resting, b"/other", entry(b"link", nlink=2, ino=ino))
        search(resting)
    assert resting.owed == {}


def test_pages_are_made_known_by_their_inodes_in_turns(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are; those that are made, emptied or written anew meanwhile are found as they are at the end."""
    monkeypatch.setattr(index_pages.Pages.index_inodes, "__defaults__", (2,))
    for number in range(7):
        lists(index, b"/r/%d" % number, *[entry(name, ino=100 * number + sum(name)) for name in NAMES])
    hand_out(index)
    looks(index, b"/other", *[entry(b"%d" % number, nlink=2, ino=100 * number + sum(b"c")) for number in range(9)])
    index.debts.search(index.begin, index.commit)
    assert index.owed == {}
    lists(index, b"/r/0")
    lists(index, b"/r/8", *[entry(name, ino=800 + sum(name)) for name in NAMES])
    looks(index, b"/r/6", *[entry(name, 2, ino=700 + sum(name)) for name in NAMES])
    assert search(index) == 5
    owed = {path: sorted(names) for path, names in index.owed.items()}
    assert owed.pop(b"/other") == [b"0", b"6", b"7"]  # gone by one name; changed: "7" by /r/6/c
    assert sorted(owed) == [b"/r/1", b"/r/2", b"/r/3", b"/r/4", b"/r/5", b"/r/8"]
    assert set(map(tuple, owed.values())) == {(b"c",)}


def test_what_was_sought_is_sought_after_a_kill(tmp_path: Path) -> None:
    """A name goes while its other one, which says that it is the only one, lies in a page that is not known by its inodes."""
    path = tmp_path / "index.db"
    for turns in (0, 1):
        path.unlink(missing_ok=True)
        index = Index(path)
        lists(index, R, *map(entry, NAMES))
        looks(index, b"/other", entry(b"link", nlink=2, ino=sum(b"c")))
        looks(index, b"/other", absent=[b"link"])
        for _ in range(turns):
            index.debts.search(index.begin, index.commit)
        index.abandon()
        index = Index(path)
        assert index.owed == {}
        search(index)
        assert {path: list(names) for path, names in index.owed.items()} == {R: [b"c"]}
        assert query(index, "SELECT * FROM sought") == []
        index.abandon()


def test_an_entry_of_a_page_that_is_missing_is_damage(resting: Index) -> None:
    """Where the pages are said to be that may hold a file."""
    looks(resting, b"/other", entry(b"link", nlink=2, ino=77))
    search(resting)
    resting.file.db.execute("DELETE FROM page")
    with pytest.raises(sqlite3.DatabaseError, match="is missing") as raised:
        looks(resting, b"/other", entry(b"another", nlink=2, ino=sum(b"c")))
    assert damaged(raised.value)
    resting.rollback()


def test_a_page_that_goes_is_known_by_no_inode(resting: Index) -> None:
    """Else the table would grow for ever."""
    looks(resting, b"/other", entry(b"link", nlink=2, ino=77))
    search(resting)
    assert query(resting, "SELECT count(*) FROM inode") != [(0,)]
    looks(resting, R, absent=NAMES)
    assert query(resting, "SELECT * FROM inode") == []


@pytest.mark.parametrize("replaced", [[b"c"], [b"b", b"c"], NAMES])
@pytest.mark.parametrize("together", [False, True])
def test_files_replaced_by_others_are_looked_for(resting: Index, replaced: list[bytes], together: bool) -> None:
    """One, some, or all of a page at once, and beside others: what was there before may have other names, which are in doubt."""
    looks(resting, b"/other", entry(b"link", nlink=2, ino=sum(b"c")))
    search(resting)
    looks(resting, R, entry(b"c"), at=300)
    some = [Looks(R, 400, *seen([entry(name, 2, ino=1000 + sum(name)) for name in replaced]), [])]
    if together:
        for directory in (b"/s", b"/t", b"/u"):
            lists(resting, directory, *[entry(name, ino=2000 + sum(name)) for name in NAMES])
            some.append(Looks(directory, 400, *seen([entry(b"c", 2, ino=2000 + sum(b"c"))]), []))
    resting.begin()
    for record in resting.records.scattered(some) if together else some:
        resting.records.looks(record, ())
    resting.commit()
    assert resting.owed == {b"/other": {b"link": (400, 400)}}


# -- rule 7: lanes, directories, tombstones


def test_entries_that_go_become_tombstones(resting: Index) -> None:
    """Which are found by their tick until every group has passed them, and then nothing is left."""
    looks(resting, R, absent=[b"b"])
    (gone,) = [row for row in pending(resting.backlog) if row.kind == GONE]
    assert (gone.path, resting.files) == (b"/r/b", 5)
    lists(resting, R)
    assert [row.kind for row in pending(resting.backlog)] == [GONE] * 6
    assert (pages(resting), resting.files) == ([], 0)
    assert resting.tombstones.collect({0: gone.tick}, 10**9) == 1
    assert resting.tombstones.collect({0: resting.tick}, 10**9) == 5
    assert query(resting, "SELECT * FROM directory") == []


def test_a_directory_that_has_only_a_page_is_kept(resting: Index) -> None:
    """When its last tombstone is forgotten."""
    looks(resting, R, absent=[b"b"])
    assert resting.tombstones.collect({0: resting.tick}, 10**9) == 1
    assert query(resting, "SELECT path FROM directory") == [(R,)]
    assert resting.knows(R)


def test_a_tree_that_goes_goes_with_its_pages(index: Index) -> None:
    lists(index, R, folder(b"x"), *map(entry, NAMES))
    lists(index, b"/r/x", *map(entry, NAMES))
    looks(index, R, absent=[b"x"])
    assert [row.path for row in pending(index.backlog)] == [b"/r/" + name for name in NAMES]
    assert (index.files, index.directories) == (6, 0)


def test_lanes_are_of_entries(tmp_path: Path) -> None:
    """Neighbours with other priorities are in other pages, or in none."""
    index = Index(tmp_path / "lanes.db", lane_of=lambda path: 5 if path[-1:] < b"e" else 0)
    lists(index, R, *map(entry, NAMES))
    assert shape(index) == ([[b"a", b"b", b"c", b"d"]], [b"e", b"f"])
    assert index.backlog.lanes() == [5, 0]
    assert [row.path for row in index.backlog.pending(5, 0, 10).rows] == [b"/r/a", b"/r/b", b"/r/c", b"/r/d"]
    index.abandon()


def test_who_holds_a_path_is_said_of_each_entry(index: Index) -> None:
    """Of files that change together another group has come to the first half only: they are in two pages."""
    names = [bytes([letter]) for letter in range(ord("a"), ord("m"))]
    lists(index, R, *map(entry, names))
    for bit, reached in ((0, 12), (1, 6)):
        index.backlog.holders.place(bit, 0, 0)
        index.backlog.holders.reach(bit, 0, reached)
    index.backlog.note_handed(0, 12)
    looks(index, R, *[entry(name, 2) for name in names])
    assert [found.held for found in pending(index.backlog)] == [-1] * 6 + [0b01] * 6
    assert shape(index) == ([names[:6], names[6:]], [])


def test_lanes_are_asked_for_anew_where_they_may_have_changed(tmp_path: Path) -> None:
    """A file that is written again stays in its lane, so they stand after it; whatever else is written may add one or end one."""
    index = Index(tmp_path / "lanes.db", lane_of=lambda path: 5 if path == b"/r/b" else 0)
    lists(index, R, entry(b"a"), entry(b"c"))
    assert index.backlog.lanes() == [0]
    stands = index.file.relaned
    looks(index, R, entry(b"a", 2))
    assert (index.backlog.lanes(), index.file.relaned) == ([0], stands)
    looks(index, R, entry(b"b"))
    assert index.backlog.lanes() == [5, 0]
    looks(index, R, entry(b"b", 2))
    looks(index, R, absent=[b"b"])
    assert index.backlog.lanes() == [0]
    index.begin()
    index.file.db.execute("UPDATE entry SET lane=3 WHERE name=?", (b"a",))
    assert index.backlog.lanes() == [3, 0]
    index.rollback()
    assert index.backlog.lanes() == [0]
    index.abandon()


def test_what_came_by_a_rename_keeps_its_birth(resting: Index) -> None:
    """By which the rename is told from a new file with the same inode. It is a mark of its own, so no page has it."""
    lists(resting, b"/s", *map(entry, NAMES))
    lists(resting, b"/new", *map(entry, NAMES), births={b"c": 7})
    hand_out(resting)
    looks(resting, R, *[entry(name, 2) for name in NAMES], births={b"c": 7})
    lists(resting, b"/s", *[entry(name, 2) for name in NAMES], births={b"c": 7})
    assert {row.path: row.birth_ns for row in pending(resting.backlog) if row.birth_ns} == {
        b"/r/c": 7, b"/s/c": 7, b"/new/c": 7,
    }  # fmt: skip


def test_one_file_that_another_replaces_keeps_its_birth(resting: Index) -> None:
    """As when an editor saves: whether it was in a page or in a row. A look without a rename forgets it."""
    for version, birth in ((2, 7), (3, 8), (4, 0)):
        hand_out(resting)
        before = resting.tick
        looks(resting, R, entry(b"c", version), births={b"c": birth} if birth else {})
        kept = {row.path: (row.birth_ns, row.size) for row in resting.backlog.rows_of(b"/r/c")}
        assert kept == {b"/r/c": (birth, version)}
        (row,) = pending(resting.backlog, before)
        assert (row.path, row.birth_ns) == (b"/r/c", birth)


def test_only_content_counts_where_that_is_wanted(tmp_path: Path) -> None:
    """A change of mode of all files is taken over, and nobody is told."""
    index = Index(tmp_path / "content.db", content_only=True)
    lists(index, R, *map(entry, NAMES))
    hand_out(index)
    before = said(index)
    index.begin()
    modes = [(name, FILE, 1, sum(name), 1, 1, 1, 50, False) for name in NAMES]
    index.records.looks(Looks(R, 300, *seen(modes), []), ())
    index.commit()
    assert (said(index), {row.ctime_ns for row in pending(index.backlog)}) == (before, {50})
    index.abandon()


# -- rule 8: checksums


_FLIPS = [column for column in Page._fields if column not in ("id", "crc")]


def _flip(index: Index, column: str) -> None:
    value = getattr(pages(index)[0], column)
    if isinstance(value, int):
        value ^= 4
    else:
        value = value[:-1] + bytes([value[-1] ^ 1])
    index.file.db.execute(f"UPDATE page SET {column}=?", (value,))


@pytest.mark.parametrize("column", _FLIPS)
def test_a_bit_that_flips_in_a_page_is_damage(resting: Index, column: str) -> None:
    """It is found when the page is read, and handled like a page of SQLite's: the index is set aside and built anew."""
    reading: dict[str, Callable[[], object]] = {
        "pending": lambda: pending(resting.backlog), "index_inodes": resting.tables.pages.index_inodes,
        "listing": lambda: lists(resting, R, *map(entry, NAMES)),
        "look": lambda: looks(resting, R, entry(b"b", 2)),
        "rows_at": lambda: resting.backlog.rows_at(0, [2]), "rows_of": lambda: resting.backlog.rows_of(b"/r/b"),
        "folded": lambda: resting.records.folds_to(Check(R, 1, 0, 6)),
    }  # fmt: skip
    _flip(resting, column)
    found = set()
    for name, read in reading.items():
        resting.begin()
        try:
            read()
        except sqlite3.DatabaseError as error:
            assert damaged(error)
            found.add(name)
        resting.rollback()
    # Where the place of a page is damaged, it may not be met on the way to one of its names.
    assert found >= {"dir": {"index_inodes"}, "lane": {"index_inodes", "listing"}}.get(column, {"pending", "listing"})


@pytest.mark.parametrize("value", ["text", b"x", -1, 2.5])
def test_columns_of_another_type_are_damage(resting: Index, value: object) -> None:
    """Whichever column, and whoever reads the page: there is no other exception, which would end the process at each start."""
    records, backlog = resting.records, resting.backlog
    reading: list[Callable[[], object]] = [
        lambda: pending(backlog), lambda: backlog.pending(0, 3, 2), lambda: backlog.count(0, 0, 6, 10),
        lambda: backlog.count(0, 0, 6, 10_000), lambda: backlog.rows_at(0, [2, 3]), lambda: backlog.rows_of(b"/r/b"),
        lambda: lists(resting, R, *map(entry, NAMES)), lambda: lists(resting, R, *(entry(name, 2) for name in NAMES)),
        lambda: looks(resting, R, entry(b"b", 2)), lambda: looks(resting, R, *(entry(name, 2) for name in NAMES[:2])),
        lambda: looks(resting, R, *(entry(name, 2) for name in NAMES)), lambda: looks(resting, R, absent=[b"b"]),
        lambda: records.scattered([Looks(R, 200, *seen([entry(name, 2)]), []) for name in NAMES]),
        lambda: records.folds_to(Check(R, 1, 0, 6)), resting.tables.pages.index_inodes,
    ]  # fmt: skip
    for column in Page._fields[1:]:
        found = 0
        for read in reading:
            with patch.object(resting.file, "commit", lambda **_: None):
                resting.begin()
                resting.file.db.execute(f"UPDATE page SET {column}=?", (value,))
                try:
                    read()
                except sqlite3.DatabaseError as error:
                    assert damaged(error)
                    found += 1
                resting.rollback()
        assert found > 0, column


def test_a_page_of_no_directory_is_damage(resting: Index) -> None:
    resting.file.db.execute("DELETE FROM directory")
    with pytest.raises(sqlite3.DatabaseError, match="of no directory") as raised:
        pending(resting.backlog)
    assert damaged(raised.value)


def test_rows_with_what_no_page_can_hold_stay_rows(resting: Index) -> None:
    """In a damaged file, say: a listing that finds them at rest does not end the process."""
    spread(resting.file.db)
    resting.file.db.execute("UPDATE entry SET at_ns='text'")
    lists(resting, R, *map(entry, NAMES))
    assert shape(resting) == ([], NAMES)


def test_an_entry_in_two_places_is_damage(resting: Index) -> None:
    (page,) = pages(resting)
    spread(resting.file.db)
    resting.tables.pages.add(page)
    with pytest.raises(sqlite3.DatabaseError, match="in a row and in page"):
        lists(resting, R, *[entry(name, 2) for name in NAMES[1:]])
    resting.rollback()


def test_a_reader_names_the_damage(resting: Index, tmp_path: Path) -> None:
    """The audit reads every page, and looks at the types of all columns; who asks for one is told to ask again."""
    with IndexReader(tmp_path / "index.db") as reader:
        assert reader.damage() == ""
        resting.file.db.execute("UPDATE directory SET path=CAST(path AS TEXT)")
        assert reader.damage() == "directory.path holds a value of another type"
        resting.file.db.execute("UPDATE directory SET path=CAST(path AS BLOB)")
        assert reader.names(R)
        _flip(resting, "stats")
        assert "checksum" in reader.damage()
        for ask in (lambda: reader.names(R), lambda: reader.at(R, b"b"), lambda: list(find(reader, [R], Wanted(["*"])))):
            with pytest.raises(ServiceError, match="checksum"):
                ask()


# -- rule 10: what was there before


def test_rows_of_an_older_index_become_pages_with_their_ticks(tmp_path: Path) -> None:
    """When a listing finds their directory at rest, in the transaction of that listing: a kill leaves the rows."""
    path = tmp_path / "index.db"
    index = Index(path)
    names = [b"%02d" % i for i in range(12)]
    lists(index, R, *map(entry, names), folder(b"00.d"))
    hand_out(index)
    looks(index, R, entry(names[7], 2))
    before = pending(index.backlog)
    spread(index.file.db)
    for table in ("page", "inode", "sought"):
        index.file.db.execute(f"DROP TABLE {table}")
    for column in ("inodes", "redo"):
        index.file.db.execute(f"ALTER TABLE state DROP COLUMN {column}")
    index.file.db.execute("UPDATE state SET schema=7")
    index.file.db.close()
    index = Index(path)
    assert (pending(index.backlog), shape(index)) == (before, ([], names))
    found = [entry(name, 1 + (name == names[7])) for name in names]
    for ends, shaped in ((index.rollback, ([], names)), (index.commit, ([names[:7], names[8:]], [names[7]]))):
        index.begin()
        index.records.listing(Listing(R, 300, *seen(sorted([*found, folder(b"00.d")]))), ())
        ends()
        assert (pending(index.backlog), shape(index)) == (before, shaped)
    index.abandon()


def _schema_8(index: Index) -> None:
    """Makes a file of schema 8 of it, and closes it."""
    for table in ("inode", "sought"):
        index.file.db.execute(f"DROP TABLE {table}")
    for column in ("inodes", "redo"):
        index.file.db.execute(f"ALTER TABLE state DROP COLUMN {column}")
    index.file.db.execute("UPDATE state SET schema=8")
    index.file.db.close()


def test_pages_of_schema_8_are_known_by_their_inodes_when_that_is_needed(tmp_path: Path) -> None:
    """There are pages in it where no file had several names."""
    index = Index(tmp_path / "index.db")
    lists(index, R, *map(entry, NAMES))
    hand_out(index)
    before = pending(index.backlog)
    _schema_8(index)
    index = Index(tmp_path / "index.db")
    assert (pending(index.backlog), shape(index), index.tables.inodes.used) == (before, ([NAMES], []), False)
    looks(index, b"/other", entry(b"link", nlink=2, ino=sum(b"c")))
    search(index)
    assert index.owed == {R: {b"c": (200, 200)}}
    index.abandon()


def test_rows_of_schema_8_come_to_rest_beside_files_with_several_names(tmp_path: Path) -> None:
    """There are no pages in it where a file had several names, but an index of all rows: nothing is to be sought."""
    names = [b"%02d" % number for number in range(12)]
    index = Index(tmp_path / "index.db")
    lists(index, R, *[entry(name, ino=100 + at) for at, name in enumerate(names)])
    looks(index, b"/other", entry(b"link", nlink=2, ino=105))
    search(index)
    found = [entry(name, ino=100 + at, nlink=1 + (at == 5)) for at, name in enumerate(names)]
    looks(index, R, found[5], at=300)
    hand_out(index)
    spread(index.file.db)
    before = pending(index.backlog)
    _schema_8(index)
    index = Index(tmp_path / "index.db")
    assert (index.debts.searching, index.tables.inodes.complete, index.owed) == (False, True, {})
    lists(index, R, *found, at=400)
    assert shape(index) == ([names[:5], names[6:]], [names[5], b"link"])
    assert pending(index.backlog) == before
    looks(index, b"/other", entry(b"another", nlink=2, ino=108), at=500)
    assert index.owed == {R: {names[8]: (500, 500)}}
    index.abandon()


def test_pages_of_schema_9_are_read_and_take_less_room_when_they_are_written(tmp_path: Path) -> None:
    """Their stats are stored as they are. A page that only shrinks stays so: its stats are not written."""
    index = Index(tmp_path / "index.db")
    lists(index, R, *map(entry, NAMES))
    lists(index, b"/s", *map(entry, NAMES))
    hand_out(index)
    plain = {page.dir: page.stats for page in pages(index)}
    for dir_, stats in plain.items():
        index.file.db.execute("UPDATE page SET stats=? WHERE dir=?", (stats, dir_))
    for column in ("inodes", "redo"):
        index.file.db.execute(f"ALTER TABLE state DROP COLUMN {column}")
    index.file.db.execute("ALTER TABLE state ADD COLUMN inodes INTEGER")
    index.file.db.execute("UPDATE state SET schema=9")
    before = pending(index.backlog)
    index.close()
    index = Index(tmp_path / "index.db")
    assert (pending(index.backlog), shape(index)) == (before, ([NAMES, NAMES], []))
    lists(index, R, *[entry(name, 2) for name in NAMES], at=300)
    looks(index, b"/s", entry(b"b", 2), at=300)
    stored = [length for (length,) in query(index, "SELECT length(stats) FROM page ORDER BY dir")]
    assert stored[0] < len(NAMES) * WIDTH == stored[1]
    assert shape(index) == ([NAMES, [name for name in NAMES if name != b"b"]], [b"b"])
    assert {row.path: row.size for row in pending(index.backlog)} == {
        **{b"/r/" + name: 2 for name in NAMES}, **{b"/s/" + name: 1 + (name == b"b") for name in NAMES}
    }  # fmt: skip
    index.abandon()


@pytest.mark.parametrize("place", range(0, 70, 3))
def test_a_bit_that_flips_in_stored_stats_is_damage(resting: Index, place: int) -> None:
    """Whether it says how they are stored, or is one of them."""
    ((stored,),) = query(resting, "SELECT stats FROM page")
    flipped = bytearray(stored)
    flipped[place % len(stored)] ^= 4
    for damage in (bytes(flipped), stored[:-1], stored + b"\0", b"", 5):
        resting.file.db.execute("UPDATE page SET stats=?", (damage,))
        with pytest.raises(sqlite3.DatabaseError, match="checksum") as raised:
            pending(resting.backlog)
        assert damaged(raised.value)


# -- readers in other processes


def test_other_processes_read_rows_and_pages(resting: Index, tmp_path: Path) -> None:
    """Names, one name, a path, directories, and what is found."""
    looks(resting, R, entry(b"b", 2), absent=[b"d"])
    lists(resting, b"/r/empty")
    with IndexReader(tmp_path / "index.db") as reader:
        there = {name: 1 + (name == b"b") for name in NAMES if name != b"d"}
        assert {name: stat[4] for (name, _), stat in reader.names(R).items()} == there
        assert reader.at(R, b"a") == {(b"a", 0): (FILE, 1, sum(b"a"), 1, 1, 1, 1)}
        assert reader.at(R, b"b")[b"b", 0][4] == 2
        assert (reader.at(R, b"d"), reader.at(b"/nowhere", b"a")) == ({}, {})
        (row,) = reader.rows(b"/r/c")
        assert (row.directory, row.kind, row.tick, row.at_ns, row.lane, row.is_event) == (False, FILE, 3, 100, 0, True)
        assert list(reader.directories()) == [R]
        found = [row for part in find(reader, [R], Wanted(["*"])) for row in part]
        assert {os.path.basename(row.path): row.size for row in found} == there
        assert [row.path for part in find(reader, [R], Wanted(["*"], larger=1)) for row in part] == [b"/r/b"]
        assert [row for part in find(reader, [R], Wanted(["*"], since_ns=3)) for row in part] == []


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_each_is_found_once_among_rows_and_pages(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """However few one portion may have, and wherever it ends."""
    monkeypatch.setattr(finding, "_ROWS", rows)
    names = [b"%02d" % i for i in range(20)]
    for number in range(4):
        lists(index, b"/r/%d" % number, *map(entry, names), folder(b"00.d"))
        for name in names[number::3]:
            looks(index, b"/r/%d" % number, entry(name, 2))
    assert len(pages(index)) == 4
    with IndexReader(tmp_path / "index.db") as reader:
        portions = list(find(reader, [R], Wanted(["*"])))
    assert max(map(len, portions)) <= rows
    assert sorted(row.path for portion in portions for row in portion) == [
        b"/r/%d/%s" % (number, name) for number in range(4) for name in names
    ]


def test_what_is_verified_is_in_rows_and_pages(resting: Index) -> None:
    """Whole directories and ranges fold to what was seen there."""
    looks(resting, R, entry(b"b", 2))
    found = [entry(name, 1 + (name == b"b"), dev=3) for name in NAMES]
    assert resting.records.folds_to(Check(R, 1, folded(seen(found)), 6))
    assert resting.records.folds_to(Check(R, 1, folded(seen(found[1:4])), 3, b"a", b"d"))
    assert not resting.records.folds_to(Check(R, 1, folded(seen(found[:5])), 5))
    assert not resting.records.folds_to(Check(R, 1, folded(seen([entry(n) for n in NAMES])), 6))


# -- other settings


def test_what_stays_in_scope_stays_in_its_page(tmp_path: Path) -> None:
    """What leaves it is told as deleted; a walk in any portions meets each entry once."""
    for limit in (1, 2, 5, 1000):
        path = tmp_path / f"{limit}.db"
        settings = Settings(roots=(R,), include=("*",), exclude=())
        index, _ = open_index(path, settings)
        work = refit(index, settings)
        while work is not None and work.step():
            pass
        lists(index, R, *map(entry, NAMES), folder(b"x"))
        lists(index, b"/r/x", *map(entry, NAMES))
        hand_out(index)
        work = refit(index, Settings(roots=(R,), include=("*",), exclude=("b", "/x/c")))
        assert work is not None
        while work.step(limit):
            pass
        assert work.left_out == 3
        gone = [row.path for row in pending(index.backlog) if row.kind == GONE]
        assert gone == [b"/r/b", b"/r/x/b", b"/r/x/c"]
        assert shape(index) == ([[b"a", b"c", b"d", b"e", b"f"], [b"a", b"d", b"e", b"f"]], [])
        index.abandon()


# -- who holds what


positions = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=4)


@given(
    positions, st.integers(1, 12), st.integers(0, 5), st.integers(-1, 20),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 12)), max_size=2),
)  # fmt: skip
def test_a_page_is_held_by_those_who_hold_each_entry(
    groups: list[tuple[int, int]], first: int, more: int, held: int, skipped: list[tuple[int, int, int]]
) -> None:
    """Or nothing is said of all of them at once."""
    holders = Holders()
    for bit, (begun, base) in enumerate(groups):
        holders.place(bit, begun, base)
    for bit, after, upto in skipped:
        if bit < len(groups):
            holders.skip(bit, 0, after, upto)
    each = {holders.superseded(0, tick, held, there=True) for tick in range(first, first + more + 1)}
    found = holders.superseded_alike(0, first, first + more, held)
    assert found is None or each == {found}
    if not skipped and all(not first <= tick <= first + more for pair in groups for tick in pair):
        assert found is not None
    alike = holders.alike_around(0, first, held)
    if alike is None:
        assert skipped
    else:
        assert alike.after < first <= alike.upto
        for tick in range(max(alike.after, -1) + 1, min(alike.upto, 20) + 1):
            assert holders.superseded_alike(0, min(first, tick), max(first, tick), held) == alike.held


def test_what_is_sealed_is_whole(resting: Index) -> None:
    """Also with more groups than an integer has bits."""
    (page,) = pages(resting)
    wide = page.again(page.stats, base=90, held=bytes(20), at_ns=5)
    others = (wide, wide._replace(held=bytes(21)), wide._replace(base=91))
    assert [checksum(other) == wide.crc for other in others] == [True, False, False]


def test_what_changes_here_and_there_stays_in_rows(index: Index) -> None:
    """A page of some of the files of a directory would be left again by the next that change; of nearly all, it is a page."""
    names = [b"f%d" % number for number in range(8)]
    for name in names:
        looks(index, b"/r/d", entry(name))
    looks(index, b"/r/d", *(entry(name, 2) for name in names[::2]), at=300)
    assert shape(index) == ([], names)
    looks(index, b"/r/d", *(entry(name, 3) for name in names if name != b"f1"), at=400)
    assert shape(index) == ([names[2:]], names[:2])
