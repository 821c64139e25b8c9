"""Looks at names of many directories with one call: what they share, and what they leave to looks of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import FaultyDisk
from shard_scene import CHECK_MS, ShardScene, Table

from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.disk.reading import Asked

#: More than two calls take.
_DIRECTORIES = 150


class CountingDisk(FaultyDisk):
    """Counts calls, and lets the test act before one."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[bytes] = []
        #: The number of directories of each call.
        self.together: list[int] = []
        self.before: Callable[[], object] = lambda: None

    def open(self, path: bytes, *, follow: bool = False) -> int:
        self.opened.append(path)
        return super().open(path, follow=follow)

    def look_in_each(
        self, asked: list[Asked], instance: int, coarse_ns: int, device: int, invented: bool
    ) -> list[tuple[list[bytes], bytes] | int | None]:
        self.together.append(len(asked))
        self.before()
        return super().look_in_each(asked, instance, coarse_ns, device, invented)


@pytest.fixture
def denied() -> CountingDisk:
    """The disk of every scene here."""
    return CountingDisk()


@pytest.fixture
def forest(make: Callable[..., ShardScene], denied: CountingDisk) -> ShardScene:
    """Many directories with a file in each; nothing is pending."""
    scene = make()
    scene.put(*[f"d{i}/f.json" for i in range(_DIRECTORIES)])
    scene.equal()
    scene.settle_clock()
    denied.opened, denied.together = [], []
    return scene


def _kernel_watches(scene: ShardScene) -> int:
    """What the kernel says of the shard's instance."""
    lines = Path(f"/proc/self/fdinfo/{scene.shard.backend._fd}").read_text().splitlines()
    return sum(line.startswith("inotify ") for line in lines)


def test_names_of_many_directories_are_looked_at_with_few_calls(forest: ShardScene, denied: CountingDisk) -> None:
    """One call for 64 directories, and no look of its own at any: what a burst in random order needs."""
    for i in range(0, _DIRECTORIES, 2):
        (forest.tree / f"d{i}/f.json").write_text("longer")
        (forest.tree / f"d{i}/new.json").write_text("new")
    for i in range(1, _DIRECTORIES, 2):
        (forest.tree / f"d{i}/f.json").unlink()
        (forest.tree / f"d{i}/filtered.txt").write_text("none of ours")
    for _ in range(3):
        forest.engine.turn()
    assert forest.engine.difference() == ({}, {})
    assert set(denied.opened) <= {forest.engine.root}  # it is compared every two seconds
    assert sum(denied.together) == _DIRECTORIES
    assert len(denied.together) <= 5
    forest.rests()


def test_directories_that_are_replaced_before_the_look(forest: ShardScene, denied: CountingDisk) -> None:
    """After the hint was read: exchanged with each other, replaced by a link, a file or nothing. A watch that was made by asking
    is given back."""
    for i in range(6):
        (forest.tree / f"d{i}/f.json").write_text("longer")
    other = forest.tree.parent / "other"
    (other / "below").mkdir(parents=True)
    (other / "f.json").write_text("of another directory")

    def act() -> None:
        denied.before = lambda: None
        os.rename(forest.tree / "d0", forest.tree / "x")
        os.rename(forest.tree / "d1", forest.tree / "d0")
        os.rename(forest.tree / "x", forest.tree / "d1")
        shutil.rmtree(forest.tree / "d2")
        (forest.tree / "d2").symlink_to(other)
        shutil.rmtree(forest.tree / "d3")
        (forest.tree / "d3").write_text("a file")
        shutil.rmtree(forest.tree / "d4")
        os.rename(forest.tree / "d5", forest.tree.parent / "away")
        os.rename(other, forest.tree / "d5")

    denied.before = act
    forest.rests()
    assert _kernel_watches(forest) == forest.shard.backend.watches()
    (forest.tree / "d5/f.json").write_text("written where nobody looked before")
    (forest.tree / "d0/f.json").write_text("x" * 20)
    forest.rests()


def test_names_that_are_no_files_any_more(forest: ShardScene, denied: CountingDisk) -> None:
    """A directory, a FIFO, a link, and a name that came by a rename."""
    for i in range(5):
        (forest.tree / f"d{i}/f.json").write_text("longer")

    def act() -> None:
        denied.before = lambda: None
        for i in range(4):
            (forest.tree / f"d{i}/f.json").unlink()
        (forest.tree / "d0/f.json").mkdir()
        (forest.tree / "d0/f.json/below.json").write_text("x")
        os.mkfifo(forest.tree / "d1/f.json")
        (forest.tree / "d2/f.json").symlink_to("nowhere")

    denied.before = act
    forest.engine.until_quiet()
    assert "d1/f.json" not in forest.paths()
    (forest.tree / "d1/f.json").unlink()
    forest.rests()
    os.rename(forest.tree / "d4/f.json", forest.tree / "d3/f.json")
    forest.rests()


def test_what_cannot_be_looked_at_is_in_doubt(forest: ShardScene, denied: CountingDisk) -> None:
    """A look of its own finds out why; the rows stay, and those of the others change."""
    for i in range(4):
        (forest.tree / f"d{i}/f.json").write_text("longer")
    denied.deny(forest.tree / "d1")
    denied.broken[b"f.json"] = 5  # EIO
    forest.engine.turn()
    forest.engine.turn()
    assert forest.engine.difference() != ({}, {})
    assert len(forest.shard.territory.doubts) == 4
    denied.denied.clear()
    denied.broken.clear()
    forest.equal()


def test_nothing_is_reported_of_a_root_that_is_unmounted_meanwhile(
    mounted: ShardScene, denied: CountingDisk, table: Table
) -> None:
    """It is mounted when the looks begin, and gone when they end: what was seen may be what it covered."""
    before = mounted.paths()
    (mounted.tree / "a/f.json").unlink()

    def act() -> None:
        denied.before = lambda: None
        table.off = True

    denied.before = act
    mounted.engine.turn()
    mounted.engine.turn()
    assert denied.together
    assert mounted.paths() == before
    mounted.engine.turn(CHECK_MS)
    table.off = False
    mounted.equal()


def test_patterns_that_native_code_does_not_know(make: Callable[..., ShardScene], denied: CountingDisk) -> None:
    """They are about characters, so what is ours is decided before the call."""
    scene = make(keep=Filter(["?.json"], ["x*"]))
    scene.put("a/f.json", "b/f.json")
    scene.engine.until_quiet()
    scene.settle_clock()
    denied.opened, denied.together = [], []
    scene.put("a/f.json", "a/x.json", "a/ff.json", "b/f.txt", text="longer")
    before = scene.shard.territory.reader.filtered
    for _ in range(3):
        scene.engine.turn()
    assert sum(denied.together) == 2 and set(denied.opened) <= {scene.engine.root}
    assert scene.paths() == ["a", "a/f.json", "b", "b/f.json"]
    assert scene.shard.territory.reader.filtered - before == 3


def test_names_that_went_and_are_back_are_forgotten_as_gone(forest: ShardScene, denied: CountingDisk) -> None:
    """They are there when they are looked at, so that no directory is listed for them later."""
    for i in range(3):
        (forest.tree / f"d{i}/f.json").unlink()
        (forest.tree / f"d{i}/f.json").write_text("again")
    forest.engine.turn()
    forest.engine.turn()
    assert sum(denied.together) == 3 and set(denied.opened) <= {forest.engine.root}
    assert not forest.shard.territory.unlinked.expects and not forest.shard.territory.unlinked
    forest.rests()


@pytest.mark.root
def test_directories_that_fanotify_watches_are_looked_at_beside_them(
    make: Callable[..., ShardScene], denied: CountingDisk
) -> None:
    """They are known by handles, whose numbers are no watches: what inotify has no room for once ended the process at the first
    burst in both."""
    scene = make(backend=BesideBackend, watches_max=4)
    scene.put(*[f"d{i}/f.json" for i in range(8)])
    scene.equal()
    assert scene.shard.backend.name == "inotify+fanotify"
    scene.engine.until_quiet()
    denied.together = []
    scene.put(*[f"d{i}/f.json" for i in range(8)], *[f"d{i}/new.json" for i in range(8)], text="longer")
    scene.rests()
    assert sum(denied.together) == 3  # those that inotify has room for, beside the root
