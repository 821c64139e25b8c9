"""Scenarios in which something gives way: the kernel's queue, watches, a shard, the aggregator."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import session
from cli_process import run
from scene import Scene, playing, write
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.state.planfile import read_plan, write_plan
from shardwatch.supervisor.service.control import supervisord

pytestmark = pytest.mark.xdist_group("scenarios_faults")

CREATES = 20_000


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory on tmpfs, where files are made fast: a stopped shard is not to be stopped for long."""
    path = session.place(where=session.memory())
    yield path
    shutil.rmtree(path)


@pytest.fixture
def two_shards(in_memory: Path, no_leaks: None) -> Iterator[Scene]:
    """A service with two shards over eight directories of three files."""
    root = in_memory / "root"
    for d in range(8):
        for f in range(3):
            write(root / f"d{d}" / f"f{f}.json")
    with playing(in_memory, root, shards=2) as scene:
        yield scene


@pytest.fixture
def crowded(two_shards: Scene) -> tuple[Path, str, str]:
    """A directory, its shard, and the other shard."""
    directory = two_shards.root / "d0"
    owner = two_shards.owner(directory)
    (other,) = {"s0", "s1"} - {owner}
    return directory, owner, other


def create_many(directory: Path) -> None:
    """20,000 empty files, at one event each: more than the kernel's queue holds by default (16,384)."""
    fd = os.open(directory, os.O_PATH)
    try:
        for n in range(CREATES):
            os.mknod(b"new%d.json" % n, dir_fd=fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing for a while."""
    deliver(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        deliver(pid, signal.SIGCONT)


def assert_all_arrived(scene: Scene, directory: Path) -> None:
    base = str(directory.relative_to(scene.root))
    assert scene.story() == {f"{base}/new{n}.json": "created" for n in range(CREATES)}


def test_scenario_27_overflow_of_a_stopped_shard(two_shards: Scene, crowded: tuple[Path, str, str]) -> None:
    """SIGSTOP, 20,000 creates, SIGCONT before it counts as hung: all arrive, by a rescan of that shard and of no other."""
    directory, owner, other = crowded
    pid = two_shards.pid(owner)
    with stopped(two_shards.service.process.pid):  # so that it does not count as hung, however long the creates take
        with stopped(pid):
            create_many(directory)
        two_shards.service.client.sync(120)  # it is at work again, and has said so
    assert_all_arrived(two_shards, directory)
    assert two_shards.pid(owner) == pid
    eventually(lambda: two_shards.shard(owner)["overflows"] == 1, 60)
    assert two_shards.shard(owner)["rescans"] >= 1
    assert two_shards.shard(other)["rescans"] == two_shards.shard(other)["overflows"] == 0


def test_scenario_27_overflow_of_a_hung_shard(two_shards: Scene, crowded: tuple[Path, str, str]) -> None:
    """The same, but it is never continued: it is killed for its silence, and its successor's baseline tells all."""
    directory, owner, other = crowded
    pid, others = two_shards.pid(owner), two_shards.pid(other)
    deliver(pid, signal.SIGSTOP)
    create_many(directory)
    eventually(lambda: two_shards.service.programs().get(owner, {}).get("pid") not in (pid, 0, None), 60)
    assert_all_arrived(two_shards, directory)
    assert two_shards.service.programs()[owner]["hung"] == 1
    assert two_shards.pid(other) == others


def test_scenario_28_few_watches(tmp_path: Path, no_leaks: None) -> None:
    """A shard to which the plan gives 100 watches for 200 directories: nothing is missed, and it takes those that are free.

    Where none is free it polls and says so, with the remedy: tests/integration/test_few_watches.py. With `auto`, root would use
    fanotify.
    """
    root = tmp_path / "root"
    for n in range(200):
        write(root / f"d{n}" / "f.json")
    with playing(tmp_path, root, backend="inotify") as scene:
        path = scene.service.layout.plan
        plan = read_plan(path)
        assert plan is not None
        write_plan(path, msgspec.structs.replace(plan, watches={"s0": 100}))
        scene.service.kill("s0")
        scene.settled()
        for n in range(200):
            write(root / f"d{n}" / "new.json")
        assert scene.story() == {f"d{n}/new.json": "created" for n in range(200)}
        eventually(lambda: scene.watches() == 201)
        eventually(lambda: not scene.service.client.status()["degraded"])
        for command in ("status", "doctor"):
            told = run(command, "--state-dir", scene.service.layout.state_dir, cwd=tmp_path, check=False)
            assert told.returncode == 0, "one truth for both"


def test_scenario_41_shard_killed_in_a_burst(two_shards: Scene) -> None:
    """kill -9 of a shard while 4,000 files are made and 12 removed: after its restart all is told."""
    half = threading.Event()

    def burst() -> None:
        for n in range(4_000):
            (two_shards.root / f"d{n % 8}" / f"burst{n}.json").write_text(str(n))
            if n == 2_000:
                half.set()
        for d in range(4):
            for f in range(3):
                (two_shards.root / f"d{d}" / f"f{f}.json").unlink()

    writer = threading.Thread(target=burst)
    writer.start()
    try:
        assert half.wait(30)
        for name in ("s0", "s1"):
            two_shards.service.kill(name)
    finally:
        writer.join()
    made = {f"d{n % 8}/burst{n}.json": "created" for n in range(4_000)}
    removed = {f"d{d}/f{f}.json": "deleted" for d in range(4) for f in range(3)}
    assert two_shards.story() == made | removed


def test_scenario_42_aggregator_down(two_shards: Scene) -> None:
    """50,000 changes while there is no aggregator: all are shipped later, and acked."""
    with supervisord(two_shards.service.layout.supervisor_socket, 30) as proxy:
        proxy.supervisor.stopProcess("aggregator")
        for n in range(50_000):
            os.mknod(two_shards.root / f"d{n % 8}" / f"n{n}.json")
        proxy.supervisor.startProcess("aggregator")
    story = two_shards.story()
    other = {name: word for name, word in story.items() if word != "created"}
    assert (len(story), other) == (50_000, {})

    def acked() -> bool:
        return all(two_shards.shard(name)["unacked"] == 0 for name in ("s0", "s1"))

    eventually(acked, 60)


def test_scenario_43_rename_across_shards(two_shards: Scene, crowded: tuple[Path, str, str]) -> None:
    """A file, and a directory with files, moved from one shard's subtree into another's: gone there, and here."""
    directory, _, other = crowded
    root = two_shards.root
    target = next(d for d in sorted(root.iterdir()) if two_shards.owner(d) == other)
    write(directory / "below" / "x.json")
    two_shards.settled()
    (directory / "f0.json").rename(target / "moved.json")
    (directory / "below").rename(target / "below")
    here, there = directory.name, target.name
    assert two_shards.story() == {
        f"{here}/f0.json": "deleted", f"{here}/below/x.json": "deleted",
        f"{there}/moved.json": "created", f"{there}/below/x.json": "created",
    }  # fmt: skip
    write(target / "below" / "x.json", "in its new place")
    assert two_shards.story() == {f"{there}/below/x.json": "modified"}
