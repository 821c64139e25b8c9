"""Scenarios of directories: made, filled at once, moved, swapped, removed, made again, ignored."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from index_rows import query
from scene import Scene, write

pytestmark = pytest.mark.xdist_group("scenarios_directories")


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose shard looks only when it is told to: everything done in between was done while it was paused."""
    engine = Engine(tmp_path, {"": "s0"})
    yield engine
    engine.close()


def files(engine: Engine) -> set[str]:
    """The index's files and links by relative path; equal to the tree."""
    engine.until_quiet()
    there, known = engine.difference()
    assert (there, known) == ({}, {})
    sql = "SELECT d.path, e.name FROM every e JOIN directory d ON d.id=e.dir WHERE e.kind<>0 AND e.directory=0"
    return {os.fsdecode(os.path.join(d, n)[len(engine.root) + 1 :]) for d, n in query(engine.index, sql)}


def populated(directory: Path) -> Path:
    """Two files and two levels of directories with a file each."""
    for name in ("f0.json", "f1.json", "n1/f.json", "n1/n2/f.json"):
        write(directory / name)
    return directory


POPULATED = ("f0.json", "f1.json", "n1/f.json", "n1/n2/f.json")


def test_scenario_13_rename_nested_directory(scene: Scene, at: Path) -> None:
    """mv o p with three levels: all of o is gone, all of p is there."""
    populated(at / "o")
    scene.settled()
    (at / "o").rename(at / "p")
    wanted = {f"o/{name}": "deleted" for name in POPULATED} | {f"p/{name}": "created" for name in POPULATED}
    assert scene.story(at) == wanted


def test_scenario_14_write_into_the_renamed(scene: Scene, at: Path) -> None:
    """After that rename a file made deep in it has its new path, and only that."""
    populated(at / "o")
    scene.settled()
    (at / "o").rename(at / "p")
    write(at / "p" / "n1" / "n2" / "at-once.json")
    scene.settled()
    write(at / "p" / "n1" / "n2" / "new.json")
    assert scene.story(at) == {"p/n1/n2/new.json": "created"}


def test_scenario_15_rename_and_make_again(scene: Scene, at: Path) -> None:
    """mv a b, mkdir a, and both are written to: each file is where it was written."""
    (at / "a").mkdir()
    scene.settled()
    (at / "a").rename(at / "b")
    (at / "a").mkdir()
    write(at / "a" / "x.json")
    write(at / "b" / "y.json")
    assert scene.story(at) == {"a/x.json": "created", "b/y.json": "created"}
    write(at / "a" / "later.json")
    write(at / "b" / "later.json")
    assert scene.story(at) == {"a/later.json": "created", "b/later.json": "created"}


def test_scenario_16_swap(scene: Scene, at: Path) -> None:
    """dir to bye, alt to dir: dir/a is another file now, bye/a the former one, and later writes are told apart."""
    write(at / "dir" / "a.json", "old")
    write(at / "alt" / "a.json", "the other")
    scene.settled()
    (at / "dir").rename(at / "bye")
    (at / "alt").rename(at / "dir")
    assert scene.story(at) == {"dir/a.json": "modified", "bye/a.json": "created", "alt/a.json": "deleted"}
    write(at / "bye" / "a.json", "later")
    assert scene.story(at) == {"bye/a.json": "modified"}


def test_scenario_17_remove_and_make_again(scene: Scene, at: Path) -> None:
    """rm -r, and the same names made again at once: what is there is there, what is not is gone."""
    for name in ("111.json", "222.json", "deep/333.json"):
        write(at / "foo" / name)
    scene.settled()
    for _ in range(20):
        shutil.rmtree(at / "foo")
        write(at / "foo" / "222.json", "again")
    assert scene.story(at) == {"foo/111.json": "deleted", "foo/deep/333.json": "deleted", "foo/222.json": "modified"}


def test_scenario_18_a_link_takes_the_place_of_a_renamed_directory(paused: Engine, tmp_path: Path) -> None:
    """While paused: mv foo bar; ln -s bar foo. bar and what is in it are there, and foo is a link with nothing below."""
    tree = tmp_path / "tree"
    write(tree / "foo.json" / "a.json")
    write(tree / "foo.json" / "sub" / "b.json")
    assert files(paused) == {"foo.json/a.json", "foo.json/sub/b.json"}
    write(tree / "foo.json" / "sub" / "b.json", "a late look at it would go through the link")
    (tree / "foo.json").rename(tree / "bar")
    (tree / "foo.json").symlink_to("bar")
    assert files(paused) == {"bar/a.json", "bar/sub/b.json", "foo.json"}


def test_scenario_19_more_moves(paused: Engine, tmp_path: Path) -> None:
    """While paused: mv d1 d2; mv d2/d1 .; mv a d1. The tree as it is then, whatever the events were."""
    tree = tmp_path / "tree"
    write(tree / "d1" / "d1" / "inner.json")
    write(tree / "a.json")
    assert files(paused) == {"d1/d1/inner.json", "a.json"}
    (tree / "d1").rename(tree / "d2")
    (tree / "d2" / "d1").rename(tree / "d1")
    (tree / "a.json").rename(tree / "d1" / "a.json")
    assert files(paused) == {"d1/inner.json", "d1/a.json"}
    write(tree / "d2" / "late.json")
    assert files(paused) == {"d1/inner.json", "d1/a.json", "d2/late.json"}


def test_scenario_20_file_to_directory_and_back(scene: Scene, at: Path) -> None:
    """A name that is a file, then a directory, then a file again: the file is deleted, and later it is created."""
    (at / "x.json").write_text("file")
    scene.settled()
    (at / "x.json").unlink()
    write(at / "x.json" / "below.json")
    assert scene.story(at) == {"x.json": "deleted", "x.json/below.json": "created"}
    shutil.rmtree(at / "x.json")
    (at / "x.json").write_text("file again")
    assert scene.story(at) == {"x.json": "created", "x.json/below.json": "deleted"}


def test_scenario_21_every_level(scene: Scene, at: Path) -> None:
    """makedirs a/b/c/d/e/f and a leaf, then a file at each level: nothing is missed on the way down."""
    deep = at / "a" / "b" / "c" / "d" / "e" / "f"
    write(deep / "leaf.json")
    levels = [level for level in (deep, *deep.parents) if level != at and at in level.parents]
    for level in levels:
        write(level / "level.json")
    names = [str(level.relative_to(at) / "level.json") for level in levels]
    assert scene.story(at) == dict.fromkeys([*names, "a/b/c/d/e/f/leaf.json"], "created")
    assert len(names) == 6


def test_scenario_22_filled_at_once(scene: Scene, at: Path) -> None:
    """20 times a directory and 50 files in it at once: 1,000 of 1,000."""
    for d in range(20):
        (at / f"d{d}").mkdir()
        for f in range(50):
            (at / f"d{d}" / f"f{f}.json").write_text("{}")
    assert scene.story(at) == {f"d{d}/f{f}.json": "created" for d in range(20) for f in range(50)}


def test_scenario_23_move_in_a_populated_tree(scene: Scene, at: Path) -> None:
    """mv of a tree from outside: every file of it."""
    populated(scene.outside / "tree23")
    (scene.outside / "tree23").rename(at / "in")
    assert scene.story(at) == {f"in/{name}": "created" for name in POPULATED}


def test_scenario_24_write_into_the_moved_in(scene: Scene, at: Path) -> None:
    """And what is written deep inside it, at once and later."""
    populated(scene.outside / "tree24")
    (scene.outside / "tree24").rename(at / "in")
    write(at / "in" / "n1" / "n2" / "at-once.json")
    assert scene.story(at) == {f"in/{name}": "created" for name in (*POPULATED, "n1/n2/at-once.json")}
    write(at / "in" / "n1" / "n2" / "later.json")
    assert scene.story(at) == {"in/n1/n2/later.json": "created"}


def test_scenario_25_move_out_a_populated_tree(scene: Scene, at: Path) -> None:
    """All its descendants are deleted; what is written to it outside is not told, nor watched any more."""
    watches = scene.watches()
    populated(at / "out")
    scene.settled()
    assert scene.watches() == watches + 3
    (at / "out").rename(scene.outside / "tree25")
    write(scene.outside / "tree25" / "n1" / "f.json", "outside")
    assert scene.story(at) == {f"out/{name}": "deleted" for name in POPULATED}
    assert scene.watches() == watches
    write(scene.outside / "tree25" / "n1" / "n2" / "new.json", "outside")
    assert scene.story() == {}


def test_scenario_26_churn(scene: Scene, at: Path) -> None:
    """3,000 times mkdir and rmtree of one name: the service lives, and the last file is seen."""
    for _ in range(3_000):
        os.makedirs(at / "churn" / "below")
        shutil.rmtree(at / "churn")
    write(at / "churn" / "below" / "last.json")
    assert scene.story(at) == {"churn/below/last.json": "created"}
    write(at / "churn" / "below" / "later.json")
    assert scene.story(at) == {"churn/below/later.json": "created"}
    assert all(row["deaths"] == 0 for row in scene.service.programs().values())


def test_scenario_34_links(scene: Scene, at: Path) -> None:
    """A loop, a dangling link, one to a directory and one to a file: each is a file of its own, never followed."""
    write(scene.outside / "target" / "behind.json")
    write(at / "real" / "f.json")
    scene.settled()
    (at / "real" / "loop.json").symlink_to(at)
    (at / "dangling.json").symlink_to("nowhere")
    (at / "directory.json").symlink_to(scene.outside / "target")
    (at / "file.json").symlink_to("real/f.json")
    (at / "uninteresting").symlink_to(scene.outside / "target")
    links = ("real/loop.json", "dangling.json", "directory.json", "file.json")
    assert scene.story(at) == dict.fromkeys(links, "created")
    write(scene.outside / "target" / "late.json")
    assert scene.story() == {}
    (at / "dangling.json").unlink()
    (at / "dangling.json").symlink_to("elsewhere")
    assert scene.story(at) == {"dangling.json": "modified"}


def test_scenario_40_ignored_directory(scene: Scene, at: Path) -> None:
    """A busy directory that the profile excludes costs no event, no watch, and no hint beyond that of its own making."""
    before, watches = scene.hints(at), scene.watches()
    for d in range(50):
        for f in range(20):
            write(at / "node_modules" / f"package{d}" / "src" / f"f{f}.json")
    assert scene.story(at) == {}
    shutil.rmtree(at / "node_modules" / "package0")
    assert scene.hints(at) - before < 50
    assert scene.watches() == watches
