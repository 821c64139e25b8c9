"""The end of a shard that is to be started again."""

from __future__ import annotations

from shardwatch.shard.process.departure import Departure

S = 10**9


def test_before_it_begins_nothing_ends() -> None:
    """And nothing is waited for."""
    departure = Departure()
    assert not departure.begun and departure.next_due(5) is None
    assert not departure.looks_no_more(10**18, rests=True) and not departure.is_over(10**18)


def test_it_looks_no_more_once_it_rests() -> None:
    """What it has begun is finished first."""
    departure = Departure()
    departure.begin(S, 91)
    departure.begin(100 * S, 90)
    assert departure.begun and departure.code == 91, "the first reason counts"
    assert not departure.looks_no_more(2 * S, rests=False)
    assert departure.looks_no_more(2 * S, rests=True)


def test_a_departure_takes_a_limited_time() -> None:
    """Under a load that never rests, and with an aggregator that commits nothing."""
    departure = Departure()
    departure.begin(S, 91)
    assert departure.next_due(2 * S) == 6 * S
    assert departure.looks_no_more(6 * S, rests=False) and not departure.is_over(6 * S)
    assert departure.next_due(6 * S) == 16 * S
    assert departure.is_over(16 * S)
