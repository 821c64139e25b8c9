"""Directories without a watch are looked at within the bound that is told, with the share of a processor that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from faulty_disk import FaultyDisk
from shard_scene import ShardScene

from shardwatch.shard.contract.wire.frames import Polling
from shardwatch.shard.schedule.polling import Poller, PollPace
from shardwatch.shard.territory.sweep import look_at_swept
from shardwatch.shard.territory.tiers import ACTIVE_NS, Tier

S = 10**9
MS = 10**6


class Costly:
    """A poller whose looks cost so much of a processor, and whose clock goes on by that, and by what each look waits."""

    def __init__(
        self, scene: ShardScene, look_ns: int, monkeypatch: pytest.MonkeyPatch, *, waits_ns: int = 0, **options: Any
    ) -> None:
        self.now = scene.engine.now
        self.cpu = 0
        self.looked: dict[bytes, list[int]] = {}
        self.scene = scene
        def look(territory: Any, node: Any, *, recalls: bool) -> Any:
            found = look_at_swept(territory, node, recalls=recalls)
            self.now += look_ns + waits_ns
            self.cpu += look_ns
            self.looked.setdefault(node.path(), []).append(self.now)
            return found

        monkeypatch.setattr("shardwatch.shard.schedule.polling.look_at_swept", look)
        territory = scene.shard.territory
        monkeypatch.setattr(territory.directories.swept, "_clock", lambda: self.now)
        self.poller = Poller(
            territory, PollPace(S), clock=lambda: self.now, cpu=lambda: self.cpu, chance=lambda: 0.5, **options
        )

    def goes_on(self, seconds: int) -> float:
        """So much time passes; returns the share of it that the looks took."""
        begun, cpu = self.now, self.cpu
        while self.now < begun + seconds * S:
            self.now = max(self.now, self.poller.next_due())
            for _ in self.poller.run():
                pass
        return (self.cpu - cpu) / (self.now - begun)

    def longest_gap(self) -> int:
        return max(max(b - a for a, b in pairwise(times)) for times in self.looked.values())


@pytest.fixture
def wide(make: Callable[..., ShardScene]) -> ShardScene:
    """400 directories, of which the root alone has a watch."""
    scene = make(watches_max=1)
    scene.put(*(f"d{n}/f.json" for n in range(400)))
    scene.rests()
    return scene


def test_the_share_and_the_bound_are_kept(wide: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many looks as the share allows, spread over the time, each directory within what the status tells."""
    costly = Costly(wide, 4 * MS, monkeypatch)
    costly.goes_on(120)
    costly.looked.clear()
    used = costly.goes_on(240)
    assert 0.03 < used <= 0.05
    assert len(costly.looked) == 400
    state = costly.poller.state()
    assert sum(tier.directories for tier in state.tiers) == 400 and state.wanting == 400
    bound = max(tier.bound_ms for tier in state.tiers if tier.directories) * MS
    assert costly.longest_gap() <= bound <= 60 * S
    assert 3 < state.cpu_percent <= 5 and state.needed_percent < 5


def test_a_change_is_seen_in_the_bound_and_more_often_from_then_on(wide: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has been quiet for a while."""
    costly = Costly(wide, 4 * MS, monkeypatch)
    costly.goes_on(ACTIVE_NS // S + 60)
    swept = wide.shard.territory.directories.swept
    assert swept.count(Tier.ACTIVE) == 0
    wide.put("d7/g.json")
    costly.goes_on(40)
    assert swept.count(Tier.ACTIVE) == 1
    path = wide.node("d7").path()
    costly.looked.clear()
    costly.goes_on(15)
    assert len(costly.looked.pop(path)) >= 13
    assert max(len(times) for times in costly.looked.values()) <= 2
    costly.goes_on(ACTIVE_NS // S)
    assert swept.count(Tier.ACTIVE) == 0


def test_what_can_not_be_kept_is_told(wide: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that are too costly for the bound take the share all the same, and the status has the figures."""
    costly = Costly(wide, 40 * MS, monkeypatch)
    assert costly.goes_on(600) < 0.08  # although nobody knew what they cost
    costly.looked.clear()
    used = costly.goes_on(900)
    assert used <= 0.0505
    state = costly.poller.state()
    assert state.needed_percent > 30
    assert max(tier.bound_ms for tier in state.tiers) > 300_000
    assert costly.longest_gap() <= max(tier.bound_ms for tier in state.tiers) * MS


def test_a_slow_file_server_is_not_asked_all_the_time(wide: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that cost no processor time to speak of, and wait: at 5 % of a core they take 20 % of the time."""
    costly = Costly(wide, MS // 10, monkeypatch, waits_ns=40 * MS)
    costly.goes_on(600)
    costly.looked.clear()
    begun = costly.now
    assert costly.goes_on(600) < 0.001
    waited = sum(map(len, costly.looked.values())) * 40 * MS
    assert 0.1 < waited / (costly.now - begun) <= 0.202
    assert 0 < costly.poller.state().cpu_percent < 0.5


def test_shards_that_poll_share_the_processor(wide: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the aggregator counts, counts."""
    costly = Costly(wide, 4 * MS, monkeypatch, shards=4)
    costly.goes_on(120)
    assert costly.goes_on(200) <= 0.0127
    costly.poller.share_with(2)
    costly.goes_on(120)
    assert 0.018 < costly.goes_on(200) <= 0.0253
    costly.poller.share_with(0)
    assert costly.goes_on(200) <= 0.0505


def test_nothing_to_poll_is_nothing_to_tell(scene: ShardScene, denied: FaultyDisk) -> None:
    """And nothing to do."""
    poller = scene.shard.watcher.poller
    assert poller.state() == Polling()
    denied.listed.clear()
    assert list(poller.run()) == [] and not denied.listed
