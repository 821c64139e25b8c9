"""Directories that nobody asked about and that are busy: counted within bounds, named once."""

from __future__ import annotations

from shardwatch.shard.backend.noise import COUNTED_MAX, LOUD_EVENTS, WINDOW_S, Noise


def test_a_busy_directory_is_named_once() -> None:
    """And again when it is as busy again, since the kernel may have forgotten what it was told."""
    noise = Noise()
    noise.counts = {b"busy": LOUD_EVENTS, b"quiet": LOUD_EVENTS - 1}
    assert noise.loud(1.0) == [b"busy"]
    assert noise.loud(2.0) == []
    noise.counts[b"busy"] = LOUD_EVENTS
    assert noise.loud(3.0) == [b"busy"]


def test_what_is_spread_over_a_long_time_is_no_noise() -> None:
    noise = Noise()
    assert noise.loud(0.0) == []
    noise.counts[b"slow"] = LOUD_EVENTS - 1
    assert noise.loud(WINDOW_S + 0.1) == []
    noise.counts[b"slow"] = noise.counts.get(b"slow", 0) + LOUD_EVENTS - 1
    assert noise.loud(WINDOW_S + 0.2) == []


def test_the_directories_that_are_counted_are_bounded() -> None:
    noise = Noise()
    noise.loud(0.0)
    noise.counts = {b"%d" % number: 1 for number in range(COUNTED_MAX + 1)}
    assert noise.loud(1.0) == []
    assert not noise.counts
