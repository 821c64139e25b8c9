"""Which tick was the last one at which time: noted seldom, thinned out, and right whatever the clock does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from entries import seen
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.moments import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    MONTH_NS,
    NOTES_MAX,
    YEAR_NS,
    Moment,
    last_tick,
    thinned,
)
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Looks

NOW = 2_000 * DAY_NS


class Clock:
    """The wall clock, set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def change(index: Index, name: bytes) -> int:
    """One change, committed; its tick."""
    index.begin()
    entry = (name, FILE, 1, 7, 1, 1, 1, 1, False)
    index.records.looks(Looks(b"/r", 1, *seen([entry]), []), ())
    index.commit()
    return index.tick


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_note_is_made_once_a_minute_and_only_with_a_change(tmp_path: Path, clock: Clock) -> None:
    """Commits after which the last tick is noted already, and those of the same minute, write nothing; a start goes on where the
    last run was."""
    index = Index(tmp_path / "index.db", wall_ns=clock)
    first = change(index, b"a")
    clock.now += 5 * MINUTE_NS
    index.begin()
    index.commit()
    assert index.backlog._moments.all() == [(first, NOW)]
    clock.now = NOW + MINUTE_NS - 1
    change(index, b"b")
    assert index.backlog.tick_at(clock.now) == (first, NOW)
    clock.now += 5 * MINUTE_NS
    later = change(index, b"c")
    assert index.backlog.tick_at(clock.now) == (later, NOW)
    assert index.backlog.tick_at(clock.now - 1) == (first, NOW)
    assert index.backlog.tick_at(NOW - 1) == (None, NOW)
    index.close()
    index = Index(tmp_path / "index.db", wall_ns=clock)
    assert index.backlog.tick_at(clock.now - 1) == (first, NOW)
    assert index.backlog.tick_at(clock.now) == (later, NOW)
    index.close()


def test_an_index_without_a_change_has_no_note(tmp_path: Path, clock: Clock) -> None:
    """No time can be told then."""
    index = Index(tmp_path / "index.db", wall_ns=clock)
    assert index.backlog.tick_at(NOW) == (None, None)
    index.close()


def test_a_clock_that_was_set_back_never_leaves_anything_out() -> None:
    """Of two notes of one time the earlier tick counts; a note from the future counts for nothing."""
    back = [Moment(10, 900), Moment(20, 1000), Moment(30, 800), Moment(40, 1100)]
    assert last_tick(back, 950, 2000) == 10
    assert last_tick(back, 1050, 2000) == 30
    assert last_tick(back, 850, 2000) is None
    future = [Moment(10, 900), Moment(20, 5000), Moment(30, 1000)]
    assert last_tick(future, 950, 2000) == 10
    assert last_tick(future, 1500, 2000) == 30
    assert last_tick(future, 1500, 6000) == 10
    assert last_tick([], 1, 2) is None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-400, 900)), max_size=30), st.integers(0, 20_000))
def test_what_was_committed_after_a_time_has_a_later_tick(steps: list[tuple[int, int]], at: int) -> None:
    """Given any steps of the clock, and a time that it has shown: whatever was noted when it showed a later time, up to the
    present one, is handed out."""
    moments, tick, now = [], 0, 10_000
    for more, seconds in steps:
        tick, now = tick + more, now + seconds
        moments.append(Moment(tick, now))
    found = last_tick(moments, at, now)
    later = [moment.tick for moment in moments if at < moment.at_ns <= now]
    assert found is None or all(found < one for one in later)


def test_old_notes_are_thinned_out() -> None:
    """One a minute for a day, one an hour for a month, one a day for a year, and the last of before; the newest always stays."""
    moments = [Moment(tick, at) for tick, at in enumerate(range(NOW - YEAR_NS - 40 * DAY_NS, NOW + 1, 10 * MINUTE_NS))]
    gone = set(thinned(moments, NOW))
    kept = [moment for moment in moments if moment.tick not in gone]
    assert kept[-1] == moments[-1]
    ages = [NOW - moment.at_ns for moment in kept]
    assert sum(1 for age in ages if age < DAY_NS) == 144
    assert abs(sum(1 for age in ages if DAY_NS <= age < MONTH_NS) - 29 * 24) <= 1
    assert abs(sum(1 for age in ages if MONTH_NS <= age < YEAR_NS) - 335) <= 1
    assert sum(1 for age in ages if age >= YEAR_NS) == 1
    for at in (NOW - MINUTE_NS, NOW - 3 * DAY_NS, NOW - 200 * DAY_NS):
        exact, thin = last_tick(moments, at, NOW), last_tick(kept, at, NOW)
        assert exact is not None and thin is not None and thin <= exact
        spare = 0 if at > NOW - DAY_NS else HOUR_NS if at > NOW - MONTH_NS else DAY_NS
        assert (exact - thin) * 10 * MINUTE_NS <= spare
    assert set(thinned(kept, NOW)) == set()


def test_there_are_never_more_notes_than_is_said() -> None:
    """Whatever the clock does: the oldest ticks go."""
    chance = random.Random(7)
    moments = [Moment(tick, NOW + chance.randrange(-DAY_NS, YEAR_NS)) for tick in range(NOTES_MAX + 500)]
    gone = set(thinned(moments, NOW))
    left = [moment.tick for moment in moments if moment.tick not in gone]
    assert len(left) == NOTES_MAX
    assert left[-1] == moments[-1].tick


def test_the_index_thins_its_notes_out_by_itself(tmp_path: Path, clock: Clock) -> None:
    """As it notes, once an hour."""
    index = Index(tmp_path / "index.db", wall_ns=clock)
    for number in range(40):
        clock.now += 5 * MINUTE_NS
        change(index, b"%d" % number)
    clock.now += 2 * DAY_NS
    last = change(index, b"last")
    notes = index.backlog._moments.all()
    assert len(notes) <= 6
    assert notes[-1] == (last, clock.now)
    index.close()
