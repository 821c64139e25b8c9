"""Scenarios of single files: what is made, changed, moved and removed is told once, as what it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from engine import Engine
from scene import Scene, write

pytestmark = pytest.mark.xdist_group("scenarios_files")


def test_scenario_01_create(scene: Scene, at: Path) -> None:
    """A new file is one `created`."""
    write(at / "a.json")
    assert scene.story(at) == {"a.json": "created"}


def test_scenario_02_modify(scene: Scene, at: Path) -> None:
    """A file written again, and one appended to through a descriptor that stays open, are `modified`."""
    write(at / "a.json")
    with (at / "b.json").open("w") as held:
        scene.settled()
        write(at / "a.json", "other")
        held.write("more")
        held.flush()
        assert scene.story(at) == {"a.json": "modified", "b.json": "modified"}


def test_scenario_03_delete(scene: Scene, at: Path) -> None:
    """A file removed is one `deleted`."""
    write(at / "a.json")
    scene.settled()
    (at / "a.json").unlink()
    assert scene.story(at) == {"a.json": "deleted"}


def test_scenario_04_chmod_only(scene: Scene, at: Path) -> None:
    """Other permissions are a change of the file's metadata: `modified`, its content and times as they were."""
    path = write(at / "a.json")
    scene.settled()
    path.chmod(0o600)
    assert scene.story(at) == {"a.json": "modified"}


def test_scenario_05_utime_only(scene: Scene, at: Path) -> None:
    """Another mtime alone is `modified`, and the event carries it."""
    path = write(at / "a.json")
    scene.settled()
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    assert scene.story(at) == {"a.json": "modified"}
    assert scene.consumer.mirror[os.fsencode(path)][1] == 1_234_567_890_123_456_789


def test_scenario_06_move_between_directories(scene: Scene, at: Path) -> None:
    """mv dir1/a dir2/b: one is gone, the other is there (one `moved`, or `deleted` and `created`)."""
    write(at / "dir1" / "a.json", "content")
    (at / "dir2").mkdir()
    scene.settled()
    (at / "dir1" / "a.json").rename(at / "dir2" / "b.json")
    assert scene.story(at) == {"dir1/a.json": "deleted", "dir2/b.json": "created"}


def test_scenario_07_move_in(scene: Scene, at: Path) -> None:
    """A file moved in from outside is `created`."""
    write(scene.outside / "in.json")
    (scene.outside / "in.json").rename(at / "in.json")
    assert scene.story(at) == {"in.json": "created"}


def test_scenario_08_move_out(scene: Scene, at: Path) -> None:
    """A file moved out is `deleted`, and what is done to it outside is not told."""
    write(at / "out.json")
    scene.settled()
    (at / "out.json").rename(scene.outside / "out.json")
    write(scene.outside / "out.json", "changed outside")
    assert scene.story(at) == {"out.json": "deleted"}


def test_scenario_09_move_out_and_another_in(scene: Scene, at: Path) -> None:
    """mv out, then an unrelated mv in: never one rename."""
    write(at / "a.json", "one")
    write(scene.outside / "b.json", "another")
    scene.settled()
    begin = len(scene.consumer.events)
    (at / "a.json").rename(scene.outside / "a.json")
    (scene.outside / "b.json").rename(at / "b.json")
    assert scene.story(at) == {"a.json": "deleted", "b.json": "created"}
    assert "moved" not in {kind for kind, _ in scene.consumer.events[begin:]}


def test_scenario_10_rename_twice(scene: Scene, at: Path) -> None:
    """a to b to c: a is gone, c is there, b was never worth a word."""
    write(at / "a.json")
    scene.settled()
    (at / "a.json").rename(at / "b.json")
    (at / "b.json").rename(at / "c.json")
    assert scene.story(at) == {"a.json": "deleted", "c.json": "created"}


@pytest.mark.parametrize("temporary", ["f.json.tmp", "other.json"])
def test_scenario_11_atomic_save(scene: Scene, at: Path, temporary: str) -> None:
    """A temporary file renamed over f: f is `modified`, and nothing remains of the other, be its name ours or not."""
    write(at / "f.json")
    scene.settled()
    write(at / temporary, "new content").rename(at / "f.json")
    assert scene.story(at) == {"f.json": "modified"}


def test_scenario_12_lifecycle(scene: Scene, at: Path) -> None:
    """Create, write, rename, delete: nothing is there in the end, under either name."""
    write(at / "a.json")
    write(at / "a.json", "more")
    (at / "a.json").rename(at / "b.json")
    (at / "b.json").unlink()
    assert scene.story(at) == {}


def test_scenario_32_undecodable_name(scene: Scene, at: Path) -> None:
    """`bad\\xff\\xfe`: the exact bytes arrive, for a file and for a directory, and the service lives."""
    base = os.fsencode(at)
    for name in (b"bad\xff\xfe.json", b"bad\xff\xfe/x.json"):
        path = os.path.join(base, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:  # noqa: PTH123 - exact bytes
            f.write(b"{}")
    assert scene.story(at) == {os.fsdecode(b"bad\xff\xfe.json"): "created", os.fsdecode(b"bad\xff\xfe/x.json"): "created"}
    os.rename(os.path.join(base, b"bad\xff\xfe"), os.path.join(base, b"\xfd"))
    assert scene.story(at) == {os.fsdecode(b"bad\xff\xfe/x.json"): "deleted", os.fsdecode(b"\xfd/x.json"): "created"}


def test_scenario_44_reading_is_no_event(scene: Scene, at: Path) -> None:
    """100,000 reads of files and listings of their directory: the kernel tells the shard nothing of it."""
    for n in range(200):
        write(at / f"f{n}.json")
    before = scene.hints(at)
    names = [os.fsencode(at / f"f{n}.json") for n in range(200)]
    for _ in range(500):
        for name in names:
            os.close(os.open(name, os.O_RDONLY))
        os.listdir(at)
    subprocess.run(["cat", *sorted(at.glob("*.json"))], check=True, capture_output=True)
    assert scene.story(at) == {}
    assert scene.hints(at) - before < 50


def test_scenario_45_an_unpaired_half_delays_nothing(tmp_path: Path) -> None:
    """A file moved out, which might be half of a rename, and another made: both are in the index at the next turn."""
    engine = Engine(tmp_path, {"": "s0"})
    try:
        tree = tmp_path / "tree"
        write(tree / "a.json")
        engine.until_quiet()
        (tree / "a.json").rename(tmp_path / "a.json")
        write(tree / "b.json")
        engine.turn(1)
        assert engine.difference() == ({}, {})
    finally:
        engine.close()
