"""The index on disk: rows, ticks, tombstones, debts, its schema, and what a crash leaves."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from entries import Entry, seen
from index_rows import change_closed, query

from shardwatch.aggregator.index import debts, directory_table, entries
from shardwatch.aggregator.index import schema as index_schema
from shardwatch.aggregator.index.holders import ALL
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import RootFinder, fingerprint, keeper, lane_function, open_index, refit, refitted
from shardwatch.aggregator.index.refit import Refit
from shardwatch.aggregator.index.row import Row
from shardwatch.aggregator.index.schema import CACHE_KIB, CACHE_KIB_EXPANDED, IndexVersionError
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.fold import folded
from shardwatch.shard.contract.wire.frames import Check, Gone, Listing, Looks, Verified

R = b"/r"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An empty index."""
    index = Index(tmp_path / "index.db")
    yield index
    index.abandon()


def entry(name: bytes, version: int = 1, *, ino: int = 0, nlink: int = 1, ctime: int = 0) -> Entry:
    return (name, FILE, 1, ino or int.from_bytes(name[:4], "big"), nlink, version, version, ctime or version, False)


def folder(name: bytes) -> Entry:
    return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)


def lists(index: Index, path: bytes, *entries: Entry, at: int = 100, stops: tuple[bytes, ...] = (), **bounds: Any) -> None:
    index.begin()
    index.records.listing(Listing(path, at, *seen(sorted(entries)), **bounds), stops)
    index.commit()


def looks(
    index: Index, path: bytes, *entries: Entry, absent: tuple[bytes, ...] = (), at: int = 200, stops: tuple[bytes, ...] = ()
) -> None:
    index.begin()
    index.records.looks(Looks(path, at, *seen(entries), list(absent)), stops)
    index.commit()


def living(index: Index) -> dict[bytes, int]:
    """Path -> size, of what exists."""
    sql = "SELECT d.path, e.name, e.size FROM every e JOIN directory d ON d.id=e.dir WHERE e.kind<>0"
    return {p + b"/" + n: size for p, n, size in query(index, sql)}


def pending(index: Index, after: int = 0, lane: int = 0) -> list[Row]:
    return list(index.backlog.pending(lane, after, 1000).rows)


def hand_out(index: Index) -> None:
    """Some group was handed everything."""
    index.backlog.note_handed(0, index.tick)


# -- rows


def test_a_listing_is_the_whole_truth_of_its_directory(index: Index) -> None:
    """Rule 1: what it does not name is not there."""
    lists(index, R, entry(b"a"), entry(b"b"), folder(b"d"))
    lists(index, R, entry(b"b", 2), entry(b"c"))
    assert living(index) == {b"/r/b": 2, b"/r/c": 1}
    assert (index.files, index.directories) == (2, 0)


def test_a_range_says_nothing_of_other_names(index: Index) -> None:
    """A directory of 10,000 entries comes in parts."""
    lists(index, R, *[entry(b"%02d" % i) for i in range(10)])
    lists(index, R, entry(b"03", 2), after=b"02", upto=b"05")
    assert sorted(living(index)) == [b"/r/%02d" % i for i in (0, 1, 2, 3, 6, 7, 8, 9)]
    lists(index, R, entry(b"09", 2), after=b"08")
    lists(index, R, upto=b"01")
    assert sorted(living(index)) == [b"/r/%02d" % i for i in (2, 3, 6, 7, 8, 9)]


@pytest.mark.parametrize("many", [3, 100])
def test_looks_say_nothing_of_names_that_they_do_not_name(index: Index, many: int) -> None:
    """Few are read name by name, many with their whole directory."""
    names = [b"%03d" % i for i in range(many)]
    looks(index, R, *[entry(n) for n in names])
    lists(index, R, entry(b"zzz"), *[entry(n) for n in names])
    looks(index, R, *[entry(n, 2) for n in names[1:]], absent=(names[0],))
    assert living(index) == {b"/r/zzz": 1} | {R + b"/" + n: 2 for n in names[1:]}


def test_an_equal_listing_writes_nothing(index: Index) -> None:
    """Rule 2: a rescan of a million files does not write a million rows."""
    lists(index, R, entry(b"a"), folder(b"d"))
    written, tick = index.written, index.tick
    lists(index, R, entry(b"a"), folder(b"d"))
    assert (index.written, index.tick) == (written, tick)


def test_a_directory_that_is_gone_takes_everything_below_it_along(index: Index) -> None:
    """Neighbours whose names begin alike stay."""
    lists(index, R, folder(b"d"), folder(b"d2"), folder(b"d-"))
    for path in (b"/r/d", b"/r/d/x", b"/r/d/x/y", b"/r/d2", b"/r/d-"):
        lists(index, path, entry(b"f"))
    looks(index, R, absent=(b"d",))
    assert sorted(living(index)) == [b"/r/d-", b"/r/d-/f", b"/r/d2", b"/r/d2/f"]
    assert (index.files, index.directories) == (2, 2)


def test_a_deletion_stops_at_other_shards_anchors(index: Index) -> None:
    """What is in and below them is theirs to delete."""
    lists(index, R, folder(b"d"))
    for path in (b"/r/d", b"/r/d/a", b"/r/d/a/b", b"/r/d/ab"):
        lists(index, path, entry(b"f"))
    lists(index, R, stops=(b"/r/d/a",))
    assert sorted(living(index)) == [b"/r/d/a/b/f", b"/r/d/a/f"]
    index.begin()
    index.records.gone(Gone(b"/r/d/a", 300), (b"/r/d/a/b",))
    index.commit()
    assert sorted(living(index)) == [b"/r/d/a/b/f"]


def test_the_root_of_all_can_be_gone(index: Index) -> None:
    """Its paths do not begin with two slashes."""
    lists(index, b"/", entry(b"f"))
    lists(index, b"/usr", entry(b"f"))
    index.begin()
    index.records.gone(Gone(b"/", 300), ())
    index.commit()
    assert living(index) == {}


def test_directories_that_are_gone_leave_nothing(index: Index) -> None:
    """Else each temporary directory that ever was would stay for ever."""
    lists(index, R, folder(b"keep"))
    lists(index, b"/r/keep", entry(b"f"))
    for i in range(5):
        name = b"tmp%d" % i
        looks(index, R, folder(name))
        lists(index, R + b"/" + name, entry(b"f"))
        looks(index, R, absent=(name,))
    assert sorted(p for (p,) in query(index, "SELECT path FROM directory")) == [R, b"/r/keep"]
    lists(index, b"/r/tmp0", entry(b"g"))
    assert living(index)[b"/r/tmp0/g"] == 1


def test_ids_of_directories_are_cached_in_part_only(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the tree."""
    monkeypatch.setattr(directory_table, "IDS_MAX", 4)
    for i in range(20):
        lists(index, b"/r/%d" % i, entry(b"f"))
    assert len(index.tables.directories.ids) <= 4
    for i in range(20):
        looks(index, b"/r/%d" % i, entry(b"f", 2))
        assert len(index.tables.directories.ids) <= 4
    assert set(living(index).values()) == {2}


def test_a_burst_has_room_which_is_taken_back(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is much to do, more directories and pages are cached; afterwards as little as before, whatever follows."""
    monkeypatch.setattr(directory_table, "IDS_MAX", 4)
    for i in range(20):
        lists(index, b"/r/%d" % i, entry(b"f"))

    def cached() -> tuple[int, int]:
        for i in range(20):
            looks(index, b"/r/%d" % i, entry(b"f", 2))
        return len(index.tables.directories.ids), query(index, "PRAGMA cache_size")[0][0]

    assert cached() == (4, -CACHE_KIB)
    index.expand()
    index.expand()
    assert cached() == (20, -CACHE_KIB_EXPANDED)
    index.shrink()
    assert index.tables.directories.ids == {}
    assert cached() == (4, -CACHE_KIB)


def test_progress_is_told_within_long_work(tmp_path: Path) -> None:
    """The burial of a large tree is no hang."""
    told: list[int] = []
    index = Index(tmp_path / "index.db", on_progress=lambda: told.append(1))
    lists(index, R, folder(b"d"))
    for i in range(5):
        lists(index, b"/r/d/%d" % i, entry(b"f"))
    del told[:]
    looks(index, R, absent=(b"d",))
    index.abandon()
    assert len(told) >= 5


def test_a_directory_of_many_names_is_buried_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may have millions: the process shows between two parts that it is alive."""
    monkeypatch.setattr(entries, "ROWS_AT_ONCE", 10)
    told: list[int] = []
    index = Index(tmp_path / "index.db", on_progress=lambda: told.append(1))
    lists(index, R, folder(b"d"))
    lists(index, b"/r/d", *[entry(b"%04d" % i) for i in range(3_000)])
    del told[:]
    looks(index, R, absent=(b"d",))
    assert living(index) == {}
    assert (index.files, index.directories) == (0, 0)
    assert len(told) >= 10
    index.abandon()


@pytest.mark.parametrize("seed", range(20))
def test_a_listing_is_compared_with_many_rows_in_parts(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The rows are the same afterwards as of one comparison (their ticks are given in another order), whatever they were: files,
    directories, tombstones, both of one name; and so is what the verification finds."""
    told: list[int] = []
    in_parts = Index(tmp_path / "parts.db", on_progress=lambda: told.append(1))
    chance = random.Random(seed)
    names = [b"%02d" % i for i in range(60)]
    rows = {}
    for part in (in_parts, index):
        chance.seed(seed)
        for _ in range(3):
            found = [chance.choice((folder(n), entry(n, chance.randrange(1, 3)))) for n in names if chance.random() < 0.7]
            lists(part, R, *found)
            hand_out(part)
        few = [entry(n, chance.randrange(1, 3)) for n in names if chance.random() < 0.1]
        after, upto = chance.choice((None, b"05")), chance.choice((None, b"50"))
        few = [one for one in few if (after is None or one[0] > after) and (upto is None or one[0] <= upto)]
        handed = part.tick
        monkeypatch.setattr(entries, "ROWS_AT_ONCE", 7 if part is in_parts else 10_000)
        part.begin()
        findings = part.records.verified(Verified(R, 100, *seen(few), after, upto, [b"07"]), ())
        part.commit()
        sql = f"SELECT name, directory, kind, ino, size, lane, held, tick > {handed} FROM every ORDER BY name, directory"
        rows[part] = (sorted(findings), query(part, sql), part.files, part.directories)
    assert rows[in_parts] == rows[index]
    assert len(told) >= 10
    in_parts.abandon()


def test_looks_at_some_names_of_many_read_few_rows(index: Index) -> None:
    """Else each of the records that tell of a deletion of some thousand names would read a million rows."""
    few = [b"%05d" % i for i in range(0, 5_000, 50)]
    lists(index, R, *[entry(b"%05d" % i) for i in range(5_000)])
    id_, _ = index.tables.directories.id_of(R)
    assert set(index.tables.entries.named(id_, few)) == {(name, 0) for name in few}


def test_more_rows_than_were_seen_differ(index: Index) -> None:
    """They are not all read for that: there may be a million of them."""
    found = [entry(b"%02d" % i) for i in range(9)]
    lists(index, R, *found)
    for count in (0, 1, 8):
        assert not index.records.folds_to(Check(R, 1, folded(seen(found[:count])), count))
    assert index.records.folds_to(Check(R, 1, folded(seen(found)), 9))
    assert index.records.folds_to(Check(R, 1, folded(seen(found[3:5])), 2, b"02", b"04"))


# -- ticks


def test_pending_rows_come_in_the_order_of_their_ticks(index: Index) -> None:
    """Later than a position, up to a limit; a look goes as far as it can."""
    lists(index, R, *[entry(b"%d" % i) for i in range(5)])
    ticks = [r.tick for r in pending(index)]
    assert ticks == sorted(ticks)
    found = index.backlog.pending(0, ticks[1], 2)
    assert ([r.tick for r in found.rows], found.upto, found.end) == (ticks[2:4], ticks[3], False)
    assert index.backlog.count(0, ticks[1], index.tick, 10) == (3, index.tick)
    assert index.backlog.count(0, 0, ticks[2], 2) == (2, ticks[1])
    assert [r.path for r in index.backlog.rows_at(0, [ticks[4], ticks[0], 99999])] == [b"/r/0", b"/r/4"]
    row = pending(index)[0]
    assert (row.kind, row.directory, row.path, row.size, row.at_ns) == (FILE, False, b"/r/0", 1, 100)


@pytest.mark.parametrize("directory", [b"/", b"/r", b"/r/\xff\xfe", b"/r/\xe2\x82"])
def test_paths_are_read_byte_for_byte(index: Index, directory: bytes) -> None:
    """Whatever bytes their names consist of, and also of what lies at the top."""
    names = [bytes([byte]) for byte in range(1, 256) if byte not in b"./"] + [b"\xc3\x28", b"a\x80", "ä€😀".encode(), b"x'2f'"]
    lists(index, directory, *[entry(name) for name in sorted(names)])
    rows = pending(index)
    assert [row.path for row in rows] == [join(directory, name) for name in sorted(names)]
    assert [type(row.path) for row in rows] == [bytes] * len(names)


def test_many_rows_are_found_by_their_ticks(index: Index) -> None:
    """More than SQLite takes arguments at once."""
    lists(index, R, *[entry(b"%04d" % i) for i in range(1200)])
    assert len(index.backlog.rows_at(0, [r.tick for r in index.backlog.pending(0, 0, 2000).rows])) == 1200


def test_a_tombstone_stays_until_every_group_has_passed_it(index: Index) -> None:
    """Rule 19: and longer, as far as replays go back."""
    lists(index, R, entry(b"a"), entry(b"b"))
    hand_out(index)
    looks(index, R, absent=(b"a",), at=1000)
    (row,) = [r for r in pending(index) if r.kind == 0]
    assert (row.path, row.tick, row.held) == (b"/r/a", index.tick, ALL)
    assert index.tombstones.collect({0: row.tick - 1}, 2000) == 0
    assert index.tombstones.collect({0: row.tick}, 1000) == 0
    assert index.tombstones.collect({0: row.tick}, 1001) == 1
    assert index.backlog.collected == row.tick
    assert [r.path for r in pending(index)] == [b"/r/b"]
    assert index.tombstones.collect({0: 10**9}, 2**62) == 0


def test_a_tombstone_that_is_set_aside_stays(index: Index) -> None:
    """A deletion that a worker could not take is behind every cursor, and still owed; found by the machine of groups."""
    lists(index, R, entry(b"a"), entry(b"b"))
    hand_out(index)
    looks(index, R, absent=(b"a", b"b"))
    first, second = sorted(r.tick for r in pending(index) if r.kind == 0)
    assert index.tombstones.collect({0: index.tick}, 2**62, [first]) == 1
    assert [r.tick for r in index.backlog.rows_at(0, [first, second])] == [first]
    assert index.tombstones.collect({0: index.tick}, 2**62) == 1


def test_tombstones_that_stay_hold_up_no_others(tmp_path: Path) -> None:
    """However many are set aside, or are of a time that is still to come since the clock was set back."""
    index = Index(tmp_path / "index.db", wall_ns=lambda: 5_000)
    names = tuple(b"%02d" % number for number in range(20))
    lists(index, R, *[entry(name) for name in names])
    hand_out(index)
    looks(index, R, absent=names[:5], at=9_000)
    looks(index, R, absent=names[5:12], at=1_000)
    looks(index, R, absent=names[12:14], at=4_000)
    looks(index, R, absent=names[14:], at=1_500)
    kept = [row.tick for row in pending(index) if row.kind == 0][5:10]
    turns = [index.tombstones.collect({0: index.tick}, 2_000, kept, 3) for _ in range(4)]
    assert turns == [0, 0, 0, 2], "ten stay, and the next two do not"
    assert index.tombstones.collect({0: index.tick}, 2_000, kept, 3) == 0, "one is too young: those behind it have time"
    for _ in range(6):
        index.tombstones.collect({0: index.tick}, 5_000, kept, 3)
    assert [row.tick for row in pending(index) if row.kind == 0][5:] == kept
    index.abandon()


def test_collection_takes_empty_directories_along(index: Index) -> None:
    """Their last tombstone is gone."""
    lists(index, R, folder(b"d"))
    lists(index, b"/r/d", entry(b"a"))
    hand_out(index)
    looks(index, R, absent=(b"d",))
    assert query(index, "SELECT count(*) FROM directory") == [(2,)]
    assert index.tombstones.collect({0: index.tick}, 2**62) == 1
    assert query(index, "SELECT count(*) FROM directory") == [(1,)], "the root's"


def test_ticks_are_never_given_twice(tmp_path: Path) -> None:
    """Rule 17: not after a kill between two commits, nor after a clean end."""
    highest = 0
    for clean in (True, False, True, False):
        index = Index(tmp_path / "index.db")
        assert index.tick >= highest
        looks(index, R, entry(b"a", highest + 5))
        index.backlog.note_handed(0, index.tick)
        looks(index, R, entry(b"a", highest + 6))
        highest = index.tick
        index.begin()
        index.records.looks(Looks(R, 1, *seen([entry(b"lost%d" % highest)]), []), ())
        lost = index.tick
        assert lost > highest
        if clean:
            index.commit()
            index.close()
        else:
            index.abandon()
        highest = max(highest, lost)


def test_a_clean_end_leaves_no_hole(tmp_path: Path) -> None:
    """The exact tick is the ceiling then."""
    index = Index(tmp_path / "index.db")
    looks(index, R, entry(b"a"))
    tick = index.tick
    index.close()
    index = Index(tmp_path / "index.db")
    assert index.tick == tick
    assert index.file.found_tick == tick
    index.abandon()


def test_durability_power_syncs_each_commit(tmp_path: Path) -> None:
    """And keeps doing so after a reservation."""
    index = Index(tmp_path / "index.db", durability="power")
    assert query(index, "PRAGMA synchronous") == [(2,)]
    index.abandon()


def test_lanes_are_known_highest_first(tmp_path: Path) -> None:
    """Rows of each have their own order."""
    index = Index(tmp_path / "index.db", lane_of=lambda path: 5 if path.endswith(b"5") else 0)
    lists(index, R, entry(b"a"), entry(b"b5"), entry(b"c"))
    assert index.backlog.lanes() == [5, 0]
    assert [r.path for r in pending(index, lane=5)] == [b"/r/b5"]
    index.abandon()


def test_an_empty_index_has_no_lanes(index: Index) -> None:
    """Nothing pending either."""
    assert (index.backlog.lanes(), pending(index), index.backlog.count(0, 0, 99, 9)) == ([], [], (0, 99))


@pytest.mark.parametrize(
    ("column", "value"), [("nlink", 1 << 40), ("nlink", -1), ("size", "text"), ("kind", 300), ("name", "text")]
)
def test_rows_that_hold_what_no_stat_can_differ(index: Index, column: str, value: object) -> None:
    """In a damaged file, say: the verification asks for another look then, and the process does not end."""
    found = [entry(b"a"), entry(b"b")]
    lists(index, R, *found)
    check = Check(R, 1, folded(seen(found)), 2)
    assert index.records.folds_to(check)
    index.file.db.execute(f"UPDATE entry SET {column}=? WHERE name=?", (value, b"a"))
    assert not index.records.folds_to(check)


# -- transactions


def test_nothing_is_there_before_the_commit(tmp_path: Path, index: Index) -> None:
    """Whoever reads the file, and whoever comes after a kill."""
    index.begin()
    index.begin()
    index.records.listing(Listing(R, 1, *seen([entry(b"a")])), ())
    index.streams.save("s0", 1, 1, 0)
    with sqlite3.connect(tmp_path / "index.db") as other:
        assert other.execute("SELECT count(*) FROM entry").fetchone() == (0,)
    other.close()
    index.commit()
    index.commit()
    assert index.streams.known() == {"s0": (1, 1, 0)}


def test_a_rollback_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    """Nor does what comes after it, the end included."""
    index = Index(tmp_path / "index.db")
    lists(index, R, entry(b"a"))
    index.begin()
    index.records.listing(Listing(R, 1, *seen([entry(b"a"), entry(b"b")])), ())
    index.rollback()
    index.rollback()
    index.close()
    index = Index(tmp_path / "index.db")
    assert living(index) == {b"/r/a": 1}
    index.abandon()
    index.abandon()


def test_streams_belong_to_one_running_service(tmp_path: Path) -> None:
    """Numbers of an earlier service, whatever was deleted or restored since, are never taken for those of this one."""
    index = Index(tmp_path / "index.db")
    index.begin()
    index.streams.serve("one")
    index.streams.save("s0", 1, 5, 2)
    index.streams.save("s0", 2, 7, 2)
    index.commit()
    assert index.streams.known() == {"s0": (2, 7, 2)}
    index.close()
    for service, known in (("one", {"s0": (2, 7, 2)}), ("two", {}), ("one", {})):
        index = Index(tmp_path / "index.db")
        index.begin()
        index.streams.serve(service)
        index.commit()
        assert index.streams.known() == known
        index.close()


def test_consumers_are_kept_beside_their_own_file(index: Index) -> None:
    """Should that be lost, they are told so."""
    assert index.consumers.known() == {}
    index.consumers.keep({"a": 1, "b": 2})
    index.consumers.keep({"b": 3})
    assert index.consumers.known() == {"b": 3}


# -- plans


def test_what_a_plan_leaves_below_a_former_anchor_is_looked_for(index: Index) -> None:
    """Its former owner can't say that it is gone; its new one may have said so long ago, and is asked once more."""
    index.anchors.adopt([R, b"/r/a", b"/r/a/x", b"/r/b"])
    index.commit()
    lists(index, R, folder(b"b"))
    for path in (b"/r/a", b"/r/a/x", b"/r/b"):
        lists(index, path, entry(b"f"))
    index.anchors.adopt([R, b"/r/a/x"])
    index.commit()
    assert sorted(living(index)) == [b"/r/a", b"/r/a/f", b"/r/a/x/f", b"/r/b", b"/r/b/f"]
    assert list(index.debts.owed) == [R] and list(index.debts.owed[R]) == [b"a"]
    looks(index, R, absent=(b"a",), stops=(b"/r/a/x",))
    assert sorted(living(index)) == [b"/r/a/x/f", b"/r/b", b"/r/b/f"] and not index.debts.owed
    index.anchors.adopt([b"/r/a/x", R])
    change_closed(index.file.path, "UPDATE state SET service = service")  # no transaction is open, so there is room for this one


@pytest.mark.parametrize("top", [R, b"/"])
def test_a_root_that_comes_to_lie_in_another_one_stays(index: Index, top: bytes) -> None:
    """Nobody has looked above it, so that it has no row proves nothing. The scan of the new root says what is gone."""
    index.anchors.adopt([b"/r/a/x", b"/r/b", b"/r/c"])
    index.commit()
    lists(index, b"/r/a/x", entry(b"f"), folder(b"d"))
    for path in (b"/r/a/x/d", b"/r/b"):
        lists(index, path, entry(b"f"))
    hand_out(index)
    tick = index.tick
    index.anchors.adopt([top])
    index.commit()
    files = [b"/r/a/x/d/f", b"/r/a/x/f", b"/r/b/f"]
    assert sorted(set(living(index)) - {b"//r"}) == sorted([*files, b"/r/a", b"/r/a/x", b"/r/a/x/d", b"/r/b"])
    assert (index.tick, index.files, index.directories) == (tick, 3, 4 + (top != R))
    if top != R:
        lists(index, top, folder(b"r"))
    lists(index, R, folder(b"a"))
    assert [row.path for row in pending(index, tick)] == [b"/r/b/f"]
    lists(index, b"/r/a", folder(b"y"))
    assert (index.files, index.directories) == (0, 2 + (top != R))


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_owed_and_not_there_takes_along_what_lies_below_it(index: Index, whole: bool) -> None:
    """Without a row of its own, too, as in a damaged file; wherever the look tells of it: many names of a directory are looked at
    by a listing."""
    lists(index, R, entry(b"f"))
    for path in (b"/r/lost", b"/r/lost/deep", b"/r/there"):
        lists(index, path, entry(b"f"))
    index.begin()
    for name in (b"lost", b"there", b"f"):
        index.debts.owe(R, name)
    index.commit()
    if whole:
        lists(index, R, entry(b"f"), folder(b"there"), at=200)
    else:
        looks(index, R, entry(b"f"), folder(b"there"), absent=(b"lost",))
    assert sorted(living(index)) == [b"/r/f", b"/r/there", b"/r/there/f"]
    assert not index.debts.owed


# -- several names of a file (rule 11)


def test_a_change_by_one_name_owes_a_look_at_the_others(index: Index) -> None:
    """Rule 11: writing by one name gives the other names' directories no event."""
    lists(index, R, entry(b"a", 1, ino=9, nlink=2), folder(b"d"))
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2))
    assert index.owed == {}
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    assert index.owed == {b"/r/d": {b"b": (500, 500)}}
    assert index.debts.changed
    looks(index, b"/r/d", entry(b"b", 2, ino=9, nlink=2), at=501)
    assert index.owed == {}


def test_a_second_name_is_news_to_the_first(index: Index) -> None:
    """Rule 11: linking tells the first name's directory nothing, and its row says "one name"."""
    lists(index, R, entry(b"a", 1, ino=9))
    looks(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2, ctime=5))
    assert index.owed == {R: {b"a": (200, 200)}}
    looks(index, R, entry(b"a", 1, ino=9, nlink=2, ctime=5), at=300)
    looks(index, R, entry(b"a", 6, ino=9, nlink=2), at=400)
    assert index.owed == {b"/r/d": {b"b": (400, 400)}}


def test_a_name_that_is_gone_is_news_to_the_others(index: Index) -> None:
    """Rule 11: by a look, by a listing, and with the directory that it was in."""
    for gone in ("look", "listing", "directory"):
        lists(index, R, entry(b"a", 1, ino=9, nlink=2), folder(b"d"), at=700)
        lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2), at=700)
        if gone == "look":
            looks(index, b"/r/d", absent=(b"b",), at=800)
        elif gone == "listing":
            lists(index, b"/r/d", at=800)
        else:
            looks(index, R, absent=(b"d",), at=800)
        assert index.owed == {R: {b"a": (800, 800)}}, gone
        looks(index, R, entry(b"a", 1, ino=9), at=900)
        assert index.owed == {}


def test_a_rename_owes_nothing(index: Index) -> None:
    """Once rows are found by inode, a file with one name that moves is not looked at twice."""
    lists(index, R, entry(b"x", ino=7, nlink=2), entry(b"a", ino=9))
    looks(index, b"/r/d", entry(b"b", ino=9))
    looks(index, R, absent=(b"a",))
    assert index.owed == {}


def test_a_look_that_began_before_does_not_pay(index: Index) -> None:
    """Rules 11 and 1: one that was under way, or still on the line of another shard, shows what was before."""
    lists(index, R, entry(b"a", 1, ino=9, nlink=2))
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2), at=499)
    looks(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2), at=500)
    assert index.owed == {b"/r/d": {b"b": (500, 500)}}
    lists(index, b"/r/d", entry(b"b", 2, ino=9, nlink=2), at=501)
    assert index.owed == {}


def test_a_listing_of_a_range_pays_for_its_range(index: Index) -> None:
    """Rule 11: of the other names it says nothing."""
    lists(index, R, entry(b"a", 1, ino=9, nlink=2), entry(b"z", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    lists(index, R, entry(b"a", 2, ino=9, nlink=2), at=600, upto=b"m")
    assert index.owed == {R: {b"z": (500, 500)}}
    lists(index, R, entry(b"z", 2, ino=9, nlink=2), at=600, after=b"m")
    assert index.owed == {}


def test_a_debt_that_is_made_again_is_paid_again(index: Index) -> None:
    """Rule 11: the look that pays the first may have begun before the second change."""
    lists(index, R, entry(b"a", 1, ino=9, nlink=2))
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    looks(index, R, entry(b"a", 3, ino=9, nlink=2), at=600)
    assert index.owed == {b"/r/d": {b"b": (500, 600)}}
    looks(index, b"/r/d", entry(b"b", 2, ino=9, nlink=2), at=550)
    assert list(index.owed[b"/r/d"]) == [b"b"]
    looks(index, b"/r/d", entry(b"b", 3, ino=9, nlink=2), at=601)
    assert index.owed == {}


def test_a_clock_that_was_set_back_confuses_nobody(index: Index) -> None:
    """Which row is the latest can't be told then, so all are looked at; and debts can still be paid."""
    hour = 3600 * 10**9
    lists(index, R, entry(b"a", 1, ino=9, nlink=2, ctime=2 * hour), at=2 * hour)
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2, ctime=2 * hour), at=2 * hour)
    looks(index, R, entry(b"a", 2, ino=9, nlink=2, ctime=hour), at=hour + 5)
    assert {(p, n) for p, names in index.owed.items() for n in names} == {(R, b"a"), (b"/r/d", b"b")}
    looks(index, b"/r/d", entry(b"b", 2, ino=9, nlink=2, ctime=hour), at=hour + 9)
    looks(index, R, entry(b"a", 2, ino=9, nlink=2, ctime=hour), at=hour + 9)
    assert index.owed == {}
    lists(index, R, entry(b"a", 3, ino=9, nlink=2, ctime=3 * hour), at=3 * hour)
    looks(index, b"/r/d", entry(b"b", 3, ino=9, nlink=2, ctime=3 * hour), at=hour)
    assert index.owed == {}


def test_debts_survive_a_kill(tmp_path: Path) -> None:
    """Rule 2: what is owed is durable; only looks that begin after the new start pay."""
    index = Index(tmp_path / "index.db")
    lists(index, R, entry(b"a", 1, ino=9, nlink=2), entry(b"b", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    index.abandon()
    before = time.time_ns() - 1
    index = Index(tmp_path / "index.db")
    assert {p: list(names) for p, names in index.owed.items()} == {R: [b"b"]}
    looks(index, R, entry(b"b", 2, ino=9, nlink=2), at=before)
    assert index.owed
    looks(index, R, entry(b"b", 2, ino=9, nlink=2), at=time.time_ns() + 10**9)
    assert index.owed == {}
    index.abandon()


def test_what_has_no_rows_owes_nothing(index: Index) -> None:
    """Else a sync would wait for it for ever: the directory is gone, or the filters leave it out."""
    lists(index, R, folder(b"d"), entry(b"a", 1, ino=9, nlink=2))
    lists(index, b"/r/d", entry(b"b", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    looks(index, R, absent=(b"d",), at=600)
    assert b"/r/d" not in index.owed
    looks(index, R, entry(b"a", 3, ino=9), at=700)
    lists(index, b"/r/e", entry(b"c", 1, ino=9, nlink=2), at=700)
    assert index.owed
    for forget in (False, True):
        while Refit(index, lambda path, directory: False, f"other-{forget}", forget=forget).step():
            pass
        assert index.owed == {}


@pytest.mark.parametrize("at_once", [1, 2, 5, 1_000])
def test_directories_are_buried_some_at_a_time(index: Index, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Each of them, however many are read at once; save those of other shards, and those that only begin with the same name."""
    monkeypatch.setattr(directory_table, "_BELOW_AT_ONCE", at_once)
    gone = [b"/r/d", b"/r/d/a", b"/r/d/a/b", b"/r/d/c", b"/r/d/e"]
    stay = [b"/r", b"/r/d-", b"/r/d0", b"/r/d/s", b"/r/d/s/t"]
    for directory in gone + stay:
        lists(index, directory, entry(b"f"))
    index.begin()
    index.records.bury_below([b"/r/d"], 500, [b"/r/d/s"])
    index.commit()
    assert sorted(living(index)) == sorted(directory + b"/f" for directory in stay)
    assert query(index, "SELECT path FROM directory ORDER BY path") == [(path,) for path in sorted(stay)]


def test_a_burial_spares_the_debts_of_other_shards(index: Index) -> None:
    """Their rows stay, and so does what is owed of them."""
    lists(index, R, folder(b"d"), entry(b"a", 1, ino=9, nlink=2))
    lists(index, b"/r/d/s", entry(b"b", 1, ino=9, nlink=2))
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), at=500)
    lists(index, R, entry(b"a", 2, ino=9, nlink=2), at=600, stops=(b"/r/d/s",))
    assert list(index.owed) == [b"/r/d/s"]


def test_a_look_can_be_owed_on_demand(index: Index) -> None:
    """An audit asks for it. What is not there takes rows below it along, that had no row above."""
    lists(index, b"/r/d", entry(b"f"))
    index.begin()
    index.debts.owe(R, b"d")
    index.debts.owe(R, b"d")
    index.commit()
    assert list(index.owed[R]) == [b"d"]
    looks(index, R, absent=(b"d",), at=time.time_ns() + 1)
    assert index.owed == {}
    assert living(index) == {}


def test_files_with_names_that_nobody_knows_are_looked_at_now_and_then(tmp_path: Path) -> None:
    """Rule 11: outside of the tree, say: writing by them tells us nothing. Not durable, but found again at a start."""
    index = Index(tmp_path / "index.db")
    lists(index, R, entry(b"a", ino=9, nlink=3), entry(b"b", ino=9, nlink=3), entry(b"c", ino=8, nlink=1))
    assert index.debts.partly == {(1, 9)}
    index.debts.add_partly(700)
    gone_through(index)
    assert index.owed == {R: {b"a": (700, 700), b"b": (700, 700)}}
    looks(index, R, entry(b"b", 2, ino=9, nlink=3), at=701)
    assert index.owed == {R: {b"a": (700, 701)}}
    index.abandon()
    index = Index(tmp_path / "index.db")
    assert list(index.owed[R]) == [b"a"]  # the change made it durable
    assert index.debts.partly == {(1, 9)}
    looks(index, R, entry(b"a", 2, ino=9, nlink=2), entry(b"b", 2, ino=9, nlink=2), at=2**62)
    assert index.debts.partly == set()
    index.abandon()


def gone_through(index: Index) -> None:
    """One turn of what such files ask for."""
    assert index.debts.searching
    index.debts.search(index.begin, index.commit)


def test_files_with_names_that_nobody_knows_are_gone_through_in_turns(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all files of a tree may be, whose other names are in a cache: in one turn, the aggregator would be killed as hung. What
    is asked for meanwhile puts off none of those that wait."""
    monkeypatch.setattr(debts, "_PARTLY_AT_ONCE", 2)
    lists(index, R, *[entry(name, ino=ino, nlink=2) for ino, name in enumerate((b"a", b"b", b"c", b"d", b"e"), 1)])
    done = index.debts.add_partly(700)
    turns = []
    while index.debts.gone_through < done:
        before = set(index.owed.get(R, ()))
        gone_through(index)
        turns.append(len(set(index.owed[R]) - before))
        index.debts.add_partly(800 + len(turns))
    assert turns == [2, 2, 1]
    assert sorted(index.owed[R]) == [b"a", b"b", b"c", b"d", b"e"]
    assert index.debts.searching


def test_signs_of_life_are_given_while_files_with_names_that_nobody_knows_are_read(tmp_path: Path) -> None:
    """At a start, for seconds where they are millions."""
    index = Index(tmp_path / "index.db")
    lists(index, R, *[entry(b"%05d" % ino, ino=ino, nlink=2) for ino in range(1, 5_000)])
    index.close()
    signs: list[None] = []
    index = Index(tmp_path / "index.db", on_progress=lambda: signs.append(None))
    assert (len(index.debts.partly), bool(signs)) == (4_999, True)
    index.abandon()


def test_rows_are_found_by_inode_once_that_is_needed(index: Index) -> None:
    """Most trees have no such file, and pay nothing."""

    def indexes() -> set[str]:
        return {name for (name,) in query(index, "SELECT name FROM sqlite_master WHERE type='index'")}

    lists(index, R, entry(b"a", ino=9))
    assert "entry_by_inode" not in indexes()
    looks(index, R, entry(b"b", ino=9, nlink=2))
    assert "entry_by_inode" in indexes()
    assert list(index.owed[R]) == [b"a"]


# -- filters


def fitted(index: Index) -> None:
    """Rows as the index was told to have them; all paths are kept."""
    work = Refit(index, lambda path, directory: True, "new")
    while work.step(2):
        assert index.unfit
    assert (index.unfit, index.file.fingerprint) == (False, "new")


def test_lanes_are_assigned_anew(tmp_path: Path) -> None:
    """Other priorities: what moves is pending again. Directories become events, or cease to be."""
    index = Index(tmp_path / "index.db")
    lists(index, R, entry(b"a"), entry(b"b"), folder(b"d"))
    index.close()
    index = Index(tmp_path / "index.db", lane_of=lambda path: 7 if path == b"/r/b" else 0, directories=True)
    before = index.tick
    fitted(index)
    assert [(r.path, r.tick > before) for r in pending(index, lane=7)] == [(b"/r/b", True)]
    assert [(r.path, r.tick > before) for r in pending(index)] == [(b"/r/a", False), (b"/r/d", True)]
    index.close()
    index = Index(tmp_path / "index.db", lane_of=lambda path: 7 if path == b"/r/b" else 0)
    fitted(index)
    assert [r.path for r in pending(index)] == [b"/r/a"]
    index.abandon()


# -- the file


def test_an_index_is_private(tmp_path: Path, index: Index) -> None:
    """Names of files are nobody else's business."""
    assert (tmp_path / "index.db").stat().st_mode & 0o777 == 0o600


def test_a_kill_while_it_is_made_leaves_an_empty_file_or_a_whole_index(tmp_path: Path) -> None:
    """One transaction: never tables without the state, which no start would get over."""

    class Full:
        """A disk that is full at the first script."""

        def __init__(self, path: Path) -> None:
            self._db = index_schema.connect(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._db, name)

        def executescript(self, script: str) -> None:
            self._db.executescript(script.rpartition("COMMIT")[0])
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError):
        Index(tmp_path / "index.db", connect=Full)
    index = Index(tmp_path / "index.db")
    assert index.incarnation
    index.abandon()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """And so is one that no step leads from."""
    Index(tmp_path / "index.db").close()
    for schema in (index_schema.SCHEMA + 1, 0):
        with sqlite3.connect(tmp_path / "index.db") as db:
            db.execute("UPDATE state SET schema = ?", (schema,))
        db.close()
        with pytest.raises(IndexVersionError):
            Index(tmp_path / "index.db")


def test_each_step_of_the_schema_leads_to_the_next(tmp_path: Path) -> None:
    """An index of schema 1 has the tables of the newest, and its rows, after a start. What was stamped more than once may be
    held by any group."""
    index = Index(tmp_path / "index.db")
    lists(index, R, entry(b"a"))
    hand_out(index)
    lists(index, R, entry(b"a"), entry(b"b"))
    index.close()
    with sqlite3.connect(tmp_path / "index.db") as db:
        newest = set(db.execute("SELECT type, name, sql FROM sqlite_master"))
        db.execute("ALTER TABLE entry RENAME COLUMN held TO died")
        db.execute("ALTER TABLE entry ADD COLUMN born INTEGER NOT NULL DEFAULT 0")
        db.execute("ALTER TABLE entry ADD COLUMN made INTEGER NOT NULL DEFAULT 0")
        db.execute("UPDATE entry SET died = 9, born = tick - (name = X'61')")
        db.execute("DROP TABLE consumer")
        db.execute("DROP TABLE opened")
        db.execute("DROP TABLE moment")
        db.execute("DROP TABLE page")
        db.execute("DROP TABLE inode")
        db.execute("DROP TABLE sought")
        db.execute("ALTER TABLE state DROP COLUMN inodes")
        db.execute("ALTER TABLE state DROP COLUMN redo")
        db.execute("ALTER TABLE state DROP COLUMN service")
        db.execute("ALTER TABLE state DROP COLUMN life")
        db.execute("DROP INDEX entry_gone")
        db.execute("ALTER TABLE entry DROP COLUMN birth_ns")
        db.execute("CREATE INDEX entry_by_inode ON entry (ino, dev) WHERE nlink > 1 AND kind <> 0")
        db.execute("UPDATE state SET schema = 1")
    db.close()
    index = Index(tmp_path / "index.db")
    assert living(index) == {b"/r/a": 1, b"/r/b": 1}
    assert {row.path: row.held for row in pending(index)} == {b"/r/a": ALL, b"/r/b": 0}
    found = set(query(index, "SELECT type, name, sql FROM sqlite_master"))
    assert {row[:2] for row in found} == {row[:2] for row in newest}
    assert query(index, "SELECT schema FROM state") == [(index_schema.SCHEMA,)]
    index.abandon()


def test_missing_tables_or_state_are_damage(tmp_path: Path) -> None:
    """Not an index of ours, or no longer."""
    for spoil in ("DROP TABLE stream", "DELETE FROM state"):
        path = tmp_path / f"{spoil}.db"
        Index(path).close()
        with sqlite3.connect(path) as db:
            db.execute(spoil)
        db.close()
        with pytest.raises(sqlite3.DatabaseError, match="missing"):
            Index(path)


# -- opened for a set of settings


def settings(**changes: Any) -> Settings:
    usual: dict[str, Any] = {"roots": (R, b"/r/inner"), "include": ("*.json",), "exclude": ("**/.git/**",)}
    return Settings(**(usual | changes))


def test_paths_are_relative_to_their_nearest_root() -> None:
    """Patterns are, so rows are judged as the shards judge them."""
    finder = RootFinder((R, b"/r/inner"))
    assert finder.relative(b"/r/a/b") == b"a/b"
    assert finder.relative(b"/r/inner/x") == b"x"
    assert finder.relative(b"/r/inner") == b"inner"
    assert finder.relative(b"/elsewhere/x") is None
    assert RootFinder((b"/",)).relative(b"/x/y") == b"x/y"


def test_what_is_kept_is_what_a_shard_would_report() -> None:
    """Files by their patterns, directories unless they are pruned; below a pruned one nothing."""
    keeps = keeper(settings())
    assert keeps(b"/r/a/f.json", False)
    assert not keeps(b"/r/a/f.txt", False)
    assert not keeps(b"/r/a/.git/f.json", False)
    assert not keeps(b"/r/a/.git", True)
    assert keeps(b"/r/a", True)
    assert not keeps(b"/elsewhere/f.json", False)
    flat = keeper(settings(recursive=False))
    assert flat(b"/r/f.json", False)
    assert not flat(b"/r/a", True)
    assert not flat(b"/r/a/f.json", False)


def test_priorities_are_globs_and_the_highest_counts() -> None:
    """0 where none matches, and outside of the roots."""
    assert lane_function(settings()) is None
    lane = lane_function(settings(priorities={"hot/**": 5, "*.json": 1}))
    assert lane is not None
    assert [lane(p) for p in (b"/r/hot/a.json", b"/r/a.json", b"/r/a.txt", b"/elsewhere/a.json")] == [5, 1, 0, 0]


def test_settings_that_decide_about_rows_are_told_apart() -> None:
    """Others are not: a new time limit is no new filter."""
    assert fingerprint(settings()) == fingerprint(settings(settle_ms=99))
    different = [settings(include=("*",)), settings(recursive=False), settings(directories=True), settings(roots=(R,))]
    assert len({fingerprint(s) for s in (settings(), *different)}) == 5


def opened(path: Path, wanted: Settings) -> tuple[Index, list[str]]:
    """As after a start of the aggregator."""
    index, notes = open_index(path, wanted)
    work = refit(index, wanted)
    while work is not None and work.step(1):
        pass
    return index, [*notes, *filter(None, [refitted(work, wanted) if work else None])]


def test_an_index_is_made_to_fit_the_settings(tmp_path: Path) -> None:
    """Rule 13: at the next start with other filters, and a note says so where something is left out."""
    index, notes = opened(tmp_path / "index.db", settings())
    lists(index, R, entry(b"a.json"), entry(b"b.json"))
    index.close()
    index, more = opened(tmp_path / "index.db", settings())
    index.close()
    index, still = opened(tmp_path / "index.db", settings(priorities={"a.json": 3}))
    assert index.backlog.lanes() == [3, 0]
    index.close()
    index, narrowed = opened(tmp_path / "index.db", settings(exclude=("b.json",)))
    assert living(index) == {b"/r/a.json": 1}
    assert (notes, more, still) == ([], [], [])
    assert len(narrowed) == 1
    index.abandon()


def damage_header(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def damage_state(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE state")
    db.close()


@pytest.mark.parametrize("damage", [damage_header, damage_state])
def test_a_damaged_index_is_set_aside_and_built_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Never overwritten; another incarnation, so groups are told `fresh`."""
    path = tmp_path / "index.db"
    index, _ = open_index(path, settings())
    incarnation = index.incarnation
    index.close()
    damage(path)
    index, notes = open_index(path, settings())
    assert index.incarnation != incarnation
    assert len(notes) == 1
    assert [p.name for p in tmp_path.glob("*.damaged-?")] == ["index.db.damaged-1"]
    index.abandon()


def test_a_disk_that_refuses_is_no_damage(tmp_path: Path) -> None:
    """The file is left alone, and the caller tries again."""
    os.mkdir(tmp_path / "index.db")
    with pytest.raises(sqlite3.OperationalError):
        open_index(tmp_path / "index.db", settings())
    assert {p.name for p in tmp_path.iterdir()} == {"index.db", "index.db-redo"}
