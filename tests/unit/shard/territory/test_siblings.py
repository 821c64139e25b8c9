"""Directories side by side that are entered with one call: what they share, and what is left to be entered by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import FaultyDisk
from shard_scene import ShardScene

from shardwatch.shard.contract.filter.pattern import Names
from shardwatch.shard.contract.state.directory import TAG_NAME, TAG_TEXT
from shardwatch.shard.disk.entering import Entered

#: More than one call takes.
_DIRECTORIES = 66


def _nothing() -> None:
    """What a test does if it does not say anything else."""


class CountingDisk(FaultyDisk):
    """Counts, and lets the test act before and after a call."""

    def __init__(self) -> None:
        super().__init__()
        #: Names that were entered alone, and how many were entered together, and could not be.
        self.alone: list[bytes] = []
        self.together = 0
        self.calls = 0
        self.left_alone = 0
        self.before: Callable[[], object] = _nothing
        self.after: Callable[[], object] = _nothing

    def enter(self, name: bytes, fd: int) -> int:
        self.alone.append(name)
        return super().enter(name, fd)

    def enter_each(
        self,
        fd: int,
        names: list[bytes],
        watch: tuple[int, int],
        kept: tuple[Names, Names],
        coarse_ns: int,
        filesystem: tuple[int, bool],
        ns_max: int,
    ) -> list[Entered | int]:
        self.before()
        found = super().enter_each(fd, names, watch, kept, coarse_ns, filesystem, 10**12)
        self.after()
        self.calls += 1
        self.together += sum(not isinstance(one, int) for one in found)
        self.left_alone += sum(isinstance(one, int) for one in found)
        return found

    def forget(self) -> None:
        """Counts from here on."""
        self.alone, self.together, self.calls, self.left_alone = [], 0, 0, 0


@pytest.fixture
def denied() -> CountingDisk:
    """The disk of every scene here."""
    return CountingDisk()


@pytest.fixture
def forest(make: Callable[..., ShardScene], denied: CountingDisk) -> ShardScene:
    """Many directories with a file and another directory in each, which has a file, too. They are not looked at yet."""
    scene = make()
    scene.put("f.json", *[f"d{i:02}/f.json" for i in range(_DIRECTORIES)], *[f"d{i:02}/e/f.json" for i in range(_DIRECTORIES)])
    return scene


def _watches_agree(scene: ShardScene) -> bool:
    """The kernel has the watches of the directories that are known, and no others."""
    lines = Path(f"/proc/self/fdinfo/{scene.shard.backend._fd}").read_text().splitlines()
    known = sum(1 for place in scene.shard.territory.places if place.node for _ in place.node.subtree())
    return sum(line.startswith("inotify ") for line in lines) == scene.shard.backend.watches() == known


def test_a_scan_enters_directories_together(forest: ShardScene, denied: CountingDisk) -> None:
    """All of a tree, at the first time and again, with 64 directories in one call; each is watched from then on."""
    forest.engine.until_quiet()
    assert (denied.together, denied.alone) == (2 * _DIRECTORIES, [])
    assert denied.calls == 2 + _DIRECTORIES
    forest.equal()
    assert _watches_agree(forest)
    denied.forget()
    forest.shard.lose_hints()
    forest.rests()
    assert (denied.together, denied.alone) == (2 * _DIRECTORIES, [])
    (forest.tree / "d07/e/new.json").write_text("x")
    shutil.rmtree(forest.tree / "d08")
    (forest.tree / "d09/f.json").write_text("longer")
    forest.rests()
    assert _watches_agree(forest)


def test_a_file_made_while_directories_are_entered_is_found(forest: ShardScene, denied: CountingDisk) -> None:
    """After the directory was listed: it is watched by then, and the hint comes to its node. Before: the listing has it."""

    def before() -> None:
        denied.before = _nothing
        forest.put(*[f"d{i:02}/before.json" for i in range(_DIRECTORIES)])

    def after() -> None:
        denied.after = _nothing
        forest.put(*[f"d{i:02}/after.json" for i in range(_DIRECTORIES)])

    denied.before, denied.after = before, after
    forest.rests()
    assert {"d00/before.json", "d00/after.json", "d65/after.json"} <= {*forest.paths()}
    assert denied.together


def test_directories_that_are_replaced_before_they_are_entered(forest: ShardScene, denied: CountingDisk) -> None:
    """Exchanged, moved into each other, replaced by a link, a file or nothing, in a scan of a tree that is known."""
    forest.equal()
    other = forest.tree.parent / "other"
    (other / "below").mkdir(parents=True)
    (other / "f.json").write_text("of another directory")

    def act() -> None:
        denied.before = _nothing
        os.rename(forest.tree / "d00", forest.tree / "x")
        os.rename(forest.tree / "d01", forest.tree / "d00")
        os.rename(forest.tree / "x", forest.tree / "d01")
        for name in ("d02", "d03", "d04"):
            shutil.rmtree(forest.tree / name)
        (forest.tree / "d02").symlink_to(other)
        (forest.tree / "d03").write_text("a file")
        os.rename(forest.tree / "d05", forest.tree / "d06/moved")
        os.rename(other, forest.tree / "d05")

    denied.before = act
    forest.shard.lose_hints()
    forest.rests()
    assert denied.left_alone
    assert _watches_agree(forest)
    (forest.tree / "d05/f.json").write_text("written where nobody looked before")
    (forest.tree / "d00/f.json").write_text("x" * 20)
    (forest.tree / "d06/moved/e/f.json").write_text("x" * 30)
    forest.rests()


def test_what_can_not_be_entered_together_is_entered_alone(make: Callable[..., ShardScene], denied: CountingDisk) -> None:
    """A large directory, one with a FIFO that has a name of ours, and a state directory, which is left out."""
    scene = make()
    scene.put("f.json", *[f"large/{'n' * 200}{i}.json" for i in range(200)], "odd/f.json", "usual/f.json")
    os.mkfifo(scene.tree / "odd/fifo.json")
    (scene.tree / "state").mkdir()
    (scene.tree / "state" / os.fsdecode(TAG_NAME)).write_bytes(TAG_TEXT)
    scene.put("state/f.json")
    scene.engine.until_quiet()
    assert sorted(denied.alone) == [b"large", b"odd", b"state"]
    assert denied.together == 1
    paths = scene.paths()
    assert len([path for path in paths if path.startswith("large/")]) == 200
    assert "odd/fifo.json" not in paths
    assert "state/f.json" not in paths


def test_one_that_is_unreadable_is_in_doubt(forest: ShardScene, denied: CountingDisk) -> None:
    """The others are known, and it is when it can be read."""
    denied.deny(forest.tree / "d03")
    assert forest.engine.sync()["ok"] is False or forest.shard.territory.doubts
    assert len(forest.shard.territory.doubts) == 1
    denied.denied.clear()
    forest.equal()
    assert not forest.shard.territory.doubts


@pytest.mark.parametrize("watches_max", [2, 66, 132])
def test_the_plans_share_of_watches_is_kept(make: Callable[..., ShardScene], denied: CountingDisk, watches_max: int) -> None:
    """Where not all of the next directories have room, they are entered one by one; the others are swept."""
    scene = make(watches_max=watches_max)
    scene.put(*[f"d{i:02}/e/f.json" for i in range(_DIRECTORIES)])
    scene.engine.until_quiet()
    assert scene.shard.backend.watches() == watches_max
    assert len(scene.shard.territory.directories.swept) == 2 * _DIRECTORIES + 1 - watches_max
    scene.equal()


def test_a_scan_that_is_held_back_enters_one_directory_at_a_time(forest: ShardScene, denied: CountingDisk) -> None:
    """Each call is a step, so that its pauses stay short."""
    forest.shard.territory.siblings_max = 1
    forest.engine.until_quiet()
    assert denied.calls == denied.together == 2 * _DIRECTORIES
    forest.equal()


def test_an_anchor_of_another_shard_is_not_entered(make: Callable[..., ShardScene], denied: CountingDisk) -> None:
    """Below its parent, which is entered together with others."""
    scene = make(anchors={"": "s0", "a/x/y": "s1"})
    scene.put("f.json", "a/x/f.json", "a/x/y/f.json", "a/x/y/d/f.json", "a/x/z/f.json")
    scene.equal()
    assert (denied.together, denied.alone) == (4, [])  # a, a/x, a/x/z; a/x/y/d
