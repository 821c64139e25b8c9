"""What is mounted and unmounted while a shard runs, without any event. The table of mounts is the test's own."""

from __future__ import annotations

import shutil

import pytest
from engine import rows
from shard_scene import CHECK_MS, ShardScene, Table

from shardwatch.shard.backend.base import Hints
from shardwatch.shard.territory.looking import look, reconcile
from shardwatch.shard.territory.sweep import sweep


@pytest.mark.parametrize("synced", [False, True])
def test_what_is_mounted_over_a_directory_is_seen(mounted: ShardScene, table: Table, synced: bool) -> None:
    """Rule 12: mounting gives no event at all: here, one directory takes another's place unheard."""
    shard = mounted.shard
    (mounted.tree / "a").rename(mounted.base / "below")
    mounted.put("a/over.json", "a/deep/er.json")
    shard.backend.drain()
    shard.backend.take()
    table.points = {mounted.engine.root + b"/a", mounted.engine.root + b"/nothing/known", b"/elsewhere"}
    if not synced:
        mounted.engine.turn(CHECK_MS)
        mounted.rests()
    mounted.equal()
    mounted.put("a/over.json", text="and it is watched")
    mounted.equal()


def test_an_unmounted_directory_is_seen(scene: ShardScene) -> None:
    """Rule 12: the kernel takes the watches back, and what is below the mount point shows."""
    node, below = scene.node("a"), scene.node("a/b")
    (scene.tree / "a").rename(scene.base / "unmounted")
    scene.put("a/below.json")
    scene.shard.backend.drain()
    scene.shard.backend.take()
    hints = Hints()
    for one in (node, below):
        scene.shard.backend.forget([one])
        hints.selves.append(one)
    scene.shard.watcher.absorb(hints)
    scene.rests()
    scene.put("a/below.json", text="and it is watched")
    scene.equal()


def test_an_unmounted_root_is_in_doubt(mounted: ShardScene, table: Table) -> None:
    """Rule 12: its rows stay; whatever lies in its place, by a hint, a sweep or a scan, is none of them."""
    before = rows(mounted.engine.index)
    table.off = True
    mounted.put("a/f.json", "impostor.json", text="on the disk below")
    (mounted.tree / "a/b").rename(mounted.tree / "c")
    mounted.shard.lose_hints()
    mounted.engine.turn(CHECK_MS)
    result = mounted.engine.sync()
    assert (result["ok"], result["subtrees"]) == (False, [mounted.engine.root])
    mounted.shard.watcher.look_again(mounted.engine.root + b"/a", [b"f.json"])
    mounted.shard.watcher.look_again(mounted.engine.root + b"/gone", [b"f.json"])
    mounted.engine.turn()
    assert rows(mounted.engine.index) == before
    shard = mounted.shard
    report = shard.territory.report()
    assert [d.state for d in report] == ["unmounted"]
    table.off = False
    mounted.equal()


@pytest.mark.parametrize("absent", [False, True])
def test_what_was_mounted_after_planning_is_waited_for(mounted: ShardScene, table: Table, absent: bool) -> None:
    """An empty place, or none at all, says nothing of what was mounted there; what lies in it is the root."""
    before = rows(mounted.engine.index)
    mounted.tree.rename(mounted.base / "away")
    if not absent:
        mounted.tree.mkdir()
    table.departed = True
    mounted.engine.turn(CHECK_MS)
    assert mounted.engine.sync()["ok"] is False
    assert rows(mounted.engine.index) == before
    assert mounted.shard.territory.places[0].unmounted
    mounted.put("below.json")
    mounted.engine.turn(CHECK_MS)
    mounted.equal()
    assert mounted.paths() == ["below.json"]
    (mounted.tree / "below.json").unlink()
    mounted.equal()
    assert mounted.paths() == []


def test_a_root_that_is_unmounted_between_two_steps_is_left_alone(mounted: ShardScene, table: Table) -> None:
    """Rule 12: jobs that were begun before find nothing to say."""
    before = rows(mounted.engine.index)
    node = mounted.node("a")
    mounted.shard.territory.directories.swept.add(node)
    table.off = True
    shutil.rmtree(mounted.tree / "a")
    mounted.put("a/c/impostor.json")
    for job in (
        look(mounted.shard.territory, node, {b"f.json"}),
        sweep(mounted.shard.territory),
        reconcile(mounted.shard.territory, node, b"b", arrived=False),
        reconcile(mounted.shard.territory, node, b"c", arrived=True),
    ):
        for _ in job:
            pass
    mounted.shard.stream.flush(0)
    assert not mounted.shard.line
    assert rows(mounted.engine.index) == before
