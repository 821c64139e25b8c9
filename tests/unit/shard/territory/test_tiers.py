"""How often directories without a watch are looked at: bounded cost, a bound for each look, and more where something changes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.territory.tiers import ACTIVE_NS, RECENT_NS, Tier, Turns, intervals, needed_share, tier_of

S = 10**9
MS = 10**6


@given(
    costs=st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    share=st.floats(0.001, 1.0),
    shortest_ms=st.integers(50, 60_000),
    times=st.integers(1, 100),
)
def test_the_intervals_cost_no_more_than_the_share(costs: list[int], share: float, shortest_ms: int, times: int) -> None:
    """Whatever the looks cost. The bounds are kept where the share suffices, and the more active tier never waits longer."""
    shortest, longest = shortest_ms * MS, shortest_ms * times * MS
    found = intervals(costs, share=share, shortest_ns=shortest, longest_ns=longest)
    assert sum(cost / interval for cost, interval in zip(costs, found, strict=True)) <= share * 1.000001
    assert all(interval >= shortest for interval in found)
    filled = [interval for cost, interval in zip(costs, found, strict=True) if cost]
    assert filled == sorted(filled)
    if needed_share(sum(costs), longest) <= share:
        assert all(interval <= longest + 1 for interval in found)


def test_a_few_directories_are_looked_at_as_often_as_is_asked() -> None:
    """They cost nothing worth mentioning."""
    assert intervals([0, 0, 1 * MS], share=0.05, shortest_ns=S, longest_ns=60 * S) == [S, S, S]


def test_what_is_left_of_the_share_goes_to_the_active_first() -> None:
    """A hundred thousand quiet directories take most of it: they are late, and those in which something changes are not."""
    active, recent, quiet = intervals([3 * MS, 30 * MS, 10 * S], share=0.05, shortest_ns=S, longest_ns=60 * S)
    assert active == S
    assert S < recent < quiet
    assert quiet > 200 * S
    assert needed_share(10.033 * S, 60 * S) == pytest.approx(0.232, abs=0.001)


def test_the_tier_follows_from_the_last_change() -> None:
    """At the edges too."""
    assert [tier_of(quiet) for quiet in (-5, 0, ACTIVE_NS - 1, ACTIVE_NS, RECENT_NS - 1, RECENT_NS)] == [
        Tier.ACTIVE, Tier.ACTIVE, Tier.ACTIVE, Tier.RECENT, Tier.RECENT, Tier.QUIET,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "look_ns"),
    [(1, 10_000), (3, 100_000), (3, 300 * MS), (50, 100_000), (1_000, 10_000), (10_000, 35_000), (10_000, 200_000)],
)
def test_every_turn_comes_within_the_interval(count: int, look_ns: int) -> None:
    """A model of time: ten rounds of a tier. No directory waits longer than the interval and what a batch takes; the looks take
    no more of the time than is planned, and the process does not wake for each directory of many."""
    draw = random.Random(count + look_ns)
    cost = float(count * look_ns)
    (interval,) = intervals([cost], share=0.05, shortest_ns=S, longest_ns=60 * S)
    turns, looked, spent, wakes = Turns(), [0] * count, 0, 0
    now, end, first = 0, 10 * interval, 0
    longest = 0
    while now < end:
        now = max(now, turns.next_due(count, cost, interval, since=0))
        taken = turns.take(now, count, cost, interval, since=0, chance=draw.random())
        wakes += 1
        for n in range(first, first + taken):
            longest = max(longest, now - looked[n % count])
            now += look_ns
            looked[n % count] = now
            spent += look_ns
        first = (first + taken) % count
    assert longest <= interval * 1.01 + 2 * max(look_ns, 6 * MS)
    assert spent / now <= 0.05 * 1.02 + count * look_ns / now
    assert wakes <= 10 * 1.2 * max(1, cost / (5 * MS)) + 20


def test_who_comes_late_catches_up() -> None:
    """The process had other work for most of an interval: so many directories are due at once, and no more than there are."""
    turns = Turns()
    first = turns.next_due(1_000, 1.0 * S, 20 * S, since=0)
    assert turns.take(first - 1, 1_000, 1.0 * S, 20 * S, since=0, chance=0.0) == 0
    assert turns.take(first, 1_000, 1.0 * S, 20 * S, since=0, chance=0.0) in (5, 6)
    assert turns.take(first + 10 * S, 1_000, 1.0 * S, 20 * S, since=0, chance=0.0) in range(550, 560)
    turns.missed(100)
    assert turns.take(first + 11 * S, 1_000, 1.0 * S, 20 * S, since=0, chance=0.0) in range(155, 157)
    assert turns.take(first + 500 * S, 1_000, 1.0 * S, 20 * S, since=0, chance=0.0) == 1_000
    assert turns.take(first + 900 * S, 0, 0.0, 20 * S, since=0, chance=0.0) == 0
