"""When tombstones may be forgotten, whatever the wall clock does."""

from __future__ import annotations

import pytest

from shardwatch.aggregator.index.replay import Replay

HOUR = 3600.0
WALL = 1_700_000_000.0


def test_tombstones_are_kept_for_as_long_as_asked() -> None:
    """By the wall clock, as long as nobody sets it; drift is no setting."""
    replay = Replay(HOUR, wall=WALL, now=10.0)
    for minute in range(120):
        drift = minute * 0.5
        assert replay.horizon_ns(wall=WALL + 60 * minute + drift, now=10.0 + 60 * minute) == int(
            (WALL + 60 * minute + drift - HOUR) * 1e9
        )


@pytest.mark.parametrize("step", [HOUR, -HOUR, 50 * 365 * 86_400.0])
def test_a_clock_that_is_set_forgets_nothing_early(step: float) -> None:
    """Forward, back, and from 1970 to now: all wait for the full time; then it goes on by the new clock."""
    replay = Replay(HOUR, wall=WALL, now=0.0)
    assert replay.horizon_ns(wall=WALL + 60, now=60.0) is not None
    for now in (120.0, 1800.0, 120.0 + HOUR - 1):
        assert replay.horizon_ns(wall=WALL + step + now, now=now) is None
    now = 120.0 + HOUR
    assert replay.horizon_ns(wall=WALL + step + now, now=now) == int((WALL + step + now - HOUR) * 1e9)


def test_a_clock_set_again_begins_the_wait_again() -> None:
    """An hour forward and an hour back."""
    replay = Replay(HOUR, wall=WALL, now=0.0)
    assert replay.horizon_ns(wall=WALL + HOUR, now=60.0) is None
    assert replay.horizon_ns(wall=WALL + 1800, now=1800.0) is None
    assert replay.horizon_ns(wall=WALL + HOUR + 120, now=HOUR + 120) is None
    assert replay.horizon_ns(wall=WALL + HOUR + 1800, now=HOUR + 1800) is not None
