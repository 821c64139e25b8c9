"""What a shard does next: under load, without credit, for a sync, and when it has nothing to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import rows, walk
from faulty_disk import FaultyDisk
from shard_scene import MS, ShardScene

from shardwatch.shard.backend.base import Hints
from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.limits import ANCHOR_CHECK_S
from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.contract.wire.frames import Listing, Record
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.polling import Poller
from shardwatch.shard.schedule.watcher import Bounds, Watcher
from shardwatch.shard.stream import send
from shardwatch.shard.stream.send import Stream
from shardwatch.shard.territory import looking
from shardwatch.shard.territory.doubts import Doubts, Subject
from shardwatch.shard.territory.looking import look, reconcile
from shardwatch.shard.territory.sweep import retry_doubts, sweep
from shardwatch.shard.territory.territory import Territory
from shardwatch.shard.tree.nodes import Node


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
    assert shard.watcher.rescans > 0
    assert shard.watcher.arrivals.hinted <= 3
    scene.equal()


@pytest.mark.parametrize("listed", [False, True])
def test_a_name_that_turns_out_to_be_a_directory_is_entered(
    scene: ShardScene, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """And one that was a directory, and is none, is left; whatever the hint was about."""
    if listed:
        monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 0)
    scene.put("x.json/deep/f.json", "a/y.json/f.json")
    shutil.rmtree(scene.tree / "a/b")
    scene.put("a/b")
    scene.shard.backend.drain()
    scene.shard.backend.take()
    hints = Hints()
    hints.names = {scene.node(): {b"x.json"}, scene.node("a"): {b"y.json", b"b"}}
    scene.shard.watcher.absorb(hints)
    scene.rests()
    scene.put("x.json/deep/g.json", "a/y.json/g.json")
    scene.rests()


def test_more_names_than_are_looked_at_one_by_one_are_listed(scene: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No less exact: new directories are entered, deletions seen."""
    monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 2)
    scene.put("a/1.json", "a/2.json", "a/3.json", "a/new/f.json")
    (scene.tree / "a/f.json").unlink()
    scene.equal()


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


def test_a_sync_is_answered_once_in_an_epoch(scene: ShardScene) -> None:
    """However often it is asked for; a new epoch answers anew, for its predecessor's answer may be lost."""
    shard = scene.shard
    for _ in range(3):
        shard.watcher.sync(5)
    shard.watcher.work()
    shard.watcher.sync(5)
    shard.watcher.work()
    shard.stream.flush(0)
    assert len(shard.line) == 1
    shard.new_epoch(0)
    assert not shard.watcher.syncing
    shard.watcher.sync(5)
    assert shard.watcher.syncing
    shard.line.clear()
    scene.equal()


def test_a_lost_last_frame_is_sent_again(scene: ShardScene) -> None:
    """Rule 14: nothing comes after it that would show the gap."""
    scene.put("f.json", text="lost on the line")
    scene.shard.step()
    assert scene.engine.lines["s0"]
    scene.engine.lines["s0"].clear()
    scene.rests()


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


class Backend(SweepingBackend):
    """Registers nothing and loses hints without a word."""

    lossy = True

    def watch(self, fd: int, node: Node, *, names: bool = True) -> None:
        node.wd = 0

    def same(self, fd: int, node: Node) -> bool:
        return True


def test_a_lossy_backend_is_rescanned(tmp_path: Path) -> None:
    """At every sync, and once a minute."""
    (tmp_path / "f.json").write_text("x")
    said: list[Record] = []
    now = [0]
    backend = Backend("lossy")
    anchors = [Anchor(os.fsencode(tmp_path), "s0", os.fsencode(tmp_path))]
    own = Territory(
        anchors, frozenset([anchors[0].path]), reader=Reader(Filter(("*.json",), ()), state_dir=b"/n"), backend=backend,
        doubts=Doubts(lambda missing: ""), emit=said.append,
    )  # fmt: skip
    stream = Stream("s0", 1, 1, lambda body: True)
    poller = Poller(own, shortest_ns=10**9, clock=lambda: now[0])
    watching = Watcher(own, backend, stream, Debounce(0, 0), poller=poller, clock=lambda: now[0])
    watching.begin()
    assert not watching.idle
    while not watching.idle:
        watching.work()
    assert watching.baseline_done
    del said[:]
    watching.sync(1)
    while not watching.idle:
        watching.work()
    assert [type(r) for r in said] == [Listing]
    now[0] += 61 * 10**9
    assert watching.next_due() <= now[0]
    watching.work()
    assert watching.rescans == 2
    assert watching.next_due() > now[0]
    backend.close()


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
