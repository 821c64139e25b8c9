"""What an index keeps for groups, whatever it is made of: the model, a model whose looks get nowhere far, and the real one."""

from __future__ import annotations

import os
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_index import PlainIndex
from told_index import SECOND_NS, Tellable, ToldIndex

from shardwatch.aggregator.groups.index_port import IndexPort
from shardwatch.aggregator.index import file, page
from shardwatch.aggregator.index.row import Row

MADE: dict[str, Callable[[], Tellable]] = {
    "plain": PlainIndex,
    "one tick at a time": lambda: PlainIndex(sight=1),
    "three ticks at a time": lambda: PlainIndex(sight=3),
    "real": ToldIndex,
}
PATHS = [b"/r/%s/%d" % (d, n) for d in (b"a", b"b") for n in range(4)]


@pytest.fixture(params=MADE)
def index(request: pytest.FixtureRequest) -> Tellable:
    return MADE[request.param]()


def everything(index: IndexPort, lane: int = 0, after: int = 0, limit: int = 100) -> list[Row]:
    """All rows of a lane, look after look."""
    rows: list[Row] = []
    end = False
    while not end:
        began = after
        portion = index.pending(lane, began, limit)
        found, after, end = portion.rows, portion.upto, portion.end
        assert len(found) <= limit
        assert all(portion.pieces)
        assert all(began < row.tick <= after for row in found)
        assert after > began or end
        rows += found
    return rows


def counted(index: IndexPort, lane: int, after: int, upto: int, limit: int) -> int:
    total = 0
    while after < upto:
        rows, seen_to = index.count(lane, after, upto, limit)
        assert rows <= limit
        assert after < seen_to <= upto
        total, after = total + rows, seen_to
    return total


def hand_out(index: IndexPort, bit: int = 0) -> None:
    """A group has been handed everything there is, and acknowledged it."""
    index.holders.place(bit, 0, index.tick)
    for lane in index.lanes():
        index.note_handed(lane, index.tick)
        index.holders.reach(bit, lane, index.tick)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_looks_one_after_the_other_find_every_row_once(index: Tellable, limit: int) -> None:
    """In the order of ticks, whatever one look finds; a look that finds nothing may not be the end."""
    for n in range(8):
        index.put(b"/r/%d" % n, lane=5 * (n % 2))
    for n in (0, 2, 4):
        index.remove(b"/r/%d" % n)
    assert [row.path for row in everything(index, 0, 0, limit)] == [b"/r/6"]
    assert [row.path for row in everything(index, 5, 0, limit)] == [b"/r/1", b"/r/3", b"/r/5", b"/r/7"]
    later = everything(index, 5, 4, limit)
    assert [row.tick for row in later] == [6, 8]
    assert everything(index, 5, index.tick, limit) == []
    assert (counted(index, 5, 0, index.tick, limit), counted(index, 5, 2, 6, limit)) == (4, 2)


def test_nothing_is_there_in_a_lane_that_nobody_uses(index: Tellable) -> None:
    index.put(b"/r/a")
    assert (everything(index, 7), index.rows_at(7, [1]), counted(index, 7, 0, 1, 10)) == ([], [], 0)


def test_an_empty_index_has_no_lanes(index: Tellable) -> None:
    assert (index.lanes(), index.tick, index.collected, everything(index), list(index.rows_of(b"/r/a"))) == ([], 0, 0, [], [])


def test_lanes_are_known_highest_first(index: Tellable) -> None:
    """A lane is in use for as long as a row is in it."""
    for path, lane in ((b"/r/a", 0), (b"/r/b", 9), (b"/r/c", -3)):
        index.put(path, lane=lane)
    assert index.lanes() == [9, 0, -3]
    index.remove(b"/r/b")
    assert index.lanes() == [0, -3]


def test_a_row_keeps_its_tick_until_somebody_may_have_been_handed_it(index: Tellable) -> None:
    """Else a path that changes all the time would always move to the end."""
    index.put(b"/r/a", size=1)
    index.put(b"/r/b", size=1)
    index.put(b"/r/a", size=2)
    assert [(row.path, row.tick, row.size) for row in everything(index)] == [(b"/r/a", 1, 2), (b"/r/b", 2, 1)]
    index.note_handed(0, 1)
    index.put(b"/r/a", size=3)
    index.put(b"/r/b", size=3)
    assert [(row.path, row.tick, row.size) for row in everything(index)] == [(b"/r/b", 2, 3), (b"/r/a", 3, 3)]


def test_a_row_notes_any_number_of_groups(index: Tellable) -> None:
    """More than an integer of the file has bits."""
    index.put(b"/r/a")
    index.holders.place(0, 0, 0)
    hand_out(index, bit=100)
    index.put(b"/r/a", size=2)
    assert [row.held for row in everything(index)] == [1 << 100]
    assert [row.held for row in index.rows_at(0, [2])] == [1 << 100]


def test_rows_are_found_by_the_ticks_that_they_still_have(index: Tellable) -> None:
    """Oldest first, whatever the order of the question."""
    for path in PATHS[:3]:
        index.put(path)
    hand_out(index)
    index.put(PATHS[1], size=2)
    assert [row.tick for row in index.rows_at(0, [4, 3, 2, 1, 99])] == [1, 3, 4]
    assert [row.path for row in index.rows_at(0, [1, 4])] == [PATHS[0], PATHS[1]]
    assert list(index.rows_at(5, [1])) == []


def test_a_path_is_found_as_a_file_and_as_a_directory(index: Tellable) -> None:
    """Of what it was a tombstone tells, for as long as somebody must learn of it."""
    index.put(b"/r/a")
    hand_out(index)
    index.put(b"/r/a", directory=True)
    assert [(row.tick, row.directory, bool(row.kind)) for row in index.rows_of(b"/r/a")] == [(2, False, False), (3, True, True)]
    assert list(index.rows_of(b"/r/b")) == []


def test_a_deletion_is_a_row_until_it_is_collected(index: Tellable) -> None:
    """Of a path that nobody holds nothing stays."""
    for path in PATHS[:3]:
        index.put(path)
    hand_out(index)
    index.put(PATHS[3])
    for path in PATHS[:2] + PATHS[3:4]:
        index.remove(path)
    assert [(row.path, bool(row.kind)) for row in everything(index)] == [
        (PATHS[2], True), (PATHS[0], False), (PATHS[1], False),
    ]  # fmt: skip
    first, second = (row.tick for row in everything(index) if not row.kind)
    assert index.collect({0: first - 1}) == 0
    assert index.collect({0: second}, [second]) == 1
    assert index.collected == first
    assert index.collect({0: second}) == 1
    assert [row.path for row in everything(index)] == [PATHS[2]]


def test_a_start_forgets_what_was_handed_out_and_gives_no_tick_twice(index: Tellable) -> None:
    index.put(b"/r/a")
    hand_out(index)
    was = index.incarnation
    index.reopen()
    index.put(b"/r/a", size=2)
    assert [(row.tick, row.size) for row in everything(index)] == [(1, 2)]
    index.put(b"/r/b")
    assert (index.tick, index.incarnation) == (2, was)
    last = index.tick
    index.kill()
    index.put(b"/r/c")
    assert (index.tick > last, index.incarnation) == (True, was)
    assert [row.path for row in everything(index, after=last)] == [b"/r/c"]
    index.become_another()
    assert index.incarnation != was


def test_what_was_committed_after_a_time_has_a_later_tick(index: Tellable) -> None:
    """And of a time before the first note nothing is known."""
    now = [100 * SECOND_NS]
    index.wall_ns = lambda: now[0]
    assert index.tick_at(now[0]) == (None, None)
    index.put(b"/r/a")
    now[0] += 3600 * SECOND_NS
    index.put(b"/r/b")
    now[0] += SECOND_NS
    tick, first_ns = index.tick_at(now[0] - 2 * SECOND_NS)
    assert (tick, first_ns) == (1, 100 * SECOND_NS)
    assert index.tick_at(99 * SECOND_NS)[0] is None
    assert [index.given_by(tick) for tick in (1, 2, 3)] == [100 * SECOND_NS, 3700 * SECOND_NS, None]


def test_a_change_of_what_is_pending_is_noted_as_of_its_tick(index: Tellable) -> None:
    """It was pending all the time, whatever its row says of its last change."""
    index.wall_ns = lambda: 100 * SECOND_NS
    index.put(b"/r/a")
    index.wall_ns = lambda: 7300 * SECOND_NS
    index.put(b"/r/a", size=2)
    assert [row.tick for row in everything(index)] == [1]
    assert index.given_by(1) == 100 * SECOND_NS


path = st.sampled_from(PATHS)
lane = st.sampled_from((0, 5))
bit = st.integers(0, 1)
step = st.one_of(
    st.tuples(st.just("put"), path, lane, st.sampled_from((False, False, True))),
    st.tuples(st.just("put_all"), path, lane, st.booleans()),
    st.tuples(st.just("remove"), path, lane, st.just(False)),
    st.tuples(st.just("pull"), bit, lane, st.booleans()),
    st.tuples(st.just("collect"), st.integers(0, 20), lane, st.just(False)),
    st.tuples(st.just("reopen"), st.just(0), lane, st.booleans()),
)


@given(st.lists(step, max_size=40), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_the_real_index_answers_what_the_model_answers(
    steps: list[tuple[str, object, int, bool]], sight: int, least: int, most: int
) -> None:
    """Under the same changes, hand-outs, ends and crashes, row for row: ticks, lanes, holders, deletions; whatever is in pages,
    which have from `least` to `most` entries here."""
    with patch.multiple(page, ENTRIES_MIN=least, ENTRIES_MAX=max(least, most)), patch.object(file, "TICKS_RESERVED", 5):
        compare_indexes([ToldIndex(), PlainIndex(sight=sight)], steps)


def compare_indexes(told: list[Tellable], steps: list[tuple[str, object, int, bool]]) -> None:
    """Tells both the same, and asks both the same after each step."""
    positions = [dict.fromkeys((0, 5), 0) for _ in range(2)]
    for index in told:
        for each in range(2):
            index.holders.place(each, 0, 0)
    for size, (what, one, lane_, flag) in enumerate(steps, 1):
        upto = told[0].tick
        for index in told:
            if what == "put":
                index.put(bytes_of(one), lane=lane_, size=size, directory=flag, ino=size)
            elif what == "put_all":  # all files beside one path, or those after it
                above = os.path.dirname(bytes_of(one))
                beside = [p for p in PATHS if os.path.dirname(p) == above and (flag or p >= bytes_of(one))]
                index.put_all(beside, lane=lane_, size=size)
            elif what == "remove":
                index.remove(bytes_of(one))
            elif what == "collect":
                index.collect({lane_: int_of(one)})
            elif what == "reopen":
                (index.kill if flag else index.reopen)()
                for each, position in enumerate(positions):
                    index.holders.place(each, 0, 0)
                    for number, tick in position.items():
                        index.note_handed(number, tick)
                        index.holders.reach(each, number, tick)
            else:
                gone = [(lane_, row.tick) for row in everything(index, lane_, positions[int_of(one)][lane_]) if not row.kind]
                index.note_handed(lane_, upto)
                index.holders.reach(int_of(one), lane_, upto)
                if flag:
                    index.holders.deletions_pending(int_of(one), gone)
        if what == "pull":
            positions[int_of(one)][lane_] = upto
        real, plain = told
        assert (real.tick, real.collected, real.lanes()) == (plain.tick, plain.collected, plain.lanes())
        for number in real.lanes():
            rows = everything(real, number)
            assert rows == everything(plain, number)
            assert counted(real, number, 0, real.tick, 3) == counted(plain, number, 0, plain.tick, 3) == len(rows)
            ticks = [row.tick for row in rows[::2]]
            assert list(real.rows_at(number, ticks)) == list(plain.rows_at(number, ticks))
        for each_path in PATHS:
            assert list(real.rows_of(each_path)) == list(plain.rows_of(each_path))


def bytes_of(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def int_of(value: object) -> int:
    assert isinstance(value, int)
    return value
