"""What a sync requires is looked at before it is answered, and nothing that comes later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine import rows, walk
from shard_scene import ShardScene

from shardwatch.shard.schedule.watcher import Bounds


def test_a_sync_does_not_wait_for_quiet(make: Callable[..., ShardScene]) -> None:
    """Rule 24: paths that are settling are looked at for it."""
    scene = make(settle_ms=10_000)
    scene.put("f.json")
    assert scene.engine.sync() == {"ok": True}
    scene.put("f.json", "g.json", text="changed")
    scene.engine.turn(1)
    assert "g.json" not in scene.paths()
    assert scene.engine.sync() == {"ok": True}
    assert scene.engine.difference() == ({}, {})


def test_a_sync_is_not_held_up_by_what_comes_later(make: Callable[..., ShardScene]) -> None:
    """Rule 24: a tree that never rests is synced too, and up to the moment of asking."""
    scene = make(bounds=Bounds(slice_ns=0))
    scene.equal()
    scene.put("a/b/f.json", text="before")
    token = scene.engine.receiver.begin_sync(1000)
    scene.engine.commit()
    for turn in range(200):
        scene.put(f"load/{turn}/f.json", "hot.json", text=str(turn))
        scene.engine.turn(1)
        result = scene.engine.receiver.sync_result(token)
        if result is not None:
            break
    assert result == {"ok": True}
    wanted = walk(scene.engine.root)[scene.engine.root + b"/a/b/f.json", 0]
    assert rows(scene.engine.index)[scene.engine.root + b"/a/b/f.json", 0] == wanted
    scene.equal()


def test_a_sync_is_not_held_up_by_ignore_files_that_change_all_the_time(make: Callable[..., ShardScene]) -> None:
    """What they leave out is scanned again and again, and all else has its turn: syncs, and scans that follow something else."""
    scene = make(bounds=Bounds(slice_ns=0), ignore_files=True)
    scene.put("1/2/3/4/5/6/7/8/f.json", "left/f.json", "more/f.json")
    scene.equal()
    looked = scene.shard.territory.reader.looks
    scene.shard.watcher.scans.rescan()
    token = scene.engine.receiver.begin_sync(1000)
    result = None
    for turn in range(300):
        scene.put(".ignore", text=f"# {turn}\n" + ("left/", "more/")[turn % 2])
        scene.engine.turn(1)
        result = result or scene.engine.receiver.sync_result(token)
    assert result == {"ok": True}
    assert scene.shard.territory.reader.looks > looked, "it goes on meanwhile"
    scene.engine.until_quiet()
    assert [path for path in scene.paths() if path[0] in "lm"] == ["left", "left/f.json"]


def test_a_sync_is_answered_once_in_an_epoch(scene: ShardScene) -> None:
    """However often it is asked for; a new epoch answers anew, for its predecessor's answer may be lost."""
    shard = scene.shard
    for _ in range(3):
        shard.watcher.syncs.ask(5)
    shard.watcher.work()
    shard.watcher.syncs.ask(5)
    shard.watcher.work()
    shard.stream.flush(0)
    assert len(shard.line) == 1
    shard.new_epoch(0)
    assert not shard.watcher.syncs
    shard.watcher.syncs.ask(5)
    assert shard.watcher.syncs
    shard.line.clear()
    scene.equal()


def test_a_sync_that_is_given_up_is_not_answered(scene: ShardScene) -> None:
    """It takes nothing over then, and the next one is answered as ever."""
    shard = scene.shard
    shard.watcher.syncs.ask(7)
    shard.watcher.syncs.keep([])
    assert not shard.watcher.syncs
    scene.put("f.json", text="pending")
    shard.backend.drain()
    shard.watcher.absorb(shard.backend.take())
    pending = shard.watcher.pending
    while shard.watcher.scans.step():
        pass
    assert shard.watcher.pending == pending > 0
    assert not shard.stream.unacked and not shard.line
    scene.equal()


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_sync_that_was_answered_under_an_earlier_plan_is_answered_once_more(scene: ShardScene, asked_for: bool) -> None:
    """Without another question, which would come with the aggregator's next beat only; unless its caller has given up."""
    shard = scene.shard
    before = shard.watcher.syncs.answered
    shard.watcher.syncs.keep([5])
    shard.watcher.syncs.ask(5)
    shard.watcher.work()
    assert shard.watcher.syncs.answered == before + 1 and not shard.watcher.syncs
    if not asked_for:
        shard.watcher.syncs.keep([])
    shard.watcher.syncs.begin_anew()
    assert bool(shard.watcher.syncs) == asked_for
    shard.watcher.work()
    assert shard.watcher.syncs.answered == before + 1 + asked_for
    shard.line.clear()
    scene.equal()


@pytest.mark.parametrize("twice", [False, True])
def test_what_is_pending_does_not_wait_for_the_scans_that_a_sync_waits_for(make: Callable[..., ShardScene], twice: bool) -> None:
    """It is looked at beside them, also if another sync comes in the midst of that; the answers come after both."""
    scene = make(settle_ms=10_000, bounds=Bounds(slice_ns=0))
    scene.put("a/f.json", "b/g.json")
    scene.equal()
    shard, scans = scene.shard, scene.shard.watcher.scans
    scene.put("a/f.json", "b/g.json", text="changed")
    shard.watcher.syncs.ask(5)
    if twice:
        scans.step()
        shard.watcher.syncs.ask(6)
        scans.step()
        scans.step()
    scans.rescan()
    scans.step()
    scans._rate.limit(1)
    scans._rate.spent(100, scene.engine.now)
    for _ in range(4):
        shard.step()
    assert shard.watcher.syncs and scans.pauses
    while shard.line:
        scene.engine.deliver("s0")
    scene.engine.commit(answer=False)
    assert scene.engine.difference() == ({}, {})
    scans._rate.limit(0)
    scene.equal()
