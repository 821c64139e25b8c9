"""What is mounted and unmounted while a shard runs, without any event. The table of mounts is the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import rows
from faulty_disk import FaultyDisk
from shard_scene import CHECK_MS, ShardScene, Table

from shardwatch.shard.backend.base import Arrival, Hints
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.schedule.arrivals import Arrivals
from shardwatch.shard.schedule.mount_changes import MountChanges
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.looking import look, reconcile
from shardwatch.shard.territory.sweep import sweep
from shardwatch.shard.territory.territory import Steps, Territory
from shardwatch.shard.tree.nodes import Node


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


class OneFile(Table):
    """A file is mounted over another, all the time."""

    def __init__(self, point: bytes) -> None:
        super().__init__()
        self._there = {point}

    def mounted(self) -> set[bytes]:
        return self._there


def test_a_mounted_file_is_compared_by_its_next_owner(make: Callable[..., ShardScene], tmp_path: Path) -> None:
    """A subtree with it passes to another shard, and the table of mounts stays as it was. Changes give no hint there: here, since
    they are made by a name outside."""
    (tmp_path / "tree/b").mkdir(parents=True)
    outside = tmp_path / "outside.json"
    outside.write_text("x")
    (tmp_path / "tree/b/f.json").hardlink_to(outside)
    scene = make(anchors={"": "s0", "b": "s1", "c": "s1"}, mounts=OneFile(os.fsencode(tmp_path / "tree/b/f.json")))
    scene.put("c/f.json")
    scene.equal()
    for plan in ({"": "s0", "b": "s1", "c": "s1"}, {"": "s0", "b": "s0", "c": "s1"}):
        scene.engine.replan_running(plan)
        scene.engine.until_quiet()
        scene.engine.turn(CHECK_MS)
        outside.write_text(outside.read_text() + "longer")
        scene.engine.turn(CHECK_MS)
        scene.rests()


class Growing(Table):
    """To which something remote is added."""

    def __init__(self) -> None:
        super().__init__()
        self._all = [(b"/", "ext4")]

    def all(self) -> list[tuple[bytes, str]]:
        return self._all

    def add(self, point: bytes) -> None:
        self._all = [*self._all, (point, "nfs4")]
        self.points = {point}
        self.version += 1


def test_what_was_entered_before_the_table_was_read_again_is_polled(make: Callable[..., ShardScene]) -> None:
    """A scan comes to what was mounted just now, or is mounted because a scan comes to it (autofs): by the table as it was, it is
    local, and gets watches, which tell nothing of changes made elsewhere."""
    table = Growing()
    scene = make(mounts=table)
    scene.put("f.json", "a/f.json", "a/b/f.json", "c/f.json")
    scene.equal()
    assert not scene.shard.territory.directories.swept and scene.shard.backend.watches() == 4
    table.add(scene.engine.root + b"/a")
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    polled = {node.path() for node in scene.shard.territory.directories.swept}
    assert polled == {scene.engine.root + b"/a", scene.engine.root + b"/a/b"} and scene.shard.backend.watches() == 2
    scene.equal()
    scene.shard.territory.close()


def test_a_change_of_the_root_of_all_is_no_name_in_it(table: Table, denied: FaultyDisk) -> None:
    """Where `/` is watched, its own line in the table is no hint: a record with an empty name would be refused for ever."""
    hinted: list[tuple[object, bytes]] = []

    def enter(node: Node, name: bytes, arrival: Arrival) -> Steps:
        hinted.append((node, name))
        return iter(())

    backend = InotifyBackend()
    with contextlib.closing(backend):
        territory = Territory(
            [Anchor(b"/", "s0", b"/")], frozenset([b"/"]), reader=Reader(Filter(("**",), ()), state_dir=b"/nowhere", disk=denied),
            backend=backend, doubts=Doubts(lambda missing: ""), emit=lambda record: None, mounts=table,
        )  # fmt: skip
        node = territory.places[0].plant()
        arrivals = Arrivals(enter)
        changes = MountChanges(territory, table, arrivals)
        for point in (b"/", b"/somewhere"):
            table.mount(point, "ext4")
        changes.report()
        while arrivals.step():
            pass
    assert hinted == [(node, b"somewhere")]
