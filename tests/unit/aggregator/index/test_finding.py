"""Files are found in the index by name, size and time, as the filter of a service would keep them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from entries import Entry, seen
from index_rows import query

from shardwatch.aggregator.index import finding
from shardwatch.aggregator.index.finding import FoundRow, Wanted
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.reading import IndexReader
from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.wire.frames import Listing, Looks

R = b"/r"
#: Directory -> its files. The size of a file is the length of its name, and its time of modification that many seconds.
TREE: dict[bytes, list[bytes]] = {
    R: [b"a.py", b"b.txt", b"Makefile", b"*.py", b"odd\xff.py"],
    R + b"/src": [b"a.py", b"ab.py", b"test_a.py", b"notes.md"],
    R + b"/src/deep": [b"a.py", b"x.json"],
    R + b"/src/deep/build": [b"out.o", b"a.py"],
    R + b"/x.py": [b"inside.txt", b"a.py"],  # a directory with the name of a module
    R + b"/build": [b"b1", b"b2", b"b3", b"b4", b"b5"],
}
PATTERNS = [
    ["*"], ["*.py"], ["*.md", "Makefile"], ["test_*"], ["a.py"], ["/a.py"], ["src"], ["src/"], ["/src/**"], ["**/deep/*.py"],
    ["*.py", "!test_*"], ["*.py", "!/src/**"], ["[a-m]*"], ["?.py"], ["build", "*.md"], ["nothing"], ["!a.py"], ["b*1"],
    ["src/*/a.py"], ["\\*.py"],
]  # fmt: skip


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index of `TREE`."""
    index = Index(tmp_path / "index.db")
    index.begin()
    for path, names in TREE.items():
        entries = [_file(name) for name in names]
        entries += [_folder(other[len(path) + 1 :]) for other in TREE if other.rpartition(b"/")[0] == path]
        index.records.listing(Listing(path, 100, *seen(sorted(entries))), ())
    index.commit()
    yield index
    index.abandon()


@pytest.fixture
def reader(index: Index, tmp_path: Path) -> Iterator[IndexReader]:
    """Another process's view of it."""
    with IndexReader(tmp_path / "index.db") as reader:
        yield reader


def _file(name: bytes, size: int | None = None) -> Entry:
    size = len(name) if size is None else size
    return (name, FILE, 1, int.from_bytes(name[:4], "big"), 1, size, size * 10**9, 50, False)


def _folder(name: bytes) -> Entry:
    return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)


def _found(reader: IndexReader, wanted: Wanted) -> list[FoundRow]:
    return [row for page in finding.find(reader, [R], wanted) for row in page]


def _paths(reader: IndexReader, *patterns: str, larger: int = -1, since_ns: int | None = None) -> list[bytes]:
    return sorted(row.path for row in _found(reader, Wanted(patterns, larger, since_ns)))


@pytest.mark.parametrize("patterns", PATTERNS, ids=" ".join)
def test_what_is_found_is_what_a_service_with_these_patterns_would_watch(reader: IndexReader, patterns: list[str]) -> None:
    """Whatever SQLite sorts out beforehand, the answer is the filter's."""
    keeps = Filter(patterns, ()).keeps
    every = [(path + b"/" + name)[len(R) + 1 :] for path, names in TREE.items() for name in names]
    assert _paths(reader, *patterns) == sorted(R + b"/" + relative for relative in every if keeps(relative))


@pytest.mark.parametrize(("directories", "rows"), [(1, 20_000), (2, 1), (5_000, 1), (3, 2), (1, 5)])
def test_each_file_is_found_once_however_small_the_pages_are(
    reader: IndexReader, monkeypatch: pytest.MonkeyPatch, directories: int, rows: int
) -> None:
    """A page ends anywhere: in a directory, after one, or where nothing matches."""
    monkeypatch.setattr(finding, "_DIRECTORIES", directories)
    monkeypatch.setattr(finding, "_ROWS", rows)
    assert _paths(reader, "*") == sorted(path + b"/" + name for path, names in TREE.items() for name in names)
    assert _paths(reader, "*.md") == [R + b"/src/notes.md"]
    assert all(len(page) <= rows for page in finding.find(reader, [R], Wanted(["*"])))


def test_size_and_time_are_compared_with_their_bounds(reader: IndexReader) -> None:
    """Larger means more bytes than that; the time itself counts as within."""
    assert _paths(reader, "*.py", "!inside.txt", larger=6) == [R + b"/odd\xff.py", R + b"/src/test_a.py"]
    assert _paths(reader, "*", since_ns=9 * 10**9) == [R + b"/src/test_a.py", R + b"/x.py/inside.txt"]
    assert _paths(reader, "*", larger=9, since_ns=9 * 10**9) == [R + b"/x.py/inside.txt"]
    assert _paths(reader, "*", since_ns=10**9 * 10 + 1) == []


def test_a_row_is_told_as_the_index_has_it(reader: IndexReader, index: Index) -> None:
    """Path, size, times and tick of the last change."""
    (row,) = _found(reader, Wanted(["notes.md"]))
    assert row[:4] == (R + b"/src/notes.md", 8, 8 * 10**9, 100)
    assert row.tick in {found.tick for found in index.backlog.pending(0, 0, 1000).rows if found.path == row.path}


def test_what_is_gone_is_not_found_and_what_came_is(reader: IndexReader, index: Index) -> None:
    """Also where a group is still to be told of the deletion, so that a tombstone stands in the index."""
    index.backlog.holders.place(0, index.tick, index.tick)
    index.backlog.note_handed(0, index.tick)
    index.begin()
    index.records.looks(Looks(R, 200, *seen([_file(b"new.md", 3)]), [b"a.py"]), ())
    index.commit()
    assert any(row.kind == 0 for row in index.backlog.pending(0, 0, 1000).rows)
    assert _paths(reader, "/*.md", "/a.py") == [R + b"/new.md"]


def test_a_search_that_is_read_slowly_holds_up_no_writer(
    reader: IndexReader, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pages no transaction is open: what is written meanwhile is found, and the log can be moved into the file."""
    monkeypatch.setattr(finding, "_DIRECTORIES", 1)
    pages = finding.find(reader, [R], Wanted(["*"]))
    first = next(pages)
    last = query(index, "SELECT path FROM directory ORDER BY id DESC LIMIT 1")[0][0]
    index.begin()
    index.records.looks(Looks(last, 200, *seen([_file(b"later", 5)]), []), ())
    index.commit()
    assert query(index, "PRAGMA wal_checkpoint(TRUNCATE)") == [(0, 0, 0)]
    found = [row.path for page in (first, *pages) for row in page]
    assert last + b"/later" in found
    assert len(found) == len(set(found)) == 1 + sum(map(len, TREE.values()))


def test_an_index_that_is_damaged_is_an_error_in_one_line(reader: IndexReader, index: Index) -> None:
    """No traceback of SQLite, but what to do."""
    query(index, "DROP TABLE entry")
    with pytest.raises(ServiceError, match=r"index\.db can't be read: no such table"):
        _found(reader, Wanted(["*"]))
