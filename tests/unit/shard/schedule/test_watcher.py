"""What a shard does next: under load, without credit, and when it has nothing to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from faulty_disk import FaultyDisk
from shard_scene import MS, ShardScene

from shardwatch.shard.contract.limits import ANCHOR_CHECK_S
from shardwatch.shard.schedule.watcher import Bounds
from shardwatch.shard.stream import send
from shardwatch.shard.territory.doubts import Subject
from shardwatch.shard.territory.looking import look, reconcile
from shardwatch.shard.territory.sweep import retry_doubts, sweep


def test_without_credit_nothing_is_looked_at(make: Callable[..., ShardScene], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: what is pending stays hints, names become directories, those a rescan; nothing grows, nothing is lost."""
    scene = make(bounds=Bounds(names_max=10, directories_max=3))
    scene.equal()
    monkeypatch.setattr(send, "WINDOW_FRAMES_MAX", 2)
    shard = scene.shard
    for turn in range(20):
        scene.put(*[f"a/{turn}-{i}.json" for i in range(10)], f"new{turn}/f.json")
        shard.step()
        scene.engine.now += 10 * MS
    assert shard.stream.unacked <= 3
    assert len(shard.watcher.debounce) <= 20
    assert shard.watcher.scans.rescans > 0
    assert shard.watcher.arrivals.hinted <= 3
    scene.equal()


def test_a_lost_last_frame_is_sent_again(scene: ShardScene) -> None:
    """Rule 14: nothing comes after it that would show the gap."""
    scene.put("f.json", text="lost on the line")
    scene.shard.step()
    assert scene.engine.lines["s0"]
    scene.engine.lines["s0"].clear()
    scene.rests()


def test_the_next_thing_to_do_is_known(scene: ShardScene, denied: FaultyDisk) -> None:
    """The main loop sleeps until then: never for ever, and never not at all."""
    watching = scene.shard.watcher
    now = scene.engine.now
    assert now < watching.next_due() <= now + ANCHOR_CHECK_S * 10**9
    scene.shard.territory.doubts.add(Subject(b"/x", scene.shard.territory.places[0]), OSError(1, "no"))
    watching.times.doubts.put_off(now + 5)
    assert watching.next_due() == now + 5
    scene.shard.territory.doubts.remove(b"/x")
    watching.debounce.add(now, {scene.node(): {b"f.json"}})
    assert watching.next_due() == now
    assert watching.pending == 1


def test_hints_about_what_is_gone_do_nothing(scene: ShardScene) -> None:
    """Rule 9: they die with their directory."""
    own, node = scene.shard.territory, scene.node("a/b")
    shutil.rmtree(scene.tree / "a")
    scene.equal()
    assert not node.alive
    assert list(look(own, node, {b"f.json"})) == []
    assert list(reconcile(own, node, b"x", arrived=True)) == []
    own.directories.swept.add(node)
    assert list(sweep(own)) == []
    assert node not in own.directories.swept
    own.doubts.add(Subject(b"/x", own.places[0], node, b"x"), OSError(1, "no"))
    assert list(retry_doubts(own)) == [None]
    assert not own.doubts
