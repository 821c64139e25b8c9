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


def test_a_steady_stream_waits_for_longer() -> None:
    """After eight reads of a kilobyte, each soon after the one before; not if much comes at once, so that the queue never fills;
    and it begins anew after a pause, or after a small read."""
    bursts = Bursts()
    waits = [bursts.wait_s(1024, 5.0 + n / 100) for n in range(12)]
    short, long = bursts.wait_s(1 << 15, 5.12), waits[-1]
    assert 0 < short < long and waits[8:] == [long] * 4 and max(waits[:8]) <= short
    assert bursts.wait_s(1024, 5.13) == long and bursts.wait_s(1024, 5.2) < long
    for n in range(9):
        bursts.wait_s(1024, 6.0 + n / 100)
    assert bursts.wait_s(1024, 6.09) == long and bursts.wait_s(1023, 6.1) < long and bursts.wait_s(1024, 6.11) < long
