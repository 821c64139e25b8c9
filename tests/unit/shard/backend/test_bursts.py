"""When the thread that empties a kernel's queue leaves it alone for a moment."""

from __future__ import annotations

from shardwatch.shard.backend.bursts import Bursts


def test_a_single_save_is_never_made_to_wait() -> None:
    """Some small reads, and again a while later."""
    bursts = Bursts()
    assert [bursts.wait_s(64, 100.0 + at) for at in (0.0, 0.001, 0.002, 1.0, 1.001)] == [0.0] * 5


def test_a_large_read_is_a_burst() -> None:
    """From a page on."""
    bursts = Bursts()
    assert bursts.wait_s(4095, 1.0) == 0.0 and bursts.wait_s(4096, 1.0) > 0


def test_many_small_reads_are_a_stream() -> None:
    """The seventh within 20 ms waits; and the count begins anew after that time."""
    bursts = Bursts()
    waits = [bursts.wait_s(64, 5.0 + n / 1000) for n in range(9)]
    assert [wait > 0 for wait in waits] == [False] * 6 + [True] * 3
    assert bursts.wait_s(64, 5.1) == 0.0
