"""The two short cuts of `index.plain` against the general way: the same records leave the same rows, ticks and counts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from entries import Entry, seen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from index_rows import query

from shardwatch.aggregator.index import page, plain, records
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.resting import Resting
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


def outcome(path: Path, todo: list[object]) -> tuple[object, ...]:
    """Rows, ticks and counts after these steps."""
    index = Index(path)
    try:
        for step in todo:
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
    with patch.object(plain, "populate", return_value=None):
        assert short == outcome(tmp_path / "general.db", todo)


@settings(max_examples=300)
@example([Listing(b"/r", 5, *seen(FOUND)), Looks(b"/r", 6, *seen(MOVED), []), Looks(b"/r", 6, *seen(TAKEN), [])], 4, 4)
@given(steps(), st.integers(1, 4), st.integers(1, 4))
def test_short_cuts_change_nothing(todo: list[object], least: int, most: int) -> None:
    """Whatever is listed, looked at and handed over, in any order; however large pages are, and without any."""
    with tempfile.TemporaryDirectory() as home:
        with patch.multiple(page, ENTRIES_MIN=least, ENTRIES_MAX=max(least, most)):
            short = outcome(Path(home, "short.db"), todo)
            with patch.object(plain, "populate", return_value=None), patch.object(plain, "rewrite", return_value=None):
                assert outcome(Path(home, "general.db"), todo) == short
                general = patch.object(records, "is_at_rest", return_value=False)
                with general, patch.object(Resting, "settle", return_value=frozenset()):
                    assert outcome(Path(home, "entries.db"), todo) == short
        with patch.multiple(page, ENTRIES_MIN=1_000):
            assert outcome(Path(home, "rows.db"), todo) == short
