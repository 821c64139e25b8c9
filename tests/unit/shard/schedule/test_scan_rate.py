"""Scans that are held back: to the rate that was set, in pauses that are worth waking for, and without holding back anything
else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shard_scene import MS, ShardScene

from shardwatch.shard.schedule.scan_rate import ScanRate

S = 10**9


def test_without_a_rate_nothing_waits() -> None:
    """However much is looked at."""
    rate = ScanRate()
    rate.spent(10**9, 0)
    assert not rate.pauses(0)


@pytest.mark.parametrize("count", [1, 30, 100_000])
def test_the_rate_is_kept_in_few_pauses(count: int) -> None:
    """Directories of one file, of some and of many: in the long run so many files each second, and no pause is shorter than 50
    ms."""
    rate, now, looked, pauses = ScanRate(1_000), 0, 0, 0
    while now < 1_000 * S:
        assert not rate.pauses(now)
        rate.spent(count, now)
        looked += count
        if rate.pauses(now):
            assert rate.ends_at - now > 50 * MS
            assert rate.pauses(rate.ends_at - 1)
            now, pauses = rate.ends_at, pauses + 1
    assert 0.99 <= looked * S / now / 1_000 <= 1.01
    assert pauses <= 20 * now / S


def test_another_rate_forgives_what_is_owed() -> None:
    """A reload with a higher rate, or with none, has an effect at once."""
    rate = ScanRate(1)
    rate.spent(1_000, 0)
    assert rate.pauses(500 * S)
    rate.limit(0)
    assert not rate.pauses(500 * S)
    rate.limit(10)
    rate.spent(10, 0)
    assert rate.pauses(S - 1) and not rate.pauses(S)


def test_a_rescan_is_held_back_and_nothing_else_is(make: Callable[..., ShardScene]) -> None:
    """Two hundred directories at a hundred a second: the rescan takes what that says, finds what was lost, and meanwhile new
    names, new directories and directories without a watch have their turn."""
    scene = make(watches_max=190, files_per_s=200)
    scene.put(*[f"{number}/f.json" for number in range(200)])
    engine, watcher = scene.engine, scene.shard.watcher
    scene.equal()
    begun = engine.now
    scene.put("100/lost.json")
    scene.shard.lose_hints()
    polled = scene.shard.territory.directories.swept
    assert len(polled) == 11
    pauses = 0
    scene.shard.step()
    while watcher.pace.owed or watcher.scans:
        if watcher.pauses:
            pauses += 1
            assert watcher.next_due() <= begun + 3 * S
            if pauses == 40:
                scene.put("5/new.json", "fresh/deep/f.json")
        engine.turn(1)
        if pauses == 600:
            assert "5/new.json" in scene.paths() and "fresh/deep/f.json" in scene.paths(), "hints are not held back"
    took = engine.now - begun
    assert 1.9 * S <= took <= 2.4 * S, "401 files and directories at 200 a second"
    assert "100/lost.json" in scene.paths()
    scene.equal()
