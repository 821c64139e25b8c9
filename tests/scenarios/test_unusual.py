"""Unusual and legal: what is no file; very long, wide and deep trees; strange times; one file under two names."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from engine import Engine
from scene import Mount, Scene, playing, write
from waiting import eventually

pytestmark = pytest.mark.xdist_group("scenarios_unusual")

#: 2100-01-01 in nanoseconds.
YEAR_2100 = 4_102_444_800_000_000_000


# --- what is no file ------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_no_files(scene: Scene, at: Path) -> None:
    """A FIFO, a socket and a device, named as files of ours: no event, never opened, and counted."""
    before = scene.shard("s0")["others"]
    os.mkfifo(at / "fifo.json")
    os.mknod(at / "device.json", 0o20600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"/proc/self/fd/{os.open(at, os.O_PATH)}/socket.json")
    assert scene.story(at) == {}
    eventually(lambda: scene.shard("s0")["others"] - before >= 3, 60)
    (at / "fifo.json").unlink()
    write(at / "fifo.json")
    assert scene.story(at) == {"fifo.json": "created"}
    (at / "fifo.json").unlink()
    os.mkfifo(at / "fifo.json")
    assert scene.story(at) == {"fifo.json": "deleted"}


# --- long, wide, deep -----------------------------------------------------------------------------------------------


def test_paths_longer_than_path_max(scene: Scene, at: Path) -> None:
    """25 levels of 200 characters: files below the kernel's longest path are told when made, changed and removed."""
    names = [f"{n:02d}" + "x" * 198 for n in range(25)]
    path = os.fsencode(at.joinpath(*names, "deep.json"))
    fd = os.open(at, os.O_PATH)
    try:
        for name in names:
            os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_PATH, dir_fd=fd)
            os.close(fd)
            fd = below

        def save(content: bytes) -> None:
            file = os.open("deep.json", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd)
            os.write(file, content)
            os.close(file)

        def told(size: int | None) -> bool:
            scene.service.client.sync(60)
            scene.drained()
            return scene.consumer.mirror.get(path, (None,))[0] == size

        assert len(path) > 5_000
        save(b"one")
        assert told(3)
        save(b"other")
        assert told(5)
        os.unlink("deep.json", dir_fd=fd)
        assert told(None)
    finally:
        os.close(fd)
        shutil.rmtree(at / names[0])


def test_ten_thousand_entries(scene: Scene, at: Path) -> None:
    """10,000 files in one directory, made one by one, then half of them removed, then moved away as a whole."""
    for n in range(10_000):
        os.mknod(at / f"e{n}.json")
    assert scene.story(at) == {f"e{n}.json": "created" for n in range(10_000)}
    for n in range(0, 10_000, 2):
        (at / f"e{n}.json").unlink()
    assert scene.story(at) == {f"e{n}.json": "deleted" for n in range(0, 10_000, 2)}
    at.rename(scene.outside / "wide")
    assert scene.story(at) == {f"e{n}.json": "deleted" for n in range(1, 10_000, 2)}


def test_a_hundred_levels(scene: Scene, at: Path) -> None:
    """A file at each of 100 levels, made at once; then the top is renamed."""
    level = at
    for _ in range(100):
        level = level / "d"
        level.mkdir()
        (level / "f.json").write_text("{}")
    wanted = ["/".join(["d"] * n) + "/f.json" for n in range(1, 101)]
    assert scene.story(at) == dict.fromkeys(wanted, "created")
    (at / "d").rename(at / "e")
    after = {"e" + name[1:]: "created" for name in wanted}
    assert scene.story(at) == dict.fromkeys(wanted, "deleted") | after
    write(at.joinpath("e", *["d"] * 99, "last.json"))
    assert len(scene.story(at)) == 1


# --- names ----------------------------------------------------------------------------------------------------------


def test_case_only_renames(scene: Scene, at: Path) -> None:
    """a to A, a file and a directory: two names, whatever a user takes them for."""
    write(at / "file.json")
    write(at / "dir" / "f.json")
    scene.settled()
    (at / "file.json").rename(at / "FILE.json")
    (at / "dir").rename(at / "DIR")
    assert scene.story(at) == {
        "file.json": "deleted", "FILE.json": "created", "dir/f.json": "deleted", "DIR/f.json": "created",
    }  # fmt: skip
    write(at / "DIR" / "f.json", "later")
    assert scene.story(at) == {"DIR/f.json": "modified"}


def test_hard_links(scene: Scene, at: Path) -> None:
    """Written by one name, each name in each directory is `modified`; a name removed leaves the others."""
    write(at / "a" / "one.json")
    (at / "b").mkdir()
    scene.settled()
    (at / "b" / "two.json").hardlink_to(at / "a" / "one.json")
    story = scene.story(at)
    assert story["b/two.json"] == "created"
    write(at / "a" / "one.json", "by the first name")
    assert scene.story(at) == {"a/one.json": "modified", "b/two.json": "modified"}
    with (at / "b" / "two.json").open("a") as appended:
        appended.write(", by the second")
    assert scene.story(at) == {"a/one.json": "modified", "b/two.json": "modified"}
    (at / "a" / "one.json").unlink()
    assert scene.story(at)["a/one.json"] == "deleted"
    write(at / "b" / "two.json", "alone")
    assert scene.story(at) == {"b/two.json": "modified"}


def test_hard_links_across_shards(tmp_path: Path, no_leaks: None) -> None:
    """The same where the two names are two shards': the owner of the other name is asked to look."""
    root = tmp_path / "root"
    for d in range(6):
        write(root / f"d{d}" / "f.json")
    with playing(tmp_path, root, shards=2) as scene:
        mine = root / "d0"
        other = next(d for d in sorted(root.iterdir()) if scene.owner(d) != scene.owner(mine))
        (other / "linked.json").hardlink_to(mine / "f.json")
        assert scene.story()[f"{other.name}/linked.json"] == "created"
        for path in (mine / "f.json", other / "linked.json"):
            write(path, f"by {path}")
            assert scene.story() == {"d0/f.json": "modified", f"{other.name}/linked.json": "modified"}


# --- times ----------------------------------------------------------------------------------------------------------


def test_mtimes_in_1970_and_2100(scene: Scene, at: Path) -> None:
    """And one before 1970: told exactly, and changed again from there."""
    for name, mtime_ns in (("past.json", 0), ("before.json", -1_000_000_000), ("future.json", YEAR_2100)):
        path = write(at / name)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    scene.story(at)
    got = {name: scene.consumer.mirror[os.fsencode(at / name)][1] for name in ("past.json", "before.json", "future.json")}
    assert got == {"past.json": 0, "before.json": -1_000_000_000, "future.json": YEAR_2100}
    write(at / "future.json", "[]")
    os.utime(at / "future.json", ns=(YEAR_2100, YEAR_2100))
    write(at / "past.json", "[]")
    assert scene.story(at) == {"past.json": "modified", "future.json": "modified"}


@pytest.mark.needs("rsync")
def test_size_and_mtime_kept(scene: Scene, at: Path) -> None:
    """`touch -d`, `cp -p` and `rsync -t` bring other content with the same size and mtime: each is `modified`."""
    when = "2020-02-02 02:02:02"
    names = ("touched.json", "copied.json", "synced.json", "synced-in-place.json")
    for folder, content in ((at, "old!"), (scene.outside, "new!")):
        for name in names:
            subprocess.run(["touch", "-d", when, write(folder / name, content)], check=True)
    scene.settled()
    before = {name: scene.consumer.mirror[os.fsencode(at / name)] for name in names}
    write(at / "touched.json", "new!")
    subprocess.run(["touch", "-d", when, at / "touched.json"], check=True)
    subprocess.run(["cp", "-p", scene.outside / "copied.json", at], check=True)
    rsync = ["rsync", "-t", "--checksum"]
    subprocess.run([*rsync, scene.outside / "synced.json", at], check=True)
    subprocess.run([*rsync, "--inplace", scene.outside / "synced-in-place.json", at], check=True)
    assert scene.story(at) == dict.fromkeys(names, "modified")
    assert {name: scene.consumer.mirror[os.fsencode(at / name)] for name in names} == before


@pytest.mark.root
def test_two_writes_within_a_tick_of_a_coarse_clock(tmp_path: Path) -> None:
    """ramfs: a file looked at between two writes that leave an equal stat. The second is a change all the same."""
    with Mount("-t", "ramfs", "ramfs", tmp_path), contextlib.closing(Engine(tmp_path, {"": "s0"})) as engine:
        path = tmp_path / "tree" / "f.json"
        equal = 0
        for n in range(300):
            path.write_text(f"one {n:04d}")
            first = path.stat()
            engine.turn(1)
            engine.index.backlog.note_handed(0, engine.index.tick)
            before = engine.index.tick
            path.write_text(f"two {n:04d}")
            equal += path.stat()[:10] == first[:10] and path.stat().st_ctime_ns == first.st_ctime_ns
            engine.turn(1)
            assert engine.index.tick > before, f"the second write of round {n} was no change"
            engine.index.backlog.note_handed(0, engine.index.tick)
        assert equal > 0, "no two writes fell into one tick: the test has not tested anything"
