"""What can not be read keeps its rows, is in doubt until it can be read, and is said to be."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable

import pytest
from faulty_disk import FaultyDisk
from shard_scene import CHECK_MS, ShardScene, unreadable

from shardwatch.shard.stream import send


@pytest.mark.parametrize("scan", [False, True])
def test_an_unreadable_directory_keeps_its_rows(scene: ShardScene, denied: FaultyDisk, scan: bool) -> None:
    """Rule 6: EACCES is no fact. Found by its hint, by a look inside, or by a scan; looked at when it can be."""
    denied.deny(scene.tree / "a")
    before = scene.paths()
    scene.put("a/f.json", "a/new/g.json", text="changed unseen")
    (scene.tree / "a/b/f.json").unlink()
    os.utime(scene.tree / "a")
    if scan:
        scene.shard.lose_hints()
    unreadable(scene, *(("a",) if scan else ("a", "a/b", "a/new")))
    assert scene.paths() == before if scan else set(scene.paths()) >= set(before)
    denied.denied.clear()
    scene.equal()


@pytest.mark.parametrize("follow", [False, True])
def test_a_listing_that_breaks_off_deletes_nothing(make: Callable[..., ShardScene], denied: FaultyDisk, follow: bool) -> None:
    """Rule 6: names after the error are not absent. In a scan, and where a directory is listed because of hints."""
    scene = make(follow=follow)
    scene.put("a/1.json", "a/2.json", "a/b/f.json")
    scene.equal()
    before = scene.paths()
    denied.breaks_off.add(os.fsencode(scene.tree / "a"))
    scene.put("a/3.json")
    (scene.tree / "a/1.json").unlink()
    scene.shard.lose_hints()
    unreadable(scene, "a")
    assert scene.paths() == before
    denied.breaks_off.clear()
    scene.equal()
    assert "a/3.json" in scene.paths() and "a/1.json" not in scene.paths()


def test_a_directory_that_becomes_readable_is_scanned(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: it is the directory that was known, but hints about what is in it were looked at in vain."""
    denied.deny(scene.tree / "a")
    scene.put("a/f.json", text="changed unseen")
    scene.engine.turn()
    denied.denied.clear()
    scene.shard.watcher.times.doubts.put_off(2**62)
    os.utime(scene.tree / "a")  # chmod(2), say
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})


def test_a_doubt_ends_with_its_directory(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: deleted, replaced by a file, or moved away, there is nothing left to doubt."""
    for end in ("deleted", "file", "moved"):
        scene.put("u/f.json")
        scene.equal()
        denied.deny(scene.tree / "u")
        os.utime(scene.tree / "u")
        unreadable(scene, "u")
        denied.denied.clear()
        if end == "moved":
            (scene.tree / "u").rename(scene.base / "u")
        else:
            shutil.rmtree(scene.tree / "u")
        if end == "file":
            (scene.tree / "u").write_text("x")
        scene.equal()
        assert not scene.shard.territory.doubts
        if end == "file":
            (scene.tree / "u").unlink()


def test_another_shards_anchor_is_no_lasting_doubt_of_ours(nested: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: its parent's owner sees it become readable, and does not go in."""
    denied.deny(nested.tree / "a/x/y")
    os.utime(nested.tree / "a/x/y")
    unreadable(nested, "a/x/y", "a/x/y")
    denied.denied.clear()
    nested.equal()
    assert not nested.engine.shards["s0"].territory.doubts


def test_an_unreadable_directory_is_not_invented(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: who may not look whether a name is there says nothing of it."""
    (scene.tree / "a/c").mkdir()
    (scene.tree / "a/c").rmdir()
    denied.deny(scene.tree / "a")
    scene.shard.step()
    denied.denied.clear()
    assert "a/c" not in scene.paths()
    scene.equal()


def test_a_name_that_can_not_be_looked_at_puts_its_directory_in_doubt(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: EIO is no absence. By a look, by a listing, and where a directory was."""
    denied.broken[b"f.json"] = errno.EIO
    scene.put("a/f.json", text="changed")
    unreadable(scene, "a")
    assert "a/f.json" in scene.paths()
    scene.shard.lose_hints()
    assert scene.engine.sync()["ok"] is False
    assert "f.json" in scene.paths()
    denied.broken.clear()
    scene.equal()
    denied.broken[b"b"] = errno.EIO
    shutil.rmtree(scene.tree / "a/b")
    unreadable(scene, "a/b")
    assert "a/b" in scene.paths()
    denied.broken.clear()
    scene.equal()


def test_a_directory_below_that_can_not_be_listed_is_in_doubt(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: a scan goes on with its neighbours; the next one that succeeds ends the doubt."""
    scene.put("a/b/deep.json", "z/f.json")
    denied.broken[b"deep.json"] = errno.EIO
    scene.shard.lose_hints()
    unreadable(scene, "a/b")
    assert "z/f.json" in scene.paths()
    denied.broken.clear()
    scene.shard.watcher.times.doubts.put_off(2**62)
    scene.shard.watcher.scans.rescan()
    scene.engine.turn()
    assert not scene.shard.territory.doubts
    scene.equal()


def test_a_swept_directory_that_can_not_be_read_is_in_doubt(
    make: Callable[..., ShardScene], denied: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 6: opened or listed; one that is gone is its parent's to say."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    denied.deny(scene.tree / "a/b")
    unreadable(scene, "a/b")
    denied.denied.clear()
    denied.broken[b"f.json"] = errno.EIO
    unreadable(scene, "a")
    denied.broken.clear()
    scene.equal()
    assert set(scene.shard.territory.directories.swept) == {scene.node("a"), scene.node("a/b")}
    shutil.rmtree(scene.tree / "a/b")
    scene.equal()


def test_an_unreadable_root_is_in_doubt(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: at its scan, and when it is compared; one try at a time, however long it lasts."""
    scene.settle_clock()
    scene.engine.turn(CHECK_MS)  # second looks of what was racy are none of the tries
    denied.deny(scene.tree)
    scene.put("f.json", text="changed")
    scene.shard.lose_hints()
    unreadable(scene, "")
    before = scene.paths()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(send, "WINDOW_FRAMES_MAX", 0)
        for _ in range(10):
            scene.engine.turn(3000)
    tries = denied.refusals
    scene.engine.turn(1)
    assert denied.refusals - tries <= 2, "one try waited, and perhaps one comparison was due"
    assert scene.paths() == before
    denied.denied.clear()
    scene.equal()


def test_a_root_that_can_not_be_watched_is_in_doubt(scene: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6: any refusal but want of room. So is a directory."""
    add = scene.shard.backend._add

    def refuse(fd: int, *mask: int) -> int:
        raise PermissionError(errno.EPERM, "not this one")

    scene.put("new/f.json")
    monkeypatch.setattr(scene.shard.backend, "_add", refuse)
    unreadable(scene, "new")
    shutil.rmtree(scene.tree)
    scene.tree.mkdir()
    result = scene.engine.sync()
    assert result["ok"] is False
    monkeypatch.setattr(scene.shard.backend, "_add", add)
    scene.equal()


def test_want_of_descriptors_is_no_absence(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 6: EMFILE, where a directory is gone and its parent is to be asked."""
    shutil.rmtree(scene.tree / "a/b")
    denied.once[os.fsencode(scene.tree / "a")] = errno.EMFILE
    scene.shard.step()
    assert denied.once == {}
    scene.equal()


def test_two_places_of_a_directory_survive_a_look_that_fails(scene: ShardScene, denied: FaultyDisk) -> None:
    """Rule 9: who can't tell whether a directory was moved away, or is mounted twice, keeps both."""
    node = scene.node("a")
    other = scene.node().adopt(b"twin")
    denied.deny(scene.tree / "a")
    denied.code = errno.EMFILE
    fd = os.open(scene.tree / "a", os.O_RDONLY)
    scene.shard.territory.directories.register(fd, other)
    os.close(fd)
    assert node.alive
    denied.denied.clear()
    scene.put("a/f.json", text="still watched")
    scene.rests()
