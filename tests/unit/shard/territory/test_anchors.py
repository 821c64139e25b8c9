"""What becomes of an anchor that is away, gone, made again, or in the place of another."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable

import pytest
from faulty_disk import FaultyDisk
from shard_scene import CHECK_MS, ShardScene

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.slow import Unanswered
from shardwatch.shard.schedule.watcher import Bounds
from shardwatch.shard.territory.anchors import scan_anchor
from shardwatch.shard.territory.looking import look, reconcile


def test_another_shards_anchor_is_not_entered(nested: ShardScene) -> None:
    """Rule 10: its parent's owner says that it is there, and holds no watch on it."""
    shutil.rmtree(nested.tree / "a/x/y")
    nested.put("a/x/y/f.json")
    nested.equal()
    os.utime(nested.tree / "a/x/y")
    nested.equal()
    path = nested.engine.root + b"/a/x/y"
    assert [place.find(path) for place in nested.shard.territory.places] == [None]
    assert nested.shard.backend.watches() == 3


@pytest.mark.parametrize("again", [False, True])
def test_an_anchors_ancestor_is_renamed(nested: ShardScene, again: bool) -> None:
    """Rule 10: the anchor's shard gets no event, and would watch the old directory for ever."""
    (nested.tree / "a/x").rename(nested.tree / "a/z")
    if again:
        nested.put("a/x/y/new.json")
    nested.equal()
    nested.put("a/z/y/f.json", text="in the old one")
    if again:
        nested.put("a/x/y/d/f.json", text="in the new one")
    nested.equal()
    if not again:
        (nested.tree / "a/z").rename(nested.tree / "a/x")
        nested.equal()


def test_an_anchor_that_was_away_for_a_moment_lost_nothing(nested: ShardScene) -> None:
    """Rule 10: changed while it was away, looked at in vain, and back before anyone compares: the same directory."""
    nested.engine.turn(CHECK_MS)
    (nested.tree / "a/x").rename(nested.tree / "a/z")
    nested.put("a/z/y/d/f.json", text="changed")
    nested.put("a/z/y/d/new/g.json")
    (nested.tree / "a/z/y/d/gone").mkdir()
    nested.engine.shards["s1"].step()
    (nested.tree / "a/z").rename(nested.tree / "a/x")
    nested.rests()
    nested.put("a/x/y/d/new/g.json", text="watched again")
    nested.rests()


@pytest.mark.parametrize("moment", ["root", "below"])
def test_a_root_that_was_away_for_a_moment_lost_nothing(scene: ShardScene, moment: str) -> None:
    """Rule 10: its own move is an event, but it may be read when all is over."""
    scene.engine.turn(CHECK_MS)
    shard = scene.shard
    scene.tree.rename(scene.base / "away")
    where = scene.base / "away" / ("a" if moment == "below" else "")
    (where / "f.json").write_text("changed")
    (where / "new").mkdir()
    (where / "new/g.json").write_text("x")
    shard.backend.drain()
    hints = shard.backend.take()
    hints.selves.clear()  # of its move nothing is known yet
    shard.watcher.absorb(hints)
    shard.watcher.work()
    shard.stream.flush(0)
    (scene.base / "away").rename(scene.tree)
    scene.rests()
    (scene.tree / where.name / "new/g.json" if moment == "below" else scene.tree / "new/g.json").write_text("watched")
    scene.rests()


def test_a_sync_covers_an_anchor_that_went_away_during_it(scene: ShardScene) -> None:
    """Rule 24: what was changed before the sync is in the index when it is answered."""
    scene.put("a/f.json", text="changed before the sync")
    shard = scene.shard
    shard.watcher.syncs.ask(77)
    scene.tree.rename(scene.base / "away")
    shard.watcher.work()
    (scene.base / "away").rename(scene.tree)
    scene.engine.receiver.finish_syncs(0)
    scene.equal()


@pytest.mark.parametrize("path", ["", "a"])
def test_a_root_that_is_back_before_anybody_asks(scene: ShardScene, denied: FaultyDisk, path: str) -> None:
    """Rule 10: a look was in vain, and a moment later everything is where it was. Only a scan makes it certain."""
    scene.put(os.path.join(path, "f.json"), text="changed")
    denied.once[os.fsencode(scene.tree / path)] = errno.ENOENT
    scene.shard.step()
    assert denied.once == {}
    scene.rests()


def test_an_anchor_in_place_of_another_is_not_taken_for_it(scene: ShardScene) -> None:
    """Rules 9 and 10: a look in the impostor of a root says nothing; the root is scanned."""
    scene.put("f.json", text="changed")
    shard = scene.shard
    shard.backend.drain()
    hints = shard.backend.take()
    scene.tree.rename(scene.base / "kept")
    scene.put("f.json", text="an impostor's")
    shard.watcher.absorb(hints)
    shard.watcher.work()
    shard.stream.flush(0)
    shutil.rmtree(scene.tree)
    (scene.base / "kept").rename(scene.tree)
    scene.rests()


@pytest.mark.parametrize("lost", [False, True])
def test_a_root_that_is_made_again_is_watched_again(scene: ShardScene, lost: bool) -> None:
    """Rule 10: ext4 gives it the inode number of its predecessor; also where the kernel's queue ran over."""
    for turn in range(3):
        shutil.rmtree(scene.tree)
        scene.tree.mkdir()
        if lost:
            scene.shard.lose_hints()
        scene.put(f"{turn}.json")
        scene.rests()
        scene.put(f"later{turn}.json", f"d{turn}/f.json")
        scene.rests()


def test_anchors_of_one_shard_change_places(make: Callable[..., ShardScene]) -> None:
    """Rule 10: each is found by the other's watch, and the number of directories, which the shard tells, stays right."""
    scene = make(anchors={"": "s1", "a": "s0", "b": "s0"})
    scene.put("a/f.json", "a/x/f.json", "b/g.json", "b/y/g.json", "b/y/z/g.json")
    scene.equal()
    for turn in range(4):
        (scene.tree / "a").rename(scene.tree / "t")
        (scene.tree / "b").rename(scene.tree / "a")
        if turn % 2:
            scene.shard.step()
        (scene.tree / "t").rename(scene.tree / "b")
        scene.rests()
        assert len(scene.shard.territory.directories) == scene.shard.known() == 5
        scene.put(f"a/later{turn}.json", f"b/later{turn}.json")
        scene.rests()


def test_a_directory_that_is_made_again_is_watched_again(scene: ShardScene) -> None:
    """The same, below the root, with and without the kernel's word for it."""
    for turn in range(4):
        shutil.rmtree(scene.tree / "a")
        scene.put("a/b/g.json")
        if turn % 2:
            scene.shard.lose_hints()
        scene.equal()
        scene.put("a/b/h.json", text=str(turn))
        scene.equal()


def test_a_root_that_is_missing_is_gone_and_told(scene: ShardScene) -> None:
    """Rule 12: deletions, and a status; said once."""
    scene.tree.rename(scene.base / "away")
    scene.equal()
    assert scene.paths() == []
    shard = scene.shard
    report = shard.territory.report()
    assert [(d.path, d.state) for d in report] == [(scene.engine.root, "missing")]
    seq = shard.stream._seq
    for _ in range(5):
        scene.engine.turn(CHECK_MS)
    assert shard.stream._seq == seq
    (scene.base / "away").rename(scene.tree)
    scene.equal()
    assert len(scene.paths()) == 5


@pytest.mark.parametrize(
    ("come", "reason"), [("file", "not a directory"), ("link", "links are resolved"), ("fifo", "not a directory")]
)
def test_what_is_there_in_place_of_a_root_is_told(scene: ShardScene, come: str, reason: str) -> None:
    """It is missing as a directory, and the reason is true. Its files are gone until it is back."""
    away = scene.base / "away"
    scene.tree.rename(away)
    if come == "file":
        scene.tree.touch()
    elif come == "link":
        scene.tree.symlink_to(away)
    else:
        os.mkfifo(scene.tree)
    assert scene.engine.sync() == {"ok": True}
    assert scene.paths() == []
    told = scene.shard.territory.report()
    assert [(doubt.path, doubt.state, reason in doubt.reason) for doubt in told] == [(scene.engine.root, "missing", True)]
    scene.tree.unlink()
    away.rename(scene.tree)
    scene.equal()
    assert (scene.shard.territory.report(), len(scene.paths())) == ([], 5)


def test_a_link_to_a_file_is_what_was_named_as_one(scene: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that may be a file is watched as one then. A link to a directory is none, nor is one of which it is not known where
    it leads, since a filesystem on the way does not answer."""
    territory = scene.shard.territory
    territory.reader.go_by(Settings(roots=(scene.engine.root,), files=(scene.engine.root,), include=("*",), exclude=()))
    away, file = scene.base / "away", scene.base / "file"
    scene.tree.rename(away)
    file.touch()
    for target, told in ((file, 0), (away, 1), (scene.base / "nowhere", 1)):
        scene.tree.symlink_to(target)
        assert scene.engine.sync() == {"ok": True}
        assert len(territory.report()) == told, target
        scene.tree.unlink()

    def refuse(path: bytes) -> None:
        raise Unanswered(path, "nfs")

    scene.tree.symlink_to(file)
    assert scene.engine.sync() == {"ok": True} and territory.report() == []
    monkeypatch.setattr(territory.slow, "guard_way", refuse)
    assert len(territory.report()) == 1


def test_an_anchor_that_becomes_a_file_is_gone(nested: ShardScene) -> None:
    """Its owner says so; what is there now belongs to the parent's."""
    shutil.rmtree(nested.tree / "a/x/y")
    (nested.tree / "a/x/y").write_text("x")
    nested.equal()
    (nested.tree / "a/x/y").unlink()
    nested.put("a/x/y/f.json")
    nested.equal()


def test_a_plan_moves_a_subtree(nested: ShardScene) -> None:
    """Rule 16: its new owner watches and lists it, whatever its old one had not said yet."""
    nested.put("a/x/y/f.json", "a/x/f.json", text="not said yet")
    nested.engine.replan({"": "s1", "a": "s0"})
    nested.put("a/x/y/d/f.json", text="after the plan")
    nested.equal()
    nested.engine.replan({"": "s0"})
    shutil.rmtree(nested.tree / "a/x")
    nested.equal()


def test_many_anchors_take_their_turns(make: Callable[..., ShardScene]) -> None:
    """Rule 10: each is compared within four rounds; a sync compares them all."""
    scene = make(bounds=Bounds(anchors_min=2), anchors={"": "s0"} | {f"d{i}/e": "s0" for i in range(12)})
    scene.put(*[f"d{i}/e/f.json" for i in range(12)])
    scene.equal()
    for i in range(12):
        (scene.tree / f"d{i}").rename(scene.tree / f"old{i}")
        scene.put(f"d{i}/e/g.json")
    for _ in range(4):
        scene.engine.turn(CHECK_MS)
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})
    (scene.tree / "d7").rename(scene.tree / "older7")
    scene.equal()


@pytest.mark.parametrize("listed", [False, True], ids=["looked at", "listed"])
def test_a_directory_that_is_there_again_when_a_scan_comes_to_it_is_reported(scene: ShardScene, listed: bool) -> None:
    """It was gone after the scan had listed what is above it, and that was reported. If it goes again before its hints are
    followed, what the scan has found in it goes with it."""
    scene.put("a/f.json", "b/f.json", "c/d/f.json")
    scene.equal()
    territory, root = scene.shard.territory, scene.node()
    scan = scan_anchor(territory, territory.places[root.anchor])
    next(scan)
    shutil.rmtree(scene.tree / "b")
    for _ in look(territory, root, None) if listed else reconcile(territory, root, b"b", arrived=False):
        pass
    scene.put("b/f.json", "b/e/f.json")
    for _ in scan:
        pass
    shutil.rmtree(scene.tree / "b")
    scene.rests()
    scene.equal()
