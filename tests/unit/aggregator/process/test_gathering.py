"""Frames are gathered while much changes, and only then."""

from __future__ import annotations

import pytest

from shardwatch.aggregator.process.gathering import GATHER_S, Gathering


def test_the_first_frames_are_taken_at_once() -> None:
    gathering = Gathering()
    assert gathering.left_s(0.0) == 0.0
    gathering.took(20, 10.0)
    gathering.took(20, 10.001)
    assert gathering.left_s(10.002) == 0.0


def test_after_many_entries_the_next_are_gathered() -> None:
    """From the beginning of the last transaction on, so that one which took long is followed by the next at once."""
    gathering = Gathering()
    gathering.took(1_000, 10.0)
    assert gathering.left_s(10.01) == pytest.approx(GATHER_S - 0.01)
    assert gathering.left_s(10.0 + 2 * GATHER_S) == 0.0


@pytest.mark.parametrize("pause_s", [GATHER_S, 1.0])
def test_what_comes_long_after_them_waits_for_nothing(pause_s: float) -> None:
    gathering = Gathering()
    gathering.took(1_000, 10.0)
    gathering.took(1, 10.0 + pause_s)
    assert gathering.left_s(10.0 + pause_s) == 0.0


def test_many_small_frames_are_much() -> None:
    """A hundred a second of fifty names each; a hundred a second of one name are not."""
    many, few = Gathering(), Gathering()
    for number in range(10):
        many.took(50, number / 100)
        few.took(1, number / 100)
    assert many.left_s(0.09) > 0.0
    assert few.left_s(0.09) == 0.0
