"""Directories without a watch are swept: nothing is missed, and nothing is said twice."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable

import pytest
from faulty_disk import FaultyDisk
from index_rows import racy
from shard_scene import ShardScene
from waiting import eventually

from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.disk.calls import coarse_ns
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.looking import reconcile


@pytest.mark.parametrize("watches_max", [1, 2, 3])
def test_directories_without_a_watch_are_swept(make: Callable[..., ShardScene], watches_max: int) -> None:
    """Rule 15: when the watches are used up. Everything is found all the same, by each sync and by the clock."""
    scene = make(watches_max=watches_max)
    scene.put("f.json", "a/f.json", "a/b/f.json", "c/f.json")
    scene.rests()
    assert scene.shard.backend.watches() == watches_max
    scene.put("a/f.json", "c/new/g.json", text="changed")
    (scene.tree / "a/b/f.json").unlink()
    scene.equal()
    shutil.rmtree(scene.tree / "c")
    scene.put("c")
    (scene.tree / "a/b").rename(scene.tree / "a/moved")
    scene.put("a/moved/x.json")
    scene.rests()
    shard = scene.shard
    report = shard.territory.report()
    assert [d.state for d in report] == (["polled"] if shard.territory.directories.swept else [])


def test_a_swept_directory_gets_a_watch_when_there_is_room(make: Callable[..., ShardScene]) -> None:
    """From then on it is hinted at, and not swept."""
    scene = make(watches_max=2)
    scene.put("a/f.json", "b/f.json")
    scene.rests()
    (swept,) = scene.shard.territory.directories.swept
    other = "b" if swept.name == b"a" else "a"
    shutil.rmtree(scene.tree / other)
    scene.rests()
    assert not scene.shard.territory.directories.swept
    scene.put(os.fsdecode(swept.name) + "/g.json")
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})


def seq_while(scene: ShardScene, turns: int = 10) -> int:
    """Frames sent while nothing happens and the clock goes on."""
    before = scene.shard.stream._seq
    for _ in range(turns):
        scene.engine.turn(5000)
    return scene.shard.stream._seq - before


def test_a_sweep_says_only_what_is_new(make: Callable[..., ShardScene]) -> None:
    """Else a polled tree would be sent again each second."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    eventually(lambda: seq_while(scene) == 0)  # once nothing is racy any more


def test_a_sweep_says_what_differs_from_the_last_word(make: Callable[..., ShardScene]) -> None:
    """A look came in between: the listing is as before, and still it is news."""
    scene = make(watches_max=1)
    scene.put("a/f.json")
    scene.rests()
    eventually(lambda: seq_while(scene) == 0)
    scene.put("a/x.json")
    scene.shard.watcher.look_again(scene.engine.root + b"/a", [b"x.json"])
    scene.engine.turn()
    assert "a/x.json" in scene.paths()
    (scene.tree / "a/x.json").unlink()
    scene.rests()


def test_a_sweep_says_what_was_looked_at_too_early_once_more(make: Callable[..., ShardScene], denied: FaultyDisk) -> None:
    """Rule 7: one rule for hints, rescans and sweeps: an equal stat proves nothing if it is racy."""
    scene = make(watches_max=1)
    scene.put("a/f.json")
    denied.behind_ns = 50 * 10**9  # less than the minute for which a time to come counts as racy
    scene.rests()
    tick = scene.engine.index.tick
    assert racy(scene.engine.index) == 1
    denied.behind_ns = 0
    scene.engine.index.backlog.note_handed(0, tick)
    changed = os.stat(scene.tree / "a/f.json").st_ctime_ns
    eventually(lambda: coarse_ns() > changed, every_s=0.001)  # the kernel may stamp with a finer clock
    scene.rests()
    assert scene.engine.index.tick == tick + 1
    assert racy(scene.engine.index) == 0
    scene.rests()
    assert scene.engine.index.tick == tick + 1


def test_a_new_epoch_says_everything_of_what_is_swept(make: Callable[..., ShardScene]) -> None:
    """Rule 2: whatever the last listing was, it was another stream's."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    scene.engine.restart_aggregator(commit=True, lose_index=True)
    scene.rests()


@pytest.mark.parametrize("again", ["made again", "moved in", "file"])
def test_a_watched_directory_in_a_swept_one_is_replaced(make: Callable[..., ShardScene], again: str) -> None:
    """No hint of its parent's tells; the directory's own end does."""
    scene = make(watches_max=3)
    scene.put("q/z/f.json")
    scene.rests()
    scene.put("p/c/f.json")
    (scene.base / "other").mkdir()
    (scene.base / "other/h.json").write_text("x")
    scene.rests()
    p = scene.node("p")
    directories = scene.shard.territory.directories
    directories.cut(scene.node("q/z"))  # room, after p had its try
    for _ in reconcile(scene.shard.territory, p, b"c", arrived=True):
        pass
    assert p.wd < 0 <= scene.node("p/c").wd
    fd = os.open(scene.tree / "q/z", os.O_RDONLY)
    assert directories.enter(scene.node("q"), b"z", fd) in directories.swept
    os.close(fd)
    shutil.rmtree(scene.tree / "p/c")
    if again == "made again":
        scene.put("p/c/g.json")
    elif again == "file":
        scene.put("p/c")
    else:
        (scene.base / "other").rename(scene.tree / "p/c")
    scene.rests()
    scene.put("p/c/i.json") if again != "file" else None
    scene.equal()


def test_a_directory_is_replaced_while_the_kernel_has_no_room(scene: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: the watch of the old one makes room for the new one, or it is swept; it is never only in doubt."""
    limit = len(list(scene.node().subtree()))
    add, held = scene.shard.backend._add, scene.shard.backend._nodes

    def full(fd: int, *mask: int) -> int:
        wd = add(fd, *mask)
        if wd not in held and len(held) >= limit:
            from shardwatch.shard.backend import calls

            calls.rm_watch(scene.shard.backend._fd, wd)
            raise OSError(errno.ENOSPC, "No space left on device")
        return wd

    monkeypatch.setattr(scene.shard.backend, "_add", full)
    for turn in range(3):
        (scene.tree / "a").rename(scene.base / f"old{turn}")
        scene.put("a/b/f.json", f"a/new{turn}.json")
        scene.shard.step()
        scene.equal()
        scene.put("a/b/g.json", text=str(turn))
        scene.equal()


def test_an_anchor_that_is_planned_to_be_polled_has_no_watch(make: Callable[..., ShardScene]) -> None:
    """Its filesystem tells nothing of remote changes. Another anchor of the same shard has its watches."""
    scene = make(anchors={"": "s0", "net": "s0"})
    scene.engine.plan = scene.engine.plan.__class__(
        2, tuple(Anchor(a.path, a.shard, a.root, backend="polling" if a.path.endswith(b"net") else "inotify")
                 for a in scene.engine.plan.anchors),
    )  # fmt: skip
    scene.engine.kill("s0")
    scene.engine.start("s0")
    scene.put("net/a/f.json", "b/f.json")
    scene.rests()
    shard = scene.shard
    assert {n.path()[len(scene.engine.root) :] for n in shard.territory.directories.swept} == {b"/net", b"/net/a"}
    assert shard.backend.watches() == 2
    report = shard.territory.report()
    assert [(d.path, d.state) for d in report] == [(scene.engine.root + b"/net", "polled")]
    doubts = Doubts(lambda missing: "", standing_in=("its watcher crashes", "see its log"))
    (doubt,) = doubts.report(shard.territory.places, shard.territory.directories.swept)
    assert (doubt.state, doubt.reason, doubt.remedy) == ("stand-in", "its watcher crashes", "see its log")
    scene.put("net/a/g.json", "b/g.json")
    scene.equal()


def test_the_number_of_polled_directories_follows_the_tree(make: Callable[..., ShardScene]) -> None:
    """The plan has only that of the start. Each anchor's own directories are counted, also where it is moved away."""
    scene = make(anchors={"": "s0", "net": "s0"})
    anchors = tuple(Anchor(a.path, a.shard, a.root, backend="polling", directories=7) for a in scene.engine.plan.anchors)
    scene.engine.plan = scene.engine.plan.__class__(2, anchors)
    scene.engine.kill("s0")
    scene.engine.start("s0")

    def told() -> dict[str, int]:
        return {os.fsdecode(d.path)[len(str(scene.tree)) :]: d.directories for d in scene.shard.territory.report()}

    scene.put("net/a/b/f.json", "c/f.json", "c/d/f.json")
    scene.equal()
    assert told() == {"": 3, "/net": 3}
    scene.put("net/a/b/e/g.json")
    shutil.rmtree(scene.tree / "c")
    scene.equal()
    assert told() == {"": 1, "/net": 4}
    (scene.tree / "net").rename(scene.tree / "c")
    scene.equal()
    assert told() == {"": 5}
