"""Followed links: every way in which what a link leads to can change, and what many links between few directories cost.

Real files and inotify; the engine of one process (tests/engine.py). After each change the index must hold what a walk through the
links finds: without a sync, with nothing but hints, and once more after a sync.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, Tree, rows
from shard_scene import CHECK_MS, Table

from shardwatch.shard.contract.limits import WAYS_MAX
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.territory import link_bounds
from shardwatch.shard.territory.link import way_of
from shardwatch.shard.tree.nodes import Waypoint


def walk(root: str, relative: str = "") -> Tree:
    """What `find -L` finds of *.json, save for links to a directory that the path has passed, or in which the link lies."""
    found: Tree = {}
    for entry in os.scandir(os.path.join(root, relative)):
        below = os.path.join(relative, entry.name)
        path = os.path.join(root, below)
        st = entry.stat() if os.path.exists(path) else entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(st.st_mode) and entry.is_symlink() and _loops(path):
            st = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(st.st_mode):
            found[os.fsencode(path), 1] = ()
            found |= walk(root, below)
        elif below.endswith(".json"):
            found[os.fsencode(path), 0] = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink)
    return found


def _loops(path: str) -> bool:
    target = os.path.realpath(path)
    above = os.path.dirname(path)
    while above != "/":
        if (os.path.realpath(above) + "/").startswith(target + "/"):
            return True
        above = os.path.dirname(above)
    return target == "/"


class Linked:
    """One shard that follows links, its tree, and a place outside of it."""

    def __init__(self, base: Path, **options: Any) -> None:
        self.engine = Engine(base, {"": "s0"}, follow=True, **options)
        self.tree = base / "tree"
        self.out = base / "out"
        self.out.mkdir()

    @property
    def watches(self) -> int:
        return self.engine.shards["s0"].backend.watches()

    @property
    def directories(self) -> int:
        return len(self.engine.shards["s0"].territory.directories)

    def put(self, path: Path, text: str = "x") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def difference(self) -> tuple[Tree, Tree]:
        there, known = walk(str(self.tree)), rows(self.engine.index)
        return ({k: v for k, v in there.items() if known.get(k) != v}, {k: v for k, v in known.items() if there.get(k) != v})

    def rests(self) -> None:
        """Hints suffice; and a sync finds nothing else."""
        self.engine.until_quiet()
        assert self.difference() == ({}, {})
        assert self.engine.sync() == {"ok": True}
        assert self.difference() == ({}, {})

    def names(self) -> list[str]:
        root = len(os.fsencode(self.tree)) + 1
        return sorted(os.fsdecode(path[root:]) for path, directory in rows(self.engine.index) if not directory)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Linked]]:
    """Makes one; its engine is closed in the end."""
    made: list[Linked] = []

    def scene(**options: Any) -> Linked:
        made.append(Linked(tmp_path, **options))
        return made[-1]

    yield scene
    for one in made:
        one.engine.close()


@pytest.fixture
def scene(make: Callable[..., Linked]) -> Linked:
    """An empty tree."""
    return make()


def repoint(link: Path, target: str | Path) -> None:
    """`ln -s TARGET n; mv -T n LINK`: there is no moment without the link."""
    new = link.with_name(link.name + ".new")
    new.symlink_to(target)
    new.rename(link)


def replace(path: Path, text: str) -> None:
    """Writes a file of that text over it, by a rename."""
    new = path.with_name("." + path.name)
    new.write_text(text)
    new.rename(path)


# -- files


@pytest.mark.parametrize("relative", [False, True])
def test_a_file_that_a_link_leads_to_changes(scene: Linked, relative: bool) -> None:
    """In place, by a rename over it, gone, and there again."""
    target = scene.put(scene.out / "deep" / "f.json")
    (scene.tree / "l.json").symlink_to(os.path.relpath(target, scene.tree) if relative else target)
    scene.rests()
    for change in (
        lambda: target.write_text("in place"),
        lambda: replace(target, "another file"),
        lambda: target.write_text("in place, once more"),
        lambda: os.utime(target, (1, 1)),
        target.unlink,
        lambda: target.write_text("again"),
        lambda: target.rename(scene.out / "away.json"),
        lambda: target.symlink_to(scene.out / "away.json"),
        lambda: (scene.out / "away.json").write_text("through two links"),
    ):
        change()
        scene.rests()


def test_what_a_dangling_link_leads_to_appears(scene: Linked) -> None:
    """However much of its path is missing, and in whatever order it comes."""
    (scene.tree / "l.json").symlink_to(scene.out / "a/b/c/f.json")
    scene.rests()
    for name in ("a", "a/b", "a/b/c"):
        (scene.out / name).mkdir()
        scene.rests()
    scene.put(scene.out / "a/b/c/f.json")
    scene.rests()
    shutil.rmtree(scene.out / "a")
    scene.rests()
    scene.put(scene.out / "ready/b/c/f.json")
    (scene.out / "ready").rename(scene.out / "a")
    scene.rests()
    scene.put(scene.out / "a/b/c/f.json", "changed")
    scene.rests()


def test_a_dangling_link_to_a_directory(scene: Linked) -> None:
    """It is followed from the moment in which there is something."""
    (scene.tree / "l").symlink_to(scene.out / "later")
    scene.rests()
    scene.put(scene.out / "later" / "f.json")
    scene.rests()
    assert scene.names() == ["l/f.json"]
    shutil.rmtree(scene.out / "later")
    scene.rests()
    scene.put(scene.out / "later", "a file")
    scene.rests()
    (scene.out / "later").unlink()
    scene.put(scene.out / "later" / "g.json")
    scene.rests()
    assert scene.names() == ["l/g.json"]


# -- directories


@pytest.mark.parametrize("inside", [False, True])
def test_a_link_is_pointed_elsewhere(scene: Linked, inside: bool) -> None:
    """`ln -s v2 n; mv -T n current`: all of v2's files, and none of v1's, by the link's name; and later changes of both."""
    base = scene.tree if inside else scene.out
    for version in ("v1", "v2"):
        scene.put(base / version / f"{version}.json")
        scene.put(base / version / "both" / "f.json", version)
    current = scene.tree / "current"
    current.symlink_to("v1" if inside else base / "v1")
    scene.rests()
    for version in ("v2", "v1", "v2"):
        repoint(current, version if inside else base / version)
        scene.rests()
        assert [name for name in scene.names() if name.startswith("current/")] == [
            "current/both/f.json",
            f"current/{version}.json",
        ]
        scene.put(base / version / "both" / "f.json", "changed afterwards")
        scene.put(base / "v1" / "new" / "g.json", version)
        scene.rests()
        shutil.rmtree(base / "v1" / "new")
        scene.rests()


def test_a_link_becomes_a_directory_and_the_other_way_round(scene: Linked) -> None:
    """Also to the very directory that was there."""
    scene.put(scene.tree / "d" / "f.json")
    scene.rests()
    (scene.tree / "d").rename(scene.tree / "e")
    (scene.tree / "d").symlink_to("e")
    scene.rests()
    (scene.tree / "d").unlink()
    (scene.tree / "e").rename(scene.tree / "d")
    scene.rests()
    (scene.tree / "d").rename(scene.out / "d")
    (scene.tree / "d").symlink_to(scene.out / "d")
    scene.rests()
    (scene.tree / "d").unlink()
    scene.put(scene.tree / "d", "a file without the right name")
    scene.rests()


def test_a_config_map(scene: Linked) -> None:
    """Kubernetes: files are links through `..data/`, which is a link that is swapped by a rename; the old directory goes."""

    def generation(number: int, *names: str) -> None:
        directory = scene.tree / f"..2024_{number}"
        for name in names:
            scene.put(directory / name, f"generation {number}")
        repoint(scene.tree / "..data", directory.name)
        for name in names:
            if not (scene.tree / name).is_symlink():
                (scene.tree / name).symlink_to(f"..data/{name}")
        for link in scene.tree.iterdir():
            if link.is_symlink() and link.name != "..data" and not link.exists():
                link.unlink()
        if number > 1:
            shutil.rmtree(scene.tree / f"..2024_{number - 1}")

    generation(1, "a.json", "b.json")
    scene.rests()
    generation(2, "a.json", "b.json")
    scene.rests()
    generation(3, "a.json", "c.json")
    scene.rests()
    assert [name for name in scene.names() if "/" not in name] == ["a.json", "c.json"]


def test_every_part_of_the_way_counts(scene: Linked) -> None:
    """A chain of links, directories on the way that are moved away and replaced, and links among those."""
    scene.put(scene.out / "x/y/one/f.json", "one")
    scene.put(scene.out / "x/y/two/f.json", "two!")
    scene.put(scene.out / "other/y/one/f.json", "another")
    (scene.out / "second").symlink_to("x/y/one")
    (scene.out / "first").symlink_to(scene.out / "second")
    (scene.tree / "d").symlink_to(scene.out / "first")
    (scene.tree / "f.json").symlink_to("../out/first/f.json")
    scene.rests()
    repoint(scene.out / "second", "x/y/two")
    scene.rests()
    repoint(scene.out / "second", "x/y/one")
    scene.rests()
    (scene.out / "x").rename(scene.out / "old")
    scene.rests()
    (scene.out / "other").rename(scene.out / "x")
    scene.rests()
    scene.put(scene.out / "x/y/one/f.json", "after all that")
    scene.rests()
    (scene.out / "x/y/one").rename(scene.out / "x/y/three")
    scene.rests()
    (scene.out / "old/y/one").rename(scene.out / "x/y/one")
    scene.rests()
    (scene.out / "first").unlink()
    scene.rests()
    (scene.out / "first").symlink_to("old/y/two")
    scene.rests()


def test_a_target_that_is_exchanged(scene: Linked) -> None:
    """renameat2(RENAME_EXCHANGE): there is no moment without a directory of that name."""
    for name in ("a", "b"):
        scene.put(scene.out / name / f"{name}.json")
    (scene.tree / "l").symlink_to(scene.out / "a")
    scene.rests()
    subprocess.run([sys.executable, "-c", _EXCHANGE, scene.out / "a", scene.out / "b"], check=True)
    scene.rests()
    assert scene.names() == ["l/b.json"]


_EXCHANGE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2) == 0, ctypes.get_errno()
"""


def test_links_to_what_is_watched_anyway(scene: Linked) -> None:
    """To a directory inside, to the one above, to the root, to a link, to itself; one watch for each directory."""
    scene.put(scene.tree / "a/b/f.json")
    for name, target in {
        "inside": "a",
        "a/up": "..",
        "a/b/top": str(scene.tree),
        "above": "../..",
        "again": "inside",
        "self": "self",
        "a/sibling.json": "b/f.json",
    }.items():
        (scene.tree / name).symlink_to(target)
    scene.rests()
    real = [scene.tree, scene.tree / "a", scene.tree / "a/b"]
    above = {Path(path) for path in scene.tree.parents} | {scene.tree.parent}
    assert scene.watches <= len(real) + len(above)
    scene.put(scene.tree / "again/b/f.json", "by another name")
    scene.rests()
    (scene.tree / "a/b").rename(scene.tree / "a/c")
    scene.rests()


def test_a_file_below_two_names_is_told_by_both(scene: Linked) -> None:
    """A directory made behind a link is looked into by every name it has."""
    (scene.out / "shared").mkdir()
    for name in ("one", "two"):
        (scene.tree / name).symlink_to(scene.out / "shared")
    scene.rests()
    scene.put(scene.out / "shared/new/deep/f.json")
    scene.rests()
    assert scene.names() == ["one/new/deep/f.json", "two/new/deep/f.json"]
    (scene.out / "shared/new").rename(scene.out / "shared/moved")
    scene.rests()
    (scene.tree / "one").unlink()
    scene.rests()
    scene.put(scene.out / "shared/moved/deep/f.json", "still told by the other")
    scene.rests()


def test_a_chain_of_links_through_directories(scene: Linked) -> None:
    """More links on one path than the kernel passes on one: each of them is a step of its own."""
    for number in range(45):
        scene.put(scene.out / str(number) / "f.json")
        (scene.out / str(number) / "next").symlink_to(scene.out / str(number + 1))
    (scene.tree / "l").symlink_to(scene.out / "0")
    scene.engine.until_quiet()
    assert len(scene.names()) == 45
    assert scene.engine.sync() == {"ok": True}
    scene.put(scene.out / "44/f.json", "changed")
    scene.engine.until_quiet()
    path = os.fsencode(scene.tree) + b"/l" + b"/next" * 44 + b"/f.json"
    assert rows(scene.engine.index)[path, 0][1] == len("changed")


def test_a_restart_an_overflow_and_a_lost_index_change_nothing(scene: Linked) -> None:
    """The ways of links are watched anew by whoever begins anew."""
    target = scene.put(scene.out / "d/f.json")
    (scene.tree / "l.json").symlink_to(target)
    (scene.tree / "l").symlink_to(scene.out / "d")
    scene.rests()
    scene.engine.kill("s0")
    target.write_text("while nobody looked")
    scene.rests()
    target.write_text("and lost")
    scene.engine.shards["s0"].lose_hints()
    repoint(scene.tree / "l", scene.out)
    scene.rests()
    scene.engine.restart_aggregator(commit=True, lose_index=True)
    scene.rests()
    replace(target, "still watched")
    scene.rests()


@pytest.mark.parametrize("lost", [False, True])
def test_what_came_with_a_part_of_the_way_that_was_exchanged_is_watched(scene: Linked, lost: bool) -> None:
    """The directories below it are others, too, and so is all of the way where hints were lost: what comes in their place later
    is told by hints again."""
    scene.put(scene.out / "way/middle/d/f.json")
    (scene.tree / "l").symlink_to(scene.out / "way/middle/d")
    scene.rests()
    watches = scene.watches
    for number, part in enumerate(("way", "way/middle", "way", "way/middle/d")):
        (scene.out / part).rename(scene.out / f"before{number}")
        scene.put(scene.out / "way/middle/d/f.json", "x" * (number + 2))
        if lost and part == "way":
            scene.engine.shards["s0"].lose_hints()
        scene.rests()
        assert scene.watches == watches


# -- what can't be watched


def test_a_link_whose_way_has_no_watch_is_swept(scene: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for another watch: it is looked at with every sweep, and at every sync."""
    watch = scene.engine.shards["s0"].backend.watch

    def full(fd: int, node: Any, *, names: bool = True) -> Any:
        if isinstance(node, Waypoint):
            raise OSError(28, "No space left on device")
        return watch(fd, node, names=names)

    monkeypatch.setattr(scene.engine.shards["s0"].backend, "watch", full)
    target = scene.put(scene.out / "f.json")
    (scene.tree / "l.json").symlink_to(target)
    scene.rests()
    for text in ("one", "two!", "three"):
        replace(target, text)
        scene.rests()
        target.write_text(text + ", and by a sync alone")
        assert scene.engine.sync() == {"ok": True}
        assert scene.difference() == ({}, {})


def test_nothing_is_kept_of_links_that_are_gone(scene: Linked) -> None:
    """Neither watches nor memory."""
    scene.put(scene.tree / "stay/f.json")
    scene.rests()
    before = scene.watches
    links = scene.engine.shards["s0"].territory.links
    for _ in range(3):
        scene.put(scene.out / "d/f.json")
        for number in range(20):
            directory = scene.tree / "sub" / str(number)
            directory.mkdir(parents=True)
            (directory / "l.json").symlink_to(scene.out / "d/f.json")
            (directory / "d").symlink_to(scene.out / "d")
        (scene.tree / "top.json").symlink_to(scene.out / "missing/f.json")
        scene.rests()
        assert links.bounds.directories == 20
        shutil.rmtree(scene.tree / "sub")
        (scene.tree / "top.json").unlink()
        scene.rests()
        assert scene.watches == before
        assert (links._links, links.ways._waypoints, +links.bounds._paths, links.bounds.directories) == ({}, {}, {}, 0)


# -- bounds


def packages(at: Path, count: int) -> None:
    """Packages with a node_modules each, in which all the others are linked."""
    for one in range(count):
        (at / f"p{one}" / "node_modules").mkdir(parents=True)
        (at / f"p{one}" / "f.json").write_text("{}")
        for other in range(count):
            if other != one:
                (at / f"p{one}" / "node_modules" / f"p{other}").symlink_to(f"../../p{other}")


@pytest.mark.parametrize("count", [6, 7, 12])
def test_packages_that_all_link_to_each_other(scene: Linked, count: int) -> None:
    """One watch for each directory, however many names it has; and for each of them the links in its own place, and WAYS_MAX
    longer ways. 6 packages had 3,913 watched paths, 7 had 27,399. What is left out is told."""
    packages(scene.tree, count)
    scene.engine.until_quiet()
    assert scene.watches == 1 + 2 * count
    ways = 1 + (count - 1) + WAYS_MAX
    assert scene.directories == 1 + 2 * count * ways
    files = [name for name in scene.names() if name.endswith("f.json")]
    assert len(files) == count * ways
    for one in range(count):
        assert [name for name in files if name.count("/") == 1 and name.startswith(f"p{one}/")]
        direct = [f"p{other}/node_modules/p{one}/f.json" for other in range(count) if other != one]
        assert set(direct) <= set(files)
    territory = scene.engine.shards["s0"].territory
    report = territory.report()
    told = [d for d in report if d.state == "not followed"]
    assert len(told) == 1
    assert told[0].directories > 0
    (scene.tree / "p0" / "f.json").write_text("changed")
    assert scene.engine.sync() == {"ok": True}
    known = rows(scene.engine.index)
    changed = [path for (path, _), values in known.items() if values and values[1] == len("changed")]
    assert len(changed) == ways


def test_room_that_is_made_is_used(scene: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that a bound left out are followed once others are gone; no sync is needed."""
    monkeypatch.setattr(link_bounds, "WAYS_MAX", 1)
    packages(scene.tree, 3)
    scene.engine.until_quiet()
    assert "p0/node_modules/p1/node_modules/p2/f.json" in scene.names()
    left_out = "p1/node_modules/p0/node_modules/p2/f.json"
    assert left_out not in scene.names()
    (scene.tree / "p0/node_modules/p1").unlink()
    scene.engine.until_quiet()
    assert left_out in scene.names()


def test_all_that_links_lead_to_is_bounded(scene: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond LINKED_MAX no further link is entered, and that is told; the tree itself is always complete."""
    monkeypatch.setattr(link_bounds, "LINKED_MAX", 10)
    for number in range(30):
        (scene.tree / f"d{number}").mkdir()
        (scene.tree / f"d{number}" / "l").symlink_to(scene.out)
    scene.put(scene.tree / "last/f.json")
    scene.engine.until_quiet()
    assert scene.directories == 1 + 31 + 10
    assert "last/f.json" in scene.names()
    assert scene.engine.shards["s0"].territory.links.bounds.left_out()[0] == 20


class MadeUp(Disk):
    """A disk on which every directory `made up` is another filesystem, which the kernel makes up."""

    def stat_open(self, fd: int) -> os.stat_result:
        found = os.fstat(fd)
        device = found.st_dev + (1 if self.virtual_type(fd) else 0)
        return os.stat_result((found.st_mode, found.st_ino, device, *found[3:10]))

    def virtual_type(self, fd: int) -> str:
        return "proc" if b"/made up" in self.path_of(fd) else ""


def test_what_the_kernel_makes_up_is_entered_by_no_link(make: Callable[..., Linked]) -> None:
    """Neither where a link leads there, nor where it is mounted below what a link leads to. It is told until that ends."""
    scene = make(disk=MadeUp())
    link, mounted = scene.tree / "d/link", scene.tree / "all/made up"
    scene.put(scene.out / "made up/1/f.json")
    scene.put(scene.out / "other.json")
    scene.put(scene.tree / "made up/own.json")
    link.parent.mkdir()
    link.symlink_to(scene.out / "made up")
    (scene.tree / "all").symlink_to(scene.out)
    scene.engine.until_quiet()
    barred = scene.engine.shards["s0"].territory.links.barred.listed
    assert scene.names() == ["all/other.json", "made up/own.json"]
    assert sorted(barred()) == [(os.fsencode(path), "proc") for path in (mounted, link)]
    told = [doubt for doubt in scene.engine.shards["s0"].territory.report() if doubt.state == "not followed"]
    assert len(told) == 2 and all("(proc)" in doubt.reason and doubt.remedy for doubt in told)
    assert scene.engine.sync() == {"ok": True}
    repoint(link, scene.put(scene.tree.parent / "far/g.json").parent)
    scene.engine.until_quiet()
    assert scene.names() == ["all/other.json", "d/link/g.json", "made up/own.json"]
    repoint(link, scene.out / "made up")
    scene.engine.until_quiet()
    assert len(barred()) == 2 and "d/link/g.json" not in scene.names()
    link.unlink()
    (scene.out / "made up").rename(scene.out / "moved")
    scene.engine.until_quiet()
    assert barred() == [] and scene.difference() == ({}, {})


@pytest.mark.parametrize("below", ["", "d", "d/e"])
def test_what_is_mounted_in_what_a_link_leads_to_is_seen(make: Callable[..., Linked], below: str) -> None:
    """Its path is none in the tree. It is looked at under the name of each link that leads above it, and of no other."""
    table = Table()
    scene = make(mounts=table)
    point = scene.out / "x" / below / "sub"
    for path in (point / "f.json", scene.out / "y/f.json", scene.tree / "f.json"):
        scene.put(path)
    for name, target in (("one", "x"), ("two", "x"), ("all", "."), ("other", "y")):
        (scene.tree / name).symlink_to(os.path.normpath(scene.out / target))
    scene.rests()
    point.rename(scene.tree.parent / "hidden")
    over = scene.put(point / "deep/over.json", "on top")
    shard = scene.engine.shards["s0"]
    shard.backend.drain()
    shard.backend.take()
    table.mount(os.fsencode(point), "tmpfs")
    scene.engine.turn(CHECK_MS)
    scene.rests()
    replace(over, "and it is watched")
    scene.rests()
    table.mount(b"/", "tmpfs")
    scene.rests()


@pytest.mark.parametrize("then", ["gone", "dangling", "a file", "a directory"])
def test_a_link_to_what_the_kernel_makes_up_becomes_something_else(make: Callable[..., Linked], then: str) -> None:
    """Its name is no file in scope, and there is no node of it: what becomes of it is noticed all the same."""
    scene = make(disk=MadeUp())
    link = scene.tree / "link"
    scene.put(scene.out / "made up/f.json")
    link.symlink_to(scene.out / "made up")
    scene.engine.until_quiet()
    assert len(scene.engine.shards["s0"].territory.links.barred.listed()) == 1
    if then == "dangling":
        repoint(link, "nothing")
    else:
        link.unlink()
    if then == "a file":
        link.write_text("x")
    elif then == "a directory":
        scene.put(link / "f.json")
    scene.rests()
    assert scene.engine.shards["s0"].territory.links.barred.listed() == []


@pytest.mark.parametrize("then", ["gone", "dangling", "a file"])
def test_a_link_that_a_bound_left_out_becomes_something_else(
    scene: Linked, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """It had the row of a directory, and no node."""
    monkeypatch.setattr(link_bounds, "LINKED_MAX", 0)
    link = scene.tree / "link"
    link.symlink_to(scene.out)
    scene.engine.until_quiet()
    assert scene.engine.shards["s0"].territory.links.bounds.left_out()[0] == 1
    if then == "dangling":
        repoint(link, "nothing")
    else:
        link.unlink()
    if then == "a file":
        link.write_text("x")
    scene.rests()
    assert scene.engine.shards["s0"].territory.links.bounds.left_out() == (0, b"")


# -- the way itself


def test_the_way_of_a_link(tmp_path: Path) -> None:
    """Each link on the way in its directory, each directory on the way; the last name, of a file or of nothing."""
    base = os.path.realpath(tmp_path)
    at = Path(base)
    (at / "d/e").mkdir(parents=True)
    (at / "d/e/f").write_text("x")
    (at / "to").symlink_to("d/e")
    (at / "file").symlink_to("to/f")
    (at / "none").symlink_to("to/../g/h")
    (at / "loop").symlink_to("loop")
    b = os.fsencode(base)
    assert way_of(Disk(), b, b"file") == {(b, b"to"), (b + b"/d", b""), (b + b"/d/e", b""), (b + b"/d/e", b"f")}
    assert way_of(Disk(), b, b"none") == {(b, b"to"), (b + b"/d", b""), (b + b"/d/e", b""), (b + b"/d", b"g")}
    assert way_of(Disk(), b, b"loop") == {(b, b"loop")}
    (at / "through").symlink_to("d/e/f/none")
    assert (b + b"/d/e", b"f") in way_of(Disk(), b, b"through")
    (at / "absolute").symlink_to(at / "d/e")
    assert way_of(Disk(), b, b"to") < way_of(Disk(), b, b"absolute")
    assert (os.path.dirname(b), b"") in way_of(Disk(), b, b"absolute")
