"""What can happen to a root: deleted, made again, replaced, renamed with its parent. `status` names it; nothing is missed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from scene import Scene, playing, write
from waiting import eventually

pytestmark = pytest.mark.xdist_group("scenarios_roots")


#: With one shard, and with anchors of three below the root.
both = pytest.mark.parametrize("scene", [1, 3], indirect=True, ids=["one_shard", "three_shards"])


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest, no_leaks: None) -> Iterator[Scene]:
    """A root with a parent of its own, six files in three directories."""
    root = tmp_path / "parent" / "root"
    for d in range(3):
        write(root / f"d{d}" / "f.json")
        write(root / f"d{d}" / "below" / "g.json")
    with playing(tmp_path, root, shards=getattr(request, "param", 3)) as scene:
        yield scene


FILES = tuple(f"d{d}/{name}" for d in range(3) for name in ("f.json", "below/g.json"))


def assert_gone(scene: Scene) -> None:
    """Everything was told as deleted, and `status` says that the root is missing."""
    scene.holds()
    eventually(lambda: scene.state_of(scene.root) == "missing", 60)


def assert_back(scene: Scene, *names: str) -> None:
    """Exactly these files are there, `status` is content, and what is written now is seen."""
    scene.holds(*names)
    scene.settled()
    eventually(lambda: scene.state_of(scene.root) == "", 60)
    write(scene.root / "d0" / "below" / "later.json")
    write(scene.root / "new" / "later.json")
    assert scene.story() == {"d0/below/later.json": "created", "new/later.json": "created"}


@both
def test_scenario_29_root_deleted(scene: Scene) -> None:
    """rm -r of the root: each file is deleted, and the root is missing in so many words."""
    begin = len(scene.consumer.events)
    shutil.rmtree(scene.root)
    assert_gone(scene)
    said = [os.fsdecode(path) for kind, path in scene.consumer.events[begin:] if kind == "deleted"]
    assert sorted(said) == sorted(str(scene.root / name) for name in FILES)


def test_scenario_29_root_deleted_without_being_asked(scene: Scene) -> None:
    """The same without any sync: the service finds out by itself."""
    shutil.rmtree(scene.root)
    eventually(lambda: scene.consumer.mirror == {}, 60)
    eventually(lambda: scene.state_of(scene.root) == "missing", 60)


@both
def test_scenario_30_root_made_again(scene: Scene) -> None:
    """Deleted and made again with other content, several times: attached again each time."""
    for n in range(3):
        shutil.rmtree(scene.root)
        if n != 1:
            assert_gone(scene)
        write(scene.root / "d0" / "again.json", str(n))
        assert_back(scene, "d0/again.json")


def test_scenario_30_root_made_again_without_being_asked(scene: Scene) -> None:
    """The same without any sync; even its inode may be the same as before."""
    shutil.rmtree(scene.root)
    write(scene.root / "again.json")
    eventually(lambda: scene.consumer.mirror.keys() == {os.fsencode(scene.root / "again.json")}, 60)


def test_scenario_30_root_made_again_with_the_same_inode(tmp_path: Path) -> None:
    """As ext4 gives it: by its identity nothing has happened, but its watch is gone with the first one."""
    with contextlib.closing(Engine(tmp_path, {"": "s0"})) as engine:
        tree = tmp_path / "tree"
        engine.until_quiet()
        tree.rmdir()
        tree.mkdir()
        st = tree.stat()
        engine.shards["s0"].territory.places[0].identity = (st.st_dev, st.st_ino)
        engine.until_quiet()
        write(tree / "later.json")
        engine.until_quiet()
        assert engine.difference() == ({}, {})
        assert engine.index.files == 1


def test_root_replaced_by_a_file(scene: Scene) -> None:
    """A file in the root's place is no root; when it is a directory again all is well."""
    scene.root.rename(scene.outside / "kept")
    scene.root.write_text("a file")
    assert_gone(scene)
    scene.root.unlink()
    (scene.outside / "kept").rename(scene.root)
    assert_back(scene, *FILES)


def test_root_replaced_by_a_link(scene: Scene) -> None:
    """A link in the root's place is not followed, wherever it leads: roots are named by their real paths."""
    scene.root.rename(scene.outside / "kept")
    scene.root.symlink_to(scene.outside / "kept")
    assert_gone(scene)
    write(scene.outside / "kept" / "d0" / "late.json")
    scene.holds()
    scene.root.unlink()
    (scene.outside / "kept").rename(scene.root)
    assert_back(scene, *FILES, "d0/late.json")


def test_root_replaced_by_another_directory(scene: Scene) -> None:
    """In one rename after the other, with no moment to look in between: the other's files, and no more of the first."""
    write(scene.outside / "other" / "d0" / "f.json", "another file of the same name")
    write(scene.outside / "other" / "d0" / "o.json")
    scene.root.rename(scene.outside / "kept")
    (scene.outside / "other").rename(scene.root)
    write(scene.outside / "kept" / "d0" / "late.json", "must not be told")
    assert_back(scene, "d0/f.json", "d0/o.json")


@both
def test_root_renamed_away_and_back(scene: Scene) -> None:
    """What was changed while it was away is told when it is back."""
    away = scene.outside / "away"
    scene.root.rename(away)
    assert_gone(scene)
    write(away / "d1" / "f.json", "changed while it was away")
    (away / "d2" / "f.json").unlink()
    away.rename(scene.root)
    assert_back(scene, *(set(FILES) - {"d2/f.json"}))


def test_root_renamed_away_and_back_at_once(scene: Scene) -> None:
    """The same in a moment; a look may fall into it, and then what it found gone is told again."""
    away = scene.outside / "away"
    scene.root.rename(away)
    write(away / "d1" / "below" / "new.json")
    (away / "d2").rename(away / "d3")
    away.rename(scene.root)
    wanted = {
        "d1/below/new.json": "created", "d2/f.json": "deleted", "d2/below/g.json": "deleted",
        "d3/f.json": "created", "d3/below/g.json": "created",
    }  # fmt: skip
    story = scene.story()
    assert {name: story[name] for name in wanted} == wanted
    assert {story[name] for name in story.keys() - wanted.keys()} <= {"modified"}


@both
def test_parent_of_the_root_renamed(scene: Scene) -> None:
    """The root's own inode stays what it was, but its path leads nowhere; then back, then to another tree."""
    parent = scene.root.parent
    parent.rename(scene.outside / "parent")
    assert_gone(scene)
    write(scene.outside / "parent" / "root" / "d0" / "late.json")
    (scene.outside / "parent").rename(parent)
    assert_back(scene, *FILES, "d0/late.json")
    parent.rename(scene.outside / "parent")
    write(scene.root / "d0" / "below" / "other.json")
    assert scene.story()["d0/below/other.json"] == "created"
    scene.holds("d0/below/other.json")
