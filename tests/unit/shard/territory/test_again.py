"""Looks that the aggregator asks for: at the other names of a file, and at names that nobody knows."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from shard_scene import ShardScene

from shardwatch.shard.schedule.watcher import Bounds


@pytest.mark.parametrize("anchors", [{"": "s0"}, {"": "s0", "a": "s1"}])
def test_a_write_by_one_name_is_seen_at_the_other(make: Callable[..., ShardScene], anchors: dict[str, str]) -> None:
    """Rule 11: of one shard, or of two. The second name may be the younger one."""
    scene = make(anchors=anchors)
    scene.put("f.json", "a/x.json")
    scene.equal()
    (scene.tree / "a/g.json").hardlink_to(scene.tree / "f.json")
    scene.equal()
    (scene.tree / "a/g.json").write_text("by the new name")
    scene.equal()
    (scene.tree / "f.json").write_text("by the old one")
    scene.rests()
    (scene.tree / "a/h.json").hardlink_to(scene.tree / "f.json")
    (scene.tree / "f.json").unlink()
    scene.equal()
    shutil.rmtree(scene.tree / "a")
    scene.equal()


def test_a_copy_by_hard_links_comes_to_rest(make: Callable[..., ShardScene]) -> None:
    """Rule 11: `cp -al`, in directories with more names than one reply asks for."""
    scene = make(anchors={"": "s0", "copy": "s1"})
    scene.put(*[f"d/{i:03}.json" for i in range(150)])
    scene.equal()
    (scene.tree / "copy").mkdir()
    for i in range(150):
        (scene.tree / f"copy/{i:03}.json").hardlink_to(scene.tree / f"d/{i:03}.json")
    scene.equal()
    assert scene.engine.index.owed == {}


def test_names_that_nobody_knows_are_answered_too(scene: ShardScene) -> None:
    """A look that is owed is paid, or no sync would ever end: what is gone, is pruned, is no file, or is not known yet."""
    watching = scene.shard.watcher
    root = scene.engine.root
    scene.put(".git/f.json", "new/deep/f.json", "t.tmp")
    scene.shard.backend.take()
    scene.engine.index.begin()
    owed = [
        (root, b"f.json"), (root, b"nothing.json"), (root, b"t.tmp"), (root, b".git"), (root, b"a"), (root, b"gone"),
        (root + b"/.git", b"f.json"), (root + b"/gone/deep", b"f.json"), (root + b"/new/deep", b"f.json"),
    ]  # fmt: skip
    for directory, name in owed:
        scene.engine.index.debts.owe(directory, name)
    for i in range(150):
        scene.engine.index.debts.owe(root + b"/gone", b"%d" % i)
        scene.engine.index.debts.owe(root + b"/a", b"%d" % i)
    scene.engine.index.commit()
    watching.look_again(b"/elsewhere", [b"f"])
    scene.equal()
    assert scene.engine.index.owed == {}


def test_what_is_asked_for_is_bounded_while_there_is_no_credit(make: Callable[..., ShardScene]) -> None:
    """Rule 15: the aggregator asks again with each beat."""
    scene = make(bounds=Bounds(asked_max=5))
    scene.equal()
    for _ in range(50):
        scene.shard.watcher.look_again(scene.engine.root, [b"f.json"])
    assert scene.shard.watcher.pending == 5
