"""How long a stand-in stays."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.process.stand_in import StandIn
from shardwatch.shard.process.shift import Shift

S = 10**9


def test_an_ordinary_shard_stays_for_ever() -> None:
    shift = Shift(None, 0)
    shift.end_baseline(S)
    assert shift.next_due(2 * S) is None
    assert not shift.is_over(10**18)


def test_the_time_of_a_stand_in_counts_from_the_end_of_its_first_baseline() -> None:
    """A new epoch, with another baseline, does not make it longer."""
    shift = Shift(StandIn(5, 30.0), 0)
    assert not shift.is_over(10**18) and shift.next_due(S) is None
    shift.end_baseline(10 * S)
    shift.end_baseline(20 * S)
    assert shift.next_due(10 * S) == 40 * S
    assert not shift.is_over(40 * S - 1)
    assert shift.is_over(40 * S)
    assert shift.next_due(40 * S) is None


@pytest.mark.parametrize(("for_s", "end"), [(0.0, 2 * S), (0.5, 2 * S), (5.0, 6 * S)])
def test_a_stand_in_lives_for_two_seconds_at_least(for_s: float, end: int) -> None:
    """What ends sooner after its start would count as one that could not be started."""
    shift = Shift(StandIn(5, for_s), 0)
    shift.end_baseline(S)
    assert shift.next_due(S) == end
