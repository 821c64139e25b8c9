"""Filesystems that come and go in a tree. An unmounted root is in doubt, never deleted; everything else is as it looks."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_process import run as cli
from engine import Engine
from running import running
from scene import Mount, Scene, playing, write
from waiting import eventually

from shardwatch.aggregator.client.replies import RequestError
from shardwatch.shard.contract.state.planfile import read_plan

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("scenarios_mounts")]

TMPFS = ("-t", "tmpfs", "tmpfs")


@pytest.fixture
def mounted_root(tmp_path: Path, no_leaks: None, request: pytest.FixtureRequest) -> Iterator[tuple[Scene, Mount]]:
    """A root one level below the mount point of a tmpfs, with a file at two levels; its parameter is the backend."""
    volume = tmp_path / "volume"
    volume.mkdir()
    with Mount(*TMPFS, volume) as mount:
        for name in ("f.json", "d/g.json"):
            write(volume / "root" / name)
        with playing(tmp_path, volume / "root", backend=getattr(request, "param", "auto")) as scene:
            yield scene, mount


def assert_in_doubt(scene: Scene) -> None:
    """`status` and a sync say that it is unmounted, and no file was called deleted."""
    eventually(lambda: scene.state_of(scene.root) == "unmounted", 60)
    with pytest.raises(RequestError, match="can't be read") as refused:
        scene.service.client.sync()
    assert refused.value.fields["subtrees"] == [str(scene.root)]
    scene.drained()
    assert len(scene.consumer.mirror) == 2


def test_scenario_31_unmounted_root(mounted_root: tuple[Scene, Mount]) -> None:
    """Said so, its rows stay; mounted again, what is other there is told; and what is written from then on."""
    scene, mount = mounted_root
    mount.remove()
    assert_in_doubt(scene)
    mount.make()
    write(scene.root / "f.json", "another")
    eventually(lambda: scene.state_of(scene.root) == "", 60)
    assert scene.story() == {"f.json": "modified", "d/g.json": "deleted"}
    write(scene.root / "new" / "x.json")
    assert scene.story() == {"new/x.json": "created"}


def test_scenario_31_unmounted_root_and_something_in_its_place(mounted_root: tuple[Scene, Mount]) -> None:
    """Files written below the empty mount point are not the root's; a shard that starts now knows that too."""
    scene, mount = mounted_root
    mount.remove()
    write(scene.root / "f.json", "below the mount point")
    assert_in_doubt(scene)
    scene.service.kill("s0")
    assert_in_doubt(scene)
    mount.make()
    write(scene.root / "g.json")
    assert scene.story() == {"f.json": "deleted", "d/g.json": "deleted", "g.json": "created"}


@pytest.mark.parametrize("mounted_root", ["auto", "fanotify"], indirect=True)
def test_scenario_31_unmounted_and_mounted_at_once(mounted_root: tuple[Scene, Mount]) -> None:
    """Within one look: its inode may have the number that it had before, but all watches are gone."""
    scene, mount = mounted_root
    for n in range(5):
        mount.remove()
        mount.make()
        write(scene.root / "d" / "again.json", str(n))
        scene.story()
        write(scene.root / "d" / "later.json", str(n))
        assert "d/later.json" in scene.story()


@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_comes_after_the_plan_and_goes(tmp_path: Path, no_leaks: None, killed: bool) -> None:
    """Planned on an empty mount point, as at a boot: unmounted, it is in doubt like any other; for a new shard too."""
    volume = tmp_path / "volume"
    root = volume / "root"
    root.mkdir(parents=True)
    with playing(tmp_path, root) as scene, Mount(*TMPFS, volume) as mount:
        for name in ("f.json", "d/g.json"):
            write(root / name)
        assert scene.story() == {"f.json": "created", "d/g.json": "created"}
        if killed:
            plan = scene.service.layout.plan
            eventually(lambda: (found := read_plan(plan)) is not None and found.later, 60)
        mount.remove()
        if killed:
            scene.service.kill("s0")
        assert_in_doubt(scene)
        mount.make()
        write(root / "f.json", "another")
        eventually(lambda: scene.state_of(root) == "", 60)
        assert scene.story() == {"f.json": "modified", "d/g.json": "deleted"}


def test_unmounted_lazily_while_it_is_in_use(mounted_root: tuple[Scene, Mount]) -> None:
    """`umount -l`: who has a file open goes on writing where nobody sees it; that says nothing of the root."""
    scene, mount = mounted_root
    with (scene.root / "f.json").open("w") as f:
        subprocess.run(["umount", "--lazy", scene.root.parent], check=True)
        f.write("unseen")
        f.flush()
        assert_in_doubt(scene)
    mount.make()
    write(scene.root / "d" / "g.json")
    assert scene.story() == {"f.json": "deleted", "d/g.json": "modified"}


def test_unmounted_root_and_the_like_in_its_place(mounted_root: tuple[Scene, Mount]) -> None:
    """Below the mount point lie directories of the same names: none of what they hold is the root's."""
    scene, mount = mounted_root
    for _ in range(3):
        mount.remove()
        write(scene.root / "d" / "impostor.json", "below the mount point")
        assert_in_doubt(scene)
        mount.make()
        for name in ("f.json", "d/g.json"):
            write(scene.root / name, "{}")
        scene.story()
    assert all(b"impostor" not in path for _, path in scene.consumer.events)


def test_another_disk_over_a_planned_one(mounted_root: tuple[Scene, Mount]) -> None:
    """What is on top is the root; taken away, what was below is told again; and nothing was in doubt."""
    scene, _ = mounted_root
    with Mount(*TMPFS, scene.root.parent) as over:
        write(scene.root / "on-top.json")
        assert scene.story() == {"f.json": "deleted", "d/g.json": "deleted", "on-top.json": "created"}
        over.remove()
        assert scene.story() == {"f.json": "created", "d/g.json": "created", "on-top.json": "deleted"}


def test_a_disk_that_never_comes_back(tmp_path: Path, no_leaks: None) -> None:
    """Its rows stay over restarts and changed settings, until the plan is removed: then what is there is the root."""
    volume = tmp_path / "volume"
    root = volume / "root"
    volume.mkdir()
    with Mount(*TMPFS, volume) as mount:
        for name in ("f.json", "d/g.json"):
            write(root / name)
        with playing(tmp_path, root) as scene:
            state_dir = scene.state_dir
            scene.service.stop()
            mount.remove()
            write(root / "own.json")
            for settings in (scene.service.settings, msgspec.structs.replace(scene.service.settings, shards=2)):
                with running(state_dir, settings) as service:
                    eventually(lambda: [d["state"] for d in service.client.status()["degraded"]] == ["unmounted"], 60)
                    assert service.client.status()["files"] == 2
            (state_dir / "plan.json").unlink()
            with running(state_dir, scene.service.settings) as service:
                service.assert_mirrored(scene.consumer, root)
                assert service.client.status()["degraded"] == []


def test_root_mounted_over(tmp_path: Path, no_leaks: None) -> None:
    """What is on top is the root; when it is taken away again, what was below is told."""
    root = tmp_path / "root"
    write(root / "below.json")
    with playing(tmp_path, root) as scene, Mount(*TMPFS, root) as mount:
        write(root / "d" / "on-top.json")
        assert scene.story() == {"below.json": "deleted", "d/on-top.json": "created"}
        write(root / "d" / "on-top.json", "changed")
        assert scene.story() == {"d/on-top.json": "modified"}
        mount.remove()
        assert scene.story() == {"below.json": "created", "d/on-top.json": "deleted"}
        write(root / "below.json", "changed")
        assert scene.story() == {"below.json": "modified"}


def test_subdirectory_mounted_over_without_being_asked(scene: Scene, at: Path) -> None:
    """Mounting raises no event in the directory: noticed by the table of mounts, without any sync."""
    write(at / "sub" / "below.json")
    scene.settled()
    with Mount(*TMPFS, at / "sub") as mount:
        eventually(lambda: os.fsencode(at / "sub" / "below.json") not in scene.consumer.mirror, 60)
        write(at / "sub" / "d" / "on-top.json")
        scene.story(at)
        mount.remove()
        eventually(lambda: os.fsencode(at / "sub" / "below.json") in scene.consumer.mirror, 60)
        scene.settled()


def test_subdirectory_mounted_and_unmounted(scene: Scene, at: Path) -> None:
    """A filesystem in a subdirectory: mounted, written to, unmounted, mounted again."""
    (at / "sub").mkdir()
    scene.settled()
    with Mount(*TMPFS, at / "sub") as mount:
        write(at / "sub" / "d" / "x.json")
        assert scene.story(at) == {"sub/d/x.json": "created"}
        write(at / "sub" / "d" / "x.json", "changed")
        assert scene.story(at) == {"sub/d/x.json": "modified"}
        mount.remove()
        assert scene.story(at) == {"sub/d/x.json": "deleted"}
        mount.make()
        write(at / "sub" / "d" / "y.json")
        assert scene.story(at) == {"sub/d/y.json": "created"}
        write(at / "sub" / "d" / "y.json", "changed")
        assert scene.story(at) == {"sub/d/y.json": "modified"}


def test_watches_lost_with_a_filesystem(tmp_path: Path) -> None:
    """Unmounted and mounted between two looks, with no table of mounts to ask: the lost watches tell."""
    sub = tmp_path / "tree" / "d" / "sub"
    sub.mkdir(parents=True)
    with Mount(*TMPFS, sub) as mount, contextlib.closing(Engine(tmp_path, {"": "s0"})) as engine:
        write(sub / "below" / "old.json")
        engine.until_quiet()
        assert engine.index.files == 1
        mount.remove()
        mount.make()
        engine.until_quiet()
        assert engine.index.files == 0
        write(sub / "new.json")
        engine.until_quiet()
        assert engine.difference() == ({}, {})


def test_bind_mount_inside_the_root(scene: Scene, at: Path) -> None:
    """One directory in two places: each file is told in both, whichever way it is written; unmounted, one remains."""
    write(at / "real" / "d" / "f.json")
    (at / "bound").mkdir()
    scene.settled()
    with Mount("--bind", at / "real", at / "bound") as mount:
        assert scene.story(at) == {"bound/d/f.json": "created"}
        write(at / "real" / "d" / "f.json", "through one")
        assert scene.story(at) == {"real/d/f.json": "modified", "bound/d/f.json": "modified"}
        write(at / "bound" / "new" / "g.json", "through the other")
        assert scene.story(at) == {"real/new/g.json": "created", "bound/new/g.json": "created"}
        mount.remove()
        assert scene.story(at) == {"bound/d/f.json": "deleted", "bound/new/g.json": "deleted"}
        write(at / "real" / "d" / "f.json", "alone")
        assert scene.story(at) == {"real/d/f.json": "modified"}


@pytest.mark.parametrize("before", [False, True], ids=["mounted while it runs", "mounted before the start"])
def test_a_file_mounted_over_a_file(tmp_path: Path, no_leaks: None, before: bool) -> None:
    """What is seen at the path is told, and what is written by either path; unmounted, the file below is back."""
    root = tmp_path / "root"
    at, outside = write(root / "d" / "a.json", "below"), write(tmp_path / "outside.json", "the other")
    write(root / "b.json")
    with Mount("--bind", outside, at) as mount, contextlib.ExitStack() as stack:
        if before:
            scene = stack.enter_context(playing(tmp_path, root))
        else:
            mount.remove()
            scene = stack.enter_context(playing(tmp_path, root))
            mount.make()
            eventually(lambda: scene.consumer.mirror[os.fsencode(at)][0] == len("the other"), 60)
            scene.story()
        for text in ("one", "two", "three"):  # two of them of equal size, one right after the other
            outside.write_text(text)
            assert scene.story() == {"d/a.json": "modified"}
        at.write_text("by the path in the tree")
        assert scene.story() == {"d/a.json": "modified"}
        outside.write_text("without a sync")
        eventually(lambda: scene.consumer.mirror[os.fsencode(at)][0] == len("without a sync"), 60)
        mount.remove()
        assert scene.story() == {"d/a.json": "modified"}
        assert scene.consumer.mirror[os.fsencode(at)][0] == len("below")


@pytest.mark.parametrize("backend", ["inotify", "fanotify"])
def test_what_the_kernel_makes_up_below_a_root(tmp_path: Path, no_leaks: None, backend: str) -> None:
    """proc, sysfs and a file of proc: mounted while the service runs, there when a shard begins, and unmounted again."""
    with playing(tmp_path, backend=backend, include=("**",)) as scene, contextlib.ExitStack() as mounts:
        hidden = ("g/proc/below", "g/sys/d/below", "g/stat")
        for name in ("g/proc.json", "other/proc/f", *hidden):
            write(scene.root / name)
        scene.settled()
        for name, words in (("proc", "-t proc proc"), ("sys", "-t sysfs sysfs"), ("stat", "--bind /proc/stat")):
            mounts.enter_context(Mount(*words.split(), scene.root / "g" / name))
        eventually(lambda: os.fsencode(scene.root / "g/proc/below") not in scene.consumer.mirror, 60)
        scene.holds("g/proc.json", "other/proc/f")
        watches = scene.watches()
        scene.service.kill("s0")
        scene.holds("g/proc.json", "other/proc/f")
        assert scene.watches() == watches and scene.shard("s0")["directories"] == 4
        assert [scene.state_of(scene.root / name) for name in ("g/proc", "g/sys", "other/proc")] == ["virtual", "virtual", ""]
        assert "0 differences" in cli("audit", "--no-repair", "--state-dir", scene.state_dir).stdout
        explained = cli("explain", scene.root / "g/proc/1/stat", "--state-dir", scene.state_dir).stdout
        assert "not watched" in explained and "The kernel makes up what is at" in explained
        doctor = cli("doctor", scene.root, "--state-dir", scene.state_dir, check=False).stdout
        assert doctor.count("mounted filesystems are not watched") == 2, doctor
        mounts.close()
        scene.holds("g/proc.json", "other/proc/f", *hidden)
        scene.settled()
        assert scene.state_of(scene.root / "g/proc") == ""
