"""What changed last is handed out from memory, and is exactly what the index would have read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from entries import Entry, seen
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.newest import BYTES_MAX, BYTES_MAX_EXPANDED, Newest
from shardwatch.aggregator.index.page import make
from shardwatch.aggregator.index.portion import Portion, total
from shardwatch.aggregator.index.row import Row
from shardwatch.shard.contract.files.packed import FILE, pack
from shardwatch.shard.contract.wire.frames import Confirmed, Listing, Looks

R = b"/r"
NAMES = [b"a", b"b", b"c", b"d", b"e", b"f"]
DIRECTORIES = [b"/", b"/r", b"/r/s"]


def entry(name: bytes, version: int, *, ino: int = 0, nlink: int = 1, racy: bool = False) -> Entry:
    return (name, FILE, 1, ino or sum(name), nlink, version, version, version, racy)


def row(tick: int, lane: int = 0) -> Row:
    return Row(tick, lane, 0, FILE, 0, b"/r/%d" % tick, 1, 2, 3, 4, 5, 6, 0)


def ticks(newest: Newest, after: int, upto: int, *, lane: int = 0, limit: int = 1_000_000) -> list[int] | None:
    pieces = newest.pending(lane, after, upto, limit)
    return None if pieces is None else [row.tick for piece in pieces for row in piece]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "index.db")
    yield index
    index.abandon()


# -- what is kept


def test_rows_are_kept_from_the_first_note_on() -> None:
    """In the order of ticks, of one lane, and at most as many as are wanted."""
    newest = Newest(10)
    newest.note_rows([row(11), row(12)])
    newest.note_page(make(1, 0, 13, -1, 5, NAMES, b"".join(pack(1, 2, 3, 4, 5, 1, FILE, 0) for _ in NAMES)), R)
    newest.note_rows([row(19, lane=7)])
    newest.note_rows([row(20)])
    assert ticks(newest, 10, 20) == [*range(11, 19), 20]
    assert ticks(newest, 14, 20, limit=3) == [15, 16, 17]
    assert (ticks(newest, 11, 20, limit=1), ticks(newest, 18, 20), ticks(newest, 10, 20, lane=7)) == ([12], [20], [19])
    assert ticks(newest, 9, 20) is None  # it can't know what came before


def test_a_tick_of_which_nothing_was_said_ends_what_is_kept() -> None:
    """Whoever gives ticks need not tell."""
    newest = Newest(0)
    newest.note_rows([row(1)])
    assert ticks(newest, 0, 2) is None
    newest.note_rows([row(3)])
    assert (ticks(newest, 0, 3), ticks(newest, 1, 3), ticks(newest, 2, 3)) == (None, None, [3])


def test_what_changes_is_kept_no_longer_nor_what_is_older() -> None:
    newest = Newest(0)
    for tick in range(1, 6):
        newest.note_rows([row(tick)])
    newest.forget(3)
    assert (ticks(newest, 2, 5), ticks(newest, 3, 5)) == (None, [4, 5])
    newest.forget(3)
    newest.forget(6)
    assert ticks(newest, 3, 5) == [4, 5]
    newest.forget(5)
    assert (ticks(newest, 4, 5), ticks(newest, 5, 5)) == (None, [])


def kept(newest: Newest, upto: int) -> int:
    """How many of the rows up to this tick are kept."""
    return next(upto - after for after in range(upto + 1) if ticks(newest, after, upto) is not None)


def test_what_is_kept_is_bounded_and_given_back() -> None:
    """It may be more during a burst."""
    counts = []
    newest = Newest(0)
    count = 3 * BYTES_MAX // 512
    for tick in range(1, count + 1):
        newest.note_rows([row(tick)])
        counts.append(kept(newest, tick))
    assert BYTES_MAX // 1024 - 1 <= min(counts[BYTES_MAX // 512 :]) <= max(counts) <= BYTES_MAX // 512
    newest.expand()
    more = 2 * BYTES_MAX_EXPANDED // 512
    for tick in range(count + 1, count + more + 1):
        newest.note_rows([row(tick)])
    upto = count + more
    assert ticks(newest, upto - BYTES_MAX_EXPANDED // 1024 + 1, upto) is not None
    assert ticks(newest, upto - BYTES_MAX_EXPANDED // 512 - 1, upto) is None
    newest.shrink()
    assert (ticks(newest, upto - 1, upto), ticks(newest, upto, upto)) == (None, [])


# -- what the index hands out


def lists(index: Index, path: bytes, *entries: Entry, at: int = 100) -> None:
    index.begin()
    index.records.listing(Listing(path, at, *seen(sorted(entries))), ())


def looks(index: Index, path: bytes, *entries: Entry, absent: Sequence[bytes] = (), at: int = 200) -> None:
    index.begin()
    index.records.looks(Looks(path, at, *seen(sorted(entries)), list(absent)), ())


def hand_out(index: Index, tick: int) -> None:
    """A group has been handed everything up to this tick."""
    index.backlog.note_handed(0, tick)
    index.backlog.holders.reach(0, 0, tick)


def portions(index: Index) -> list[Portion]:
    """Whatever a group may ask, in one list."""
    asked = [(after, limit) for after in range(index.tick + 1) for limit in (1, 3, 1_000)]
    return [
        Portion([found.rows], found.upto, found.end)
        for after, limit in asked
        for found in [index.backlog.pending(0, after, limit)]
    ]


def statements(index: Index, after: int, limit: int = 1_000) -> tuple[int, int]:
    """How many statements a look costs, and how many rows it finds."""
    said: list[str] = []
    index.file.db.set_trace_callback(said.append)
    found = total(index.backlog.pending(0, after, limit).pieces)
    index.file.db.set_trace_callback(None)
    return len(said), found


@pytest.mark.parametrize("names", [NAMES, NAMES[:4], NAMES[:2], NAMES[:1]], ids=["all", "most", "few", "one"])
def test_a_group_that_has_come_to_them_reads_nothing(index: Index, names: list[bytes]) -> None:
    """Whole pages, and files that were rewritten here and there. A group that is behind reads the index."""
    index.backlog.holders.place(0, 0, 0)
    lists(index, R, *[entry(name, 1) for name in NAMES])
    index.commit()
    for version in range(2, 5):
        hand_out(index, index.tick)
        behind, head = 0, index.tick
        looks(index, R, *[entry(name, version) for name in names])
        index.commit()
        assert statements(index, head) == (0, len(names))
        count, found = statements(index, behind)
        assert count > 0
        assert found == len(NAMES)


def test_files_of_many_directories_that_change_together_are_handed_out_together(index: Index) -> None:
    """As one piece, since each piece costs a group as much as a row or two; be they in pages or rows before."""
    index.backlog.holders.place(0, 0, 0)
    paths = [b"/r/%d" % number for number in range(8)]
    for path in paths:
        lists(index, path, *[entry(name, 1) for name in NAMES])
    for version in (2, 3):
        index.commit()
        hand_out(index, index.tick)
        head = index.tick
        index.begin()
        records = [Looks(path, 200, *seen([entry(b"a", version)]), []) for path in paths]
        assert index.records.scattered(records) == []
        index.commit()
        (piece,) = index.backlog.pending(0, head, 1_000).pieces
        assert [row.path for row in piece] == [path + b"/a" for path in paths]
        assert statements(index, head) == (0, len(paths))


def test_memory_is_given_back_after_the_work(index: Index) -> None:
    """What was kept is read from the index then, and is the same."""
    index.backlog.holders.place(0, 0, 0)
    lists(index, R, *[entry(name, 1) for name in NAMES])
    index.commit()
    hand_out(index, index.tick)
    looks(index, R, *[entry(name, 2) for name in NAMES])
    index.commit()
    kept_ = portions(index)
    index.shrink()
    assert statements(index, index.tick - 1)[0] > 0
    assert portions(index) == kept_


#: What a record says of a file that it names: it was written, or something about it is new that is not its content; and whether
#: the record is one of many that each name few files.
WAYS = ["written", "written", "written", "chmod", "chmod", "device", "racy", "linked"]


class Tree:
    """Three directories of an index, and how each of their files was seen last. The group has everything."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._last = {(path, name): entry(name, 1) for path in DIRECTORIES for name in NAMES}
        self._version = 1
        index.backlog.holders.place(0, 0, 0)
        for path in DIRECTORIES:
            lists(index, path, *[self._last[path, name] for name in NAMES])
        self.hand_out()

    def hand_out(self) -> None:
        self._index.commit()
        hand_out(self._index, self._index.tick)

    def see(self, path: bytes, name: bytes, way: str) -> Entry:
        """How a file is seen next."""
        self._version += 1
        _, kind, dev, ino, _, size, mtime, ctime, _ = self._last[path, name]
        match way:
            case "chmod":
                found = (name, kind, dev, ino, 1, size, mtime, self._version, False)
            case "device":
                found = (name, kind, dev + 1, ino, 1, size, mtime, ctime, False)
            case _:
                nlink = 2 if way == "linked" else 1
                found = entry(name, self._version, ino=ino, nlink=nlink, racy=way == "racy")
        self._last[path, name] = found
        return found

    def tell(self, record: str, path: bytes, names: list[bytes], way: str) -> None:
        """A record of some kind."""
        index, at = self._index, self._version
        match record:
            case "look":
                looks(index, path, *[self.see(path, name, way) for name in names], at=at)
            case "list":
                lists(index, path, *[self.see(path, name, way) for name in names], at=at)
            case "absent":
                looks(index, path, absent=names, at=at)
            case "confirm":
                index.begin()
                index.records.confirmed(Confirmed(path, at, *seen([self._last[path, name] for name in sorted(names)])))
            case _:
                each = [(directory, name) for directory in DIRECTORIES for name in names]
                records = [Looks(directory, at, *seen([self.see(directory, name, way)]), []) for directory, name in each]
                index.begin()
                for left in index.records.scattered(records):
                    index.records.looks(left, ())


RECORDS = st.tuples(
    st.sampled_from(["look", "look", "look", "scattered", "list", "absent", "confirm"]),
    st.sampled_from(DIRECTORIES),
    st.one_of(st.just(NAMES), st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True)),
    st.sampled_from(WAYS),
    st.booleans(),
)


@given(records=st.lists(RECORDS, min_size=2, max_size=12), content_only=st.booleans())
def test_what_is_handed_out_from_memory_is_what_the_index_holds(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, bytes, list[bytes], str, bool]], content_only: bool
) -> None:
    """Same rows, same order, same ends; whatever has changed in whatever way since."""
    index = Index(tmp_path_factory.mktemp("newest") / "index.db", content_only=content_only)
    index.file.db.execute("PRAGMA synchronous=OFF")
    tree = Tree(index)
    for record, path, names, way, passed in records:
        tree.tell(record, path, names, way)
        if passed:
            tree.hand_out()
    index.commit()
    found = portions(index)
    index.shrink()
    assert portions(index) == found
    index.abandon()


@pytest.mark.parametrize("content_only", [False, True], ids=["all counts", "content only"])
@pytest.mark.parametrize("way", sorted(set(WAYS)))
@pytest.mark.parametrize("record", ["look", "scattered", "list"])
@pytest.mark.parametrize("count", [1, 4, 6])
def test_what_is_said_of_the_newest_once_more_counts(
    tmp_path: Path, record: str, way: str, count: int, content_only: bool
) -> None:
    """Before or after a group has come to it, and also if no group is told of it."""
    index = Index(tmp_path / "index.db", content_only=content_only)
    index.file.db.execute("PRAGMA synchronous=OFF")
    tree = Tree(index)
    for first in ("look", "scattered"):
        for passed in (False, True):
            tree.hand_out()
            tree.tell(first, R, NAMES[:count], "written")
            if passed:
                tree.hand_out()
            index.commit()
            tree.tell(record, R, NAMES[:count], way)
            index.commit()
            found = portions(index)
            index.shrink()
            assert portions(index) == found
    index.abandon()
