"""Filesystems that the kernel makes up and that are mounted in a shard's trees. The table of mounts, and what is found at a mount
point, are the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from faulty_disk import FaultyDisk
from shard_scene import CHECK_MS, ShardScene, Table
from waiting import next_tick

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.wire.frames import Doubt, Looks, Record
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.swept import Swept


def seen_at(scene: ShardScene, table: Table, disk: FaultyDisk, path: str, kind: str = "proc") -> bytes:
    """Such a filesystem is mounted there. Nobody has heard of it."""
    point = os.fsencode(scene.tree / path)
    disk.made_up[point] = kind
    table.mount(point, kind)
    return point


def taken_from(table: Table, disk: FaultyDisk, point: bytes) -> None:
    del disk.made_up[point]
    table.unmount(point)


def told(scene: ShardScene, shard: str = "s0") -> list[Doubt]:
    return [doubt for doubt in scene.engine.shards[shard].territory.report() if doubt.state == "virtual"]


@pytest.mark.parametrize("watches_max", [0, 3])
def test_it_is_passed_over_until_it_is_unmounted(
    make: Callable[..., ShardScene], table: Table, denied: FaultyDisk, watches_max: int
) -> None:
    """What it hides is gone, and comes back; nothing in it is opened, by a scan, a hint, a rescan, a sync or a sweep."""
    scene = make(mounts=table, watches_max=watches_max)
    scene.put("a/f.json", "a/p/f.json", "a/p/1/f.json", "b/f.json")
    scene.equal()
    point = seen_at(scene, table, denied, "a/p")
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    assert scene.paths() == ["a", "a/f.json", "a/p", "b", "b/f.json"]
    assert [(doubt.path, doubt.directories) for doubt in told(scene)] == [(point, 1)]
    denied.listed.clear()
    scene.put("a/p/2/f.json", "a/g.json")
    scene.shard.lose_hints()
    for _ in range(2):
        assert scene.engine.sync() == {"ok": True}
        scene.engine.until_quiet()
    assert scene.paths() == ["a", "a/f.json", "a/g.json", "a/p", "b", "b/f.json"]
    assert not [path for path in denied.listed if path.startswith(point)] and len(told(scene)) == 1
    taken_from(table, denied, point)
    scene.equal()
    assert told(scene) == [] and "a/p/2/f.json" in scene.paths()
    scene.put("a/p/1/f.json", text="and it is watched")
    scene.equal()


def test_it_is_there_from_the_start(make: Callable[..., ShardScene], table: Table, denied: FaultyDisk) -> None:
    """A shard that begins tells that nothing is in it, whatever the index has; and enters all that lies beside it."""
    scene = make(mounts=table)
    scene.put("f.json", "p/f.json", "p/1/f.json", *(f"d{n}/e/f.json" for n in range(9)))
    scene.equal()
    scene.engine.kill("s0")
    point = seen_at(scene, table, denied, "p")
    denied.listed.clear()
    scene.engine.start("s0")
    scene.engine.until_quiet()
    assert "p" in scene.paths() and not [path for path in scene.paths() if path.startswith("p/")]
    assert not [path for path in denied.listed if path.startswith(point)]
    assert len([path for path in scene.paths() if path.endswith("e/f.json")]) == 9 and len(told(scene)) == 1


def test_a_name_alone_says_nothing(make: Callable[..., ShardScene], table: Table, denied: FaultyDisk) -> None:
    """Neither a directory that is called proc, nor a mount that another one covers."""
    scene = make(mounts=table)
    scene.put("proc/f.json", "a/p/f.json")
    table.mount(os.fsencode(scene.tree / "a/p"), "proc")
    scene.equal()
    assert told(scene) == [] and "a/p/f.json" in scene.paths()


def test_it_is_said_once(make: Callable[..., ShardScene], table: Table, denied: FaultyDisk) -> None:
    """Looks at the directory above it say nothing more of it, whatever leads to them: a poll sends what has changed only."""
    scene = make(mounts=table, watches_max=1)
    scene.put("a/f.json", "a/p/f.json")
    next_tick()  # what is looked at right after it was written is looked at once more
    scene.equal()
    seen_at(scene, table, denied, "a/p")
    assert scene.engine.sync() == {"ok": True}
    scene.engine.until_quiet()
    records: list[Record] = []
    scene.shard.territory.reports.emit_by(records.append)
    for _ in range(5):
        scene.engine.turn(CHECK_MS)
        scene.engine.until_quiet()
    assert scene.shard.territory.directories.swept and records == []


@pytest.mark.parametrize("kind", ["proc", "cgroup2"])
@pytest.mark.parametrize("at", ["a/x/y", "a/x", "a"])
def test_it_comes_at_or_above_an_anchor(
    make: Callable[..., ShardScene], table: Table, denied: FaultyDisk, at: str, kind: str
) -> None:
    """Each shard says of its part that nothing is there, and comes back to it; one of them tells it, whatever else is mounted."""
    scene = make(mounts=table, anchors={"": "s0", "a/x/y": "s1"})
    scene.put("f.json", "a/x/f.json", "a/x/y/f.json", "a/x/y/d/f.json")
    scene.equal()
    point = seen_at(scene, table, denied, at, kind)
    for _ in range(3):
        scene.engine.turn(CHECK_MS)
        scene.engine.until_quiet()
    assert not [path for path in scene.paths() if path.startswith(at + "/") and path.endswith(".json")]
    assert [doubt.path for shard in ("s0", "s1") for doubt in told(scene, shard)] == [point]
    assert not [doubt for doubt in scene.engine.shards["s1"].territory.report() if doubt.state == "missing"]
    table.mount(b"/elsewhere", "tmpfs")
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    assert [doubt.path for shard in ("s0", "s1") for doubt in told(scene, shard)] == [point]
    taken_from(table, denied, point)
    scene.equal()
    assert told(scene) == told(scene, "s1") == []


def test_what_is_asked_for_at_a_covered_anchor_is_answered(
    make: Callable[..., ShardScene], table: Table, denied: FaultyDisk
) -> None:
    """The directory is there, and its shard has no node of it: no sync would end before the answer."""
    scene = make(mounts=table, anchors={"": "s0", "a/x/y": "s1"})
    scene.put("a/x/y/f.json")
    scene.equal()
    point = seen_at(scene, table, denied, "a/x/y", "cgroup2")
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    shard = scene.engine.shards["s1"]
    records: list[Record] = []
    shard.territory.reports.emit_by(records.append)
    shard.watcher.look_again(point, [b"f.json"])
    shard.watcher.work()
    assert [(record.path, record.absent) for record in records if isinstance(record, Looks)] == [(point, [b"f.json"])]


def test_a_root_over_which_it_is_mounted(mounted: ShardScene, table: Table, denied: FaultyDisk) -> None:
    """No root may lie on proc: it is missing, with the reason, until that is unmounted."""
    point = seen_at(mounted, table, denied, ".")
    mounted.engine.turn(CHECK_MS)
    mounted.engine.until_quiet()
    (missing,) = mounted.shard.territory.report()
    assert (missing.state, "kernel" in missing.reason, "unmount" in missing.remedy) == ("missing", True, True)
    assert mounted.paths() == []
    taken_from(table, denied, point)
    mounted.equal()


def test_a_file_over_which_it_is_mounted(mounted: ShardScene, table: Table, denied: FaultyDisk) -> None:
    """It is left out like a directory, and comes back."""
    point = seen_at(mounted, table, denied, "a/f.json")
    mounted.engine.turn(CHECK_MS)
    mounted.engine.until_quiet()
    assert "a/f.json" not in mounted.paths()
    taken_from(table, denied, point)
    mounted.equal()


def test_a_file_that_would_be_no_directory_of_ours(make: Callable[..., ShardScene], table: Table, denied: FaultyDisk) -> None:
    """As in a root that is not recursive: the name is looked at as that of a file only."""
    scene = make(mounts=table, keep=Filter(("*.json",), ("f.json/",)))
    scene.put("f.json", "g.json")
    scene.engine.until_quiet()
    assert scene.paths() == ["f.json", "g.json"]
    point = seen_at(scene, table, denied, "f.json")
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    assert scene.paths() == ["g.json"]
    taken_from(table, denied, point)
    scene.engine.turn(CHECK_MS)
    scene.engine.until_quiet()
    assert scene.paths() == ["f.json", "g.json"]


def test_what_is_asked_for_there_is_answered(mounted: ShardScene, table: Table, denied: FaultyDisk) -> None:
    """The aggregator repeats its question until somebody says what is at a name."""
    mounted.put("a/b/c/f.json")
    mounted.equal()
    point = seen_at(mounted, table, denied, "a/b")
    mounted.engine.turn(CHECK_MS)
    mounted.engine.until_quiet()
    mounted.shard.watcher.look_again(point + b"/c", [b"f.json", b"none"])
    mounted.engine.until_quiet()
    assert not [path for path in mounted.paths() if path.startswith("a/b/")]


def test_many_are_counted() -> None:
    """The first of them are named, and the last of these has the number of all that are not."""
    found = Doubts(lambda missing: "").report([], Swept(lambda: 0), most=3, virtual=[b"/%d" % n for n in range(8)])
    assert [(doubt.path, doubt.state, doubt.directories) for doubt in found] == [
        (b"/0", "virtual", 1), (b"/1", "virtual", 1), (b"/2", "virtual", 6)
    ]  # fmt: skip
