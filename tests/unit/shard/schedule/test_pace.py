"""Overflow upon overflow: rescans that wait longer and longer, and never for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.schedule.pace import CALM_NS, PAUSE_NS, PAUSE_NS_MAX, RescanPace

S = 1_000_000_000


def rescanned(pace: RescanPace, now: int) -> None:
    pace.begun()
    pace.ended(now)


def test_nothing_is_waited_for_where_nothing_was_lost() -> None:
    """Nor is anything paused after a rescan that somebody else asked for."""
    pace = RescanPace()
    assert (pace.due(0), pace.next_due(), pace.calm(0)) == (False, None, True)
    rescanned(pace, S)
    assert (pace.due(2 * S), pace.next_due(), pace.calm(2 * S)) == (False, None, True)


def test_the_first_overflow_is_rescanned_at_once() -> None:
    """And the first after a calm time."""
    pace = RescanPace()
    for now in (0, 100 * S, 200 * S):
        pace.overflow(now)
        assert pace.owed
        assert pace.due(now)
        rescanned(pace, now)
        assert not pace.owed
        assert not pace.due(now + S)
        assert pace.calm(now + CALM_NS)


def test_rescans_that_do_not_help_wait_longer_and_longer() -> None:
    """0.5, 1, 2, 4, 8, 8 s after the last one ended."""
    pace, now, pauses = RescanPace(), 5 * S, []
    pace.overflow(now)
    for _ in range(7):
        rescanned(pace, now)
        pace.overflow(now + 1)
        at = pace.next_due()
        assert at is not None
        assert not pace.due(at - 1)
        assert pace.due(at)
        assert not pace.calm(at)
        pauses.append(at - now)
        now = at
    assert pauses == [PAUSE_NS, S, 2 * S, 4 * S, PAUSE_NS_MAX, PAUSE_NS_MAX, PAUSE_NS_MAX]


def test_many_overflows_after_one_rescan_are_one_step() -> None:
    """The pause counts rescans that did not help."""
    pace = RescanPace()
    pace.overflow(0)
    rescanned(pace, 0)
    for now in range(1, 1000):
        pace.overflow(now)
    assert pace.pause_ns == PAUSE_NS


def test_an_overflow_while_a_rescan_runs_is_owed() -> None:
    """What was lost may be where the rescan has been: another one, once this one has ended."""
    pace = RescanPace()
    pace.overflow(0)
    pace.begun()
    pace.overflow(S)
    assert not pace.due(100 * S)
    assert pace.next_due() is None
    pace.ended(100 * S)
    assert not pace.due(100 * S)
    assert pace.due(100 * S + PAUSE_NS)


def test_calm_comes_after_twice_the_pause() -> None:
    """Not while a rescan is owed or runs; `next_due` says when."""
    pace, now = RescanPace(), 0
    pace.overflow(now)
    for _ in range(4):
        rescanned(pace, now)
        pace.overflow(now)
    assert not pace.calm(now + 1000 * S)
    pace.begun()
    assert not pace.calm(now + 1000 * S)
    pace.ended(now)
    at = pace.next_due()
    assert at == now + 2 * pace.pause_ns
    assert not pace.calm(at - 1)
    assert pace.calm(at)
    assert pace.next_due() == at, "to ask changes nothing"
    pace.relax(at - 1)
    assert pace.pause_ns > 0
    pace.relax(at)
    assert (pace.calm(at), pace.pause_ns, pace.next_due()) == (True, 0, None)


def test_a_baseline_takes_the_place_of_a_rescan() -> None:
    """What was owed is covered, and what ran will not end."""
    pace = RescanPace()
    pace.overflow(0)
    pace.begun()
    pace.overflow(1)
    pace.forget()
    assert not pace.due(100 * S)
    pace.overflow(100 * S)
    assert pace.due(100 * S)


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.booleans()), max_size=200), st.integers(0, 2 * S))
def test_no_storm_and_nothing_owed_for_ever(steps: list[tuple[int, bool]], lasts: int) -> None:
    """Whatever comes when: between rescans that follow upon each other there is a pause, and each overflow is rescanned."""
    ends: list[int] = []
    pace, now, upon = RescanPace(), 0, False
    for wait, overflow in steps:
        now += wait
        if overflow:
            upon = bool(ends) and now < ends[-1] + CALM_NS
            pace.overflow(now)
        if pace.due(now):
            if upon:
                assert now >= ends[-1] + PAUSE_NS
            pace.begun()
            now += lasts
            pace.ended(now)
            ends.append(now)
    if pace.owed:
        at = pace.next_due()
        assert at is not None
        assert at <= max(now, ends[-1] + PAUSE_NS_MAX)
        assert pace.due(at)
