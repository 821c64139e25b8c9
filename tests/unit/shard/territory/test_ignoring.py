"""What ignore files leave out costs nothing, and their changes are followed (the schedules: tests/property/test_engine.py)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import FaultyDisk
from repository import make_repository
from shard_scene import CHECK_MS, ShardScene

from shardwatch.shard.schedule.watcher import Bounds


@pytest.fixture
def ignoring(make: Callable[..., ShardScene], tmp_path: Path) -> ShardScene:
    """A repository; s1 owns a/x/y, s0 the rest."""
    (tmp_path / "tree").mkdir()
    make_repository(tmp_path / "tree")
    return planted(make(anchors={"": "s0", "a/x/y": "s1"}, ignore_files=True))


def planted(scene: ShardScene) -> ShardScene:
    scene.put("f.json", "a/f.json", "a/x/y/f.json", "a/x/y/d/f.json", "b/c/f.json", "b/c/d/f.json")
    return scene


def rests(scene: ShardScene) -> set[str]:
    """The files that are known when nothing is left to do."""
    scene.engine.until_quiet()
    return {path for path in scene.paths() if path.endswith(".json")}


def watches_of(scene: ShardScene, shard: str = "s0") -> int:
    """The watches of a shard."""
    return scene.engine.shards[shard].backend.watches()


EVERYTHING = {"f.json", "a/f.json", "a/x/y/f.json", "a/x/y/d/f.json", "b/c/f.json", "b/c/d/f.json"}


def test_an_ignored_directory_costs_no_watch_and_no_event(ignoring: ShardScene) -> None:
    """Whatever happens in it: neither from the start nor later."""
    ignoring.put(".gitignore", text="/b/\n")
    assert rests(ignoring) == {path for path in EVERYTHING if not path.startswith("b/")}
    watches, hints = watches_of(ignoring), ignoring.shard.watcher.hints
    assert watches == 3  # the root, a, a/x
    ignoring.put("b/c/new.json", "b/new/f.json")
    shutil.rmtree(ignoring.tree / "b/c")
    assert rests(ignoring) == {path for path in EVERYTHING if not path.startswith("b/")}
    assert watches_of(ignoring) == watches and ignoring.shard.watcher.hints == hints


def test_ignoring_forgets_and_no_longer_ignoring_scans(ignoring: ShardScene) -> None:
    """Also below a directory that stays, and where the file is not in scope itself."""
    assert rests(ignoring) == EVERYTHING
    watches = watches_of(ignoring)
    ignoring.put("b/.gitignore", text="d/\n")
    assert rests(ignoring) == EVERYTHING - {"b/c/d/f.json"}
    assert watches_of(ignoring) == watches - 1
    ignoring.put("b/.gitignore", text="f.json\n")
    assert rests(ignoring) == EVERYTHING - {"b/c/f.json", "b/c/d/f.json"}
    (ignoring.tree / "b/.gitignore").unlink()
    assert rests(ignoring) == EVERYTHING
    assert watches_of(ignoring) == watches


def test_another_shards_directory_is_ignored_too(ignoring: ShardScene) -> None:
    """By a file that the other shard does not list; it forgets what it owns, watches nothing, and comes back."""
    assert rests(ignoring) == EVERYTHING
    ignoring.put("a/.gitignore", text="x/\n")
    assert rests(ignoring) == {path for path in EVERYTHING if not path.startswith("a/x/")}
    assert watches_of(ignoring, "s1") == 0
    (ignoring.tree / "a/.gitignore").unlink()
    assert rests(ignoring) == EVERYTHING


def test_a_sync_waits_for_what_changed_outside(ignoring: ShardScene) -> None:
    """Without it, this is compared every two seconds."""
    assert rests(ignoring) == EVERYTHING
    (ignoring.tree / ".git/info/exclude").write_text("/b/\n")
    assert ignoring.engine.sync() == {"ok": True}
    assert "b/c/f.json" not in ignoring.paths()
    (ignoring.tree / ".git/info/exclude").write_text("")
    ignoring.engine.turn(CHECK_MS)
    assert rests(ignoring) == EVERYTHING


def test_a_repository_that_comes_and_goes(make: Callable[..., ShardScene]) -> None:
    """A .gitignore counts while there is one."""
    scene = planted(make(ignore_files=True))
    scene.put(".gitignore", text="/b/\n")
    assert rests(scene) == EVERYTHING
    make_repository(scene.tree)
    assert rests(scene) == {path for path in EVERYTHING if not path.startswith("b/")}
    shutil.rmtree(scene.tree / ".git")
    assert rests(scene) == EVERYTHING


def test_each_directory_is_listed_once_at_the_start(
    make: Callable[..., ShardScene], denied: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ignore files that are read for the first time are no change."""
    scene = make(ignore_files=True)
    make_repository(scene.tree)
    planted(scene)
    scene.put(".gitignore", "a/.gitignore", "b/c/.gitignore", text="nothing\n")
    assert rests(scene) == EVERYTHING
    listed: list[bytes] = []
    list_names = denied.list_names

    def counted(fd: int, on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
        listed.append(denied.path_of(fd))
        return list_names(fd, on_progress)

    monkeypatch.setattr(denied, "list_names", counted)
    scene.engine.replan({"": "s0"})
    assert rests(scene) == EVERYTHING
    directories = ("", "a", "a/x", "a/x/y", "a/x/y/d", "b", "b/c", "b/c/d")
    assert sorted(listed) == [os.fsencode(os.path.join(scene.tree, name)).rstrip(b"/") for name in directories]


def test_what_is_left_out_before_a_scan_comes_to_it_is_not_entered(make: Callable[..., ShardScene]) -> None:
    """It was there when the scan listed what is above it. Else files in it would be reported whose directory nobody reports any
    more, and never be forgotten."""
    scene = make(ignore_files=True, bounds=Bounds(slice_ns=0))
    scene.put("1/2/3/f.json", "b/c/f.json", "b/f.json")
    assert rests(scene) == {"1/2/3/f.json", "b/c/f.json", "b/f.json"}
    scene.shard.watcher.scans.rescan()
    scene.engine.turn()
    assert scene.shard.watcher.scans, "it has begun with the root"
    scene.put(".ignore", text="/b/")
    assert rests(scene) == {"1/2/3/f.json"}
    assert "b" not in scene.paths() and watches_of(scene) == 4


def test_rules_that_could_not_be_followed_are_followed_later(ignoring: ShardScene, denied: FaultyDisk) -> None:
    """No descriptor is left when what lies below a directory is to be scanned by its new rules: it is in doubt until then."""
    assert rests(ignoring) == EVERYTHING
    directory = os.fsencode(ignoring.tree / "b")

    def refuse_next(path: bytes) -> None:
        if path == directory:
            denied.after_listing = lambda path: None
            denied.once[path] = errno.EMFILE

    denied.after_listing = refuse_next
    ignoring.put("b/.gitignore", text="f.json\n")
    in_doubt = 0
    for _ in range(5):
        ignoring.engine.turn()
        in_doubt += ignoring.shard.territory.doubts.holds(directory)
    assert not denied.once and in_doubt
    assert rests(ignoring) == EVERYTHING - {"b/c/f.json", "b/c/d/f.json"}
    assert not ignoring.shard.territory.doubts
