"""The queue of scans: each anchor waits once, and what is to be done after the scans is done after them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shard_scene import ShardScene

from shardwatch.shard.schedule.scan_rate import ScanRate
from shardwatch.shard.schedule.scans import Scans
from shardwatch.shard.schedule.watcher import Bounds
from shardwatch.shard.territory.territory import Steps

S = 10**9


def test_an_overflow_in_the_middle_of_a_rescan_is_another_rescan(make: Callable[..., ShardScene]) -> None:
    """What was lost may be where the first has been already."""
    scene = make(bounds=Bounds(slice_ns=0))
    scene.put(*[f"d{i}/f.json" for i in range(5)])
    scene.equal()
    scene.shard.lose_hints()
    for _ in range(4):
        scene.shard.step()
    for i in range(5):
        scene.put(f"d{i}/f.json", text="lost again")
    scene.shard.lose_hints()
    scene.rests()


@pytest.mark.parametrize("asked", [1, 3])
def test_an_anchor_is_scanned_once_however_often_it_is_asked_for(nested: ShardScene, asked: int) -> None:
    """And what is appended waits for all scans before it. A scan that has begun may be asked for again."""
    territory = nested.shard.territory
    scans = Scans(territory, ScanRate(), lambda: 0)
    seen: list[int] = []

    def job() -> Steps:
        seen.append(territory.reader.looks)
        yield

    assert not scans and not scans.step()
    begun = territory.reader.looks
    for _ in range(asked):
        scans.add(territory.places)
    scans.append(job())
    while scans.step():
        pass
    once = seen[0] - begun
    assert once == territory.reader.looks - begun > 0
    scans.add(territory.places)
    assert scans.step()
    scans.add(territory.places)
    while scans.step():
        pass
    assert territory.reader.looks == begun + 3 * once
    nested.equal()


def test_scans_are_held_back_until_they_are_paid_for(scene: ShardScene) -> None:
    """`next_due` says until when; without a scan that waits there is nothing to wait for."""
    now = [S]
    rate = ScanRate(1)
    scans = Scans(scene.shard.territory, rate, lambda: now[0])
    rate.spent(1, now[0])
    assert scans.next_due() is None
    scans.rescan()
    assert scans.pauses and not scans.step()
    assert scans.next_due() == 2 * S
    now[0] = 2 * S
    assert not scans.pauses and scans.step()
    assert scans.rescans == 1
    scans.clear()
    assert not scans and scans.next_due() is None
    scene.equal()


def test_what_was_lost_is_owed_unless_the_scans_that_wait_cover_it(scene: ShardScene) -> None:
    """A scan that has begun covers nothing, for it may have been where something was lost."""
    scans = Scans(scene.shard.territory, ScanRate(), lambda: 0)
    scans.add(scene.shard.territory.places)
    scans.lost(0)
    assert not scans.pace.owed
    scans.begin_owed(0)
    assert scans.rescans == 0
    scans.step()
    scans.lost(0)
    assert scans.pace.owed
    scans.begin_owed(0)
    assert (scans.rescans, scans.pace.owed) == (1, False)
    scene.equal()
