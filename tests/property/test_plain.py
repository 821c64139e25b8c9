"""The short cuts of `index.plain` and `index.scattered` against the general way: the same records leave the same rows, ticks and
counts."""

from __future__ import annotations

import tempfile
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from entries import Entry, seen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from index_rows import pages, query

from shardwatch.aggregator.index import page, plain
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.resting import Resting
from shardwatch.aggregator.index.scattered import Scattered, suits
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK
from shardwatch.shard.contract.wire.frames import Listing, Looks

NAMES = [b"a.json", b"b.json", b"c.json", b"dir", b"e.json"]
DIRECTORIES = [b"/r", b"/r", b"/r/dir"]


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Some names: all of them plain files, mostly, else also links, directories and files with a second name."""
    odd = draw(st.integers(0, 3)) == 0
    made: list[Entry] = []
    for number, name in enumerate(draw(st.lists(st.sampled_from(NAMES), unique=True).map(sorted))):
        kind = draw(st.sampled_from([FILE, FILE, LINK, DIRECTORY])) if odd else FILE
        if kind == DIRECTORY:
            made.append((name, DIRECTORY, 0, 0, 0, 0, 0, 0, False))
            continue
        version, nlink = draw(st.integers(1, 2)), draw(st.integers(1, 2)) if odd else 1
        made.append((name, kind, 1, number, nlink, version, version, version, draw(st.booleans())))
    return made


@st.composite
def steps(draw: st.DrawFn) -> list[object]:
    """Records, and hand-overs (an int: up to which part of the ticks)."""
    one = st.one_of(
        st.builds(lambda path, found: Listing(path, 5, *seen(found)), st.sampled_from(DIRECTORIES), entries()),
        st.builds(lambda path, found: Looks(path, 6, *seen(found), []), st.sampled_from(DIRECTORIES), entries()),
        st.builds(lambda path, found: Looks(path, 7, *seen(found), [b"absent.json"]), st.sampled_from(DIRECTORIES), entries()),
        st.integers(0, 3),
    )
    found: list[object] = [*draw(st.lists(one, min_size=3, max_size=10))]
    if draw(st.booleans()):
        return found + found  # as when a shard starts again
    return found


def outcome(path: Path, todo: list[object], *, together: bool = False) -> tuple[object, ...]:
    """Rows, ticks and counts after these steps. `together`: listings that follow one another are given at once, as those of a
    frame are: where new directories are expected, and else where some may be as they were."""
    index = Index(path)
    try:
        written = 0
        for at, step in enumerate(todo):
            if written:
                written -= 1
                continue
            if together:
                run: list[Any] = list(takewhile(lambda one: isinstance(one, Listing), todo[at:]))
                records = index.records
                index.begin()
                written = records.first(run) if records.expects_first else records.held(run)
                index.commit()
                if written:
                    written -= 1
                    continue
            if isinstance(step, int):
                index.backlog.note_handed(0, index.tick * step // 3)
                continue
            index.begin()
            (index.records.listing if isinstance(step, Listing) else index.records.looks)(step, ())  # type: ignore[arg-type]
            index.commit()
            while index.debts.searching:
                index.debts.search(index.begin, index.commit)
        rows = query(
            index, "SELECT d.path, e.* FROM every e JOIN directory d ON d.id=e.dir ORDER BY d.path, name, directory"
        )
        return (rows, index.tick, index.files, index.directories, {p: sorted(n) for p, n in index.owed.items()})
    finally:
        index.close()


#: A file takes over the inode of one with two names (found by a run of this test).
FOUND: list[Entry] = [
    (b"a.json", FILE, 1, 0, 2, 1, 1, 1, False),
    (b"b.json", FILE, 1, 1, 1, 1, 1, 1, False),
    (b"dir", DIRECTORY, 0, 0, 0, 0, 0, 0, False),
]
MOVED: list[Entry] = [(b"dir", FILE, 1, 0, 1, 1, 1, 1, False)]
TAKEN: list[Entry] = [(b"b.json", FILE, 1, 0, 1, 1, 1, 1, False), (b"dir", FILE, 1, 1, 1, 1, 1, 1, False)]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 250])
def test_a_first_listing_of_many_names(count: int, tmp_path: Path) -> None:
    """More and fewer than one statement inserts, with directories among them; no two values are the same."""
    found: list[Entry] = []
    for number in range(count):
        name, value = b"n%03d" % number, 10 * number
        found.append((name, FILE, value + 1, value + 2, 1, value + 3, value + 4, value + 5, number % 7 == 0))
        if number % 5 == 4:
            found.append((name + b".d", DIRECTORY, 0, 0, 0, 0, 0, 0, False))
    todo: list[object] = [Listing(b"/r", 5, *seen(found)), Listing(b"/r/n004.d", 6, *seen(found[:1]))]
    short = outcome(tmp_path / "short.db", todo)
    todo = [Listing(b"/first", 4, [], b""), *todo]
    together = outcome(tmp_path / "together.db", todo, together=True)
    with patch.object(plain, "populate", return_value=None), patch.object(plain, "makes_one", return_value=False):
        assert short == outcome(tmp_path / "general.db", todo[1:])
        assert together == outcome(tmp_path / "general, too.db", todo)


@settings(max_examples=300)
@example([Listing(b"/r", 5, *seen(FOUND)), Looks(b"/r", 6, *seen(MOVED), []), Looks(b"/r", 6, *seen(TAKEN), [])], 4, 4)
@given(steps(), st.integers(1, 4), st.integers(1, 4))
def test_short_cuts_change_nothing(todo: list[object], least: int, most: int) -> None:
    """Whatever is listed, looked at and handed over, in any order; however large pages are, and without any."""
    with tempfile.TemporaryDirectory() as home:
        with patch.multiple(page, ENTRIES_MIN=least, ENTRIES_MAX=max(least, most)):
            short = outcome(Path(home, "short.db"), todo)
            assert outcome(Path(home, "together.db"), todo, together=True) == short
            with patch.object(plain, "populate", return_value=None), patch.object(plain, "rewrite", return_value=None):
                assert outcome(Path(home, "general.db"), todo) == short
                with patch.multiple(Resting, holds=Mock(return_value=False), settle=Mock(return_value=frozenset())):
                    assert outcome(Path(home, "entries.db"), todo) == short
        with patch.multiple(page, ENTRIES_MIN=1_000):
            assert outcome(Path(home, "rows.db"), todo) == short


@st.composite
def scattered(draw: st.DrawFn) -> list[Looks]:
    """Looks at names of many directories, as a frame of a burst in random order has them."""
    looks = []
    for number in draw(st.lists(st.integers(0, 7), min_size=4, max_size=8)):
        if found := draw(entries())[: draw(st.sampled_from([2, 3, 5]))]:
            looks.append(Looks(b"/r/d%d" % number, 6, *seen(found), []))
    return looks


def _first(number: int) -> Listing:
    """All that `entries` may have, as plain files: their inode numbers are not those of other directories."""
    files: list[Entry] = [(name, FILE, 1, 100 * number + i, 1, 9, 9, 9, False) for i, name in enumerate(NAMES)]
    return Listing(b"/r/d%d" % number, 5, *seen(files))


def _told(index: Index, looks: list[Looks], *, may_defer: bool = False) -> list[Looks]:
    """Applies looks as the receiver does; returns those that were left by the short cut."""
    index.begin()
    left = index.records.scattered([one for one in looks if suits(one)])
    for one in [*left, *(one for one in looks if not suits(one))]:
        index.records.looks(one, ())
    index.commit(may_defer=may_defer)
    return left


def _state(index: Index, since: int) -> tuple[object, ...]:
    """All rows, with whether they changed since a tick instead of their ticks, which may be given in another order, and some to
    no row; counts."""
    sql = (
        f"SELECT d.path, name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, tick>{since}, held, at_ns,"
        " birth_ns FROM every e JOIN directory d ON d.id=e.dir ORDER BY d.path, name, directory"
    )
    ticks = [row[0] for row in query(index, "SELECT tick FROM every WHERE lane IS NOT NULL ORDER BY tick")]
    assert len(set(ticks)) == len(ticks)
    assert ticks[-1:] <= [index.tick]
    return query(index, sql), index.files, index.directories, index.file.written


def _stored(index: Index) -> tuple[object, ...]:
    """All that the next start finds."""
    return query(index, "SELECT * FROM every ORDER BY dir, name, directory"), index.files, index.directories, index.owed.keys()


@settings(max_examples=25)
@given(st.lists(st.tuples(scattered(), st.booleans()), min_size=1, max_size=6), st.booleans())
def test_records_that_are_applied_together_change_what_each_would(frames: list[tuple[list[Looks], bool]], paged: bool) -> None:
    """Known and unknown names, links, directories, files with two names, the same file twice in a frame; in rows and in pages. Of
    two groups, the second lags behind. Where commits may be deferred, a crash changes nothing."""
    with tempfile.TemporaryDirectory() as home, patch.multiple(page, ENTRIES_MIN=4 if paged else 1_000):
        together, single = Index(Path(home, "together.db")), Index(Path(home, "single.db"))
        for index in (together, single):
            index.begin()
            for number in range(6):  # two of the directories are new
                index.records.listing(_first(number), ())
            index.commit()
            for group in (0, 1):
                index.backlog.holders.place(group, 0, 0)
        since, before = (together.tick, single.tick), (0, 0)
        for looks, handed in frames:
            for index, now, earlier in zip((together, single), since, before, strict=True):
                index.backlog.note_handed(0, now if handed else 0)
                for group, tick in enumerate((now, earlier)) if handed else ():
                    index.backlog.holders.reach(group, 0, tick)
            _told(together, looks, may_defer=True)
            with patch.object(Scattered, "rewrite", lambda self, records: (list(records), 0)):
                _told(single, looks)
            assert _state(together, since[0]) == _state(single, since[1])
            since, before = (together.tick, single.tick), since
        stored, tick = _stored(together), together.tick
        together.abandon()
        together = Index(Path(home, "together.db"))
        assert (_stored(together), together.file.found_tick) == (stored, tick)
        for index in (together, single):
            index.close()


def test_files_of_many_directories_are_read_and_written_together(tmp_path: Path) -> None:
    """100 files, each of another directory: four statements read them, one writes what has changed; whether they are in rows, or
    leave their pages. They are looked for first where most of those before them were. No group has been handed any: else those
    in rows would not be read."""
    index = Index(tmp_path / "index.db")
    statements: list[str] = []
    try:
        index.begin()
        for number in range(100):
            index.records.listing(Listing(b"/d%d" % number, 1, *seen([(b"f", FILE, 1, number, 1, 1, 1, 1, False)])), ())
        names = [b"%02d" % i for i in range(10)]
        for number in range(100):
            files: list[Entry] = [(name, FILE, 1, 1_000 + 10 * number + i, 1, 1, 1, 1, False) for i, name in enumerate(names)]
            index.records.listing(Listing(b"/p%d" % number, 1, *seen(files)), ())
        index.file.db.set_trace_callback(statements.append)

        def count(*beginnings: str) -> list[int]:
            return [sum(text.startswith(beginning) for text in statements) for beginning in beginnings]

        for size in (2, 2, 3):
            rewritten = [Looks(b"/d%d" % n, 2, *seen([(b"f", FILE, 1, n, 1, size, size, size, False)]), []) for n in range(100)]
            assert index.records.scattered(rewritten) == []
        # Of 64, 16, 16 and 4 files; what is as it was is not written.
        assert count("SELECT e.dir", "UPDATE entry", "SELECT p.id") == [3 * 4, 2 * 100, 0]
        for name in (3, 4):
            stats = [(1_000 + 10 * n + name, 2, 2, 2) for n in range(100)]
            paged = [
                Looks(b"/p%d" % n, 3, *seen([(b"%02d" % name, FILE, 1, ino, 1, size, mtime, ctime, False)]), [])
                for n, (ino, size, mtime, ctime) in enumerate(stats)
            ]
            statements.clear()
            assert index.records.scattered(paged) == []
            assert count("INSERT INTO entry", "UPDATE page", "SELECT p.id") == [100, 100, 4]
            assert count("SELECT e.dir") == [4 if name == 3 else 0]
        assert [page.live.count(1) for page in pages(index)] == [8] * 100
        index.commit()
    finally:
        index.file.db.set_trace_callback(None)
        index.close()
