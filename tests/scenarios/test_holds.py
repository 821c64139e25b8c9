"""Scenarios of version control and builds: while they are at work nothing is handed out, then all of it at once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command
from repository import git
from running import walk
from scene import Scene, playing, write
from session import deliver
from waiting import eventually

from shardwatch.aggregator.client.blocking import Batch, ExtractClient

pytestmark = pytest.mark.xdist_group("scenarios_holds")

FILES, BATCH = 2_000, 300


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A running service of two shards that looks for lock files, and a consumer that applies everything."""
    root = tmp_path_factory.mktemp("repository")
    for n in range(40):
        write(root / f"part{n % 4}" / f"d{n}" / "f.json")
    with playing(tmp_path_factory.mktemp("holding"), root, hold_for_vcs=True, shards=2, batch_size_max=BATCH) as scene:
        yield scene


def held(client: ExtractClient) -> bool:
    return bool(client.request("groups")["held"])


def all_that_comes(client: ExtractClient, group: str) -> list[Batch]:
    """Batches from the first, which is waited for, to the one that is marked: without a pause between them."""
    found: list[Batch] = []
    while not found or not found[-1].settled:
        batch = client.pull(group, wait_s=0 if found else 30)
        assert batch is not None, f"a pause after {len(found)} batches"
        batch.ack()
        found.append(batch)
    return found


def events(batches: list[Batch], below: Path) -> list[tuple[str, str]]:
    """What happened, by path."""
    return sorted((str(Path(e.path).relative_to(below)), e.event_type) for b in batches for e in b.events)


@pytest.mark.parametrize("lock", [".git/index.lock", ".hg/wlock"])
def test_scenario_38_lock_held(holding: Scene, lock: str) -> None:
    """A lock, a change, the lock gone: nothing, then one batch with the last state of each file; and once again."""
    client, root = holding.service.client, holding.root
    assert len(client.status()["shards"]) == 2
    (root / lock).parent.mkdir(exist_ok=True)
    holding.settled()
    client.pull("vcs", from_="now")
    for n in range(2):
        before = len(holding.consumer.events)
        (root / lock).symlink_to("host:1")
        eventually(lambda: held(client), 60)
        write(root / "part0/d0/f.json", "x" * (n + 1))
        new = f"part1/new{n}{Path(lock).name}.json"
        write(root / new)
        client.sync()
        write(root / "part0/d0/f.json", "x" * (n + 10))
        client.sync()
        assert client.request("pull", group="vcs")["why"] == "held"
        assert client.pull("vcs", peek=True) is None
        assert len(holding.consumer.events) == before
        assert [hold["name"] for hold in client.status()["holds"]] == [str(root / lock)]
        (root / lock).unlink()
        (batch,) = all_that_comes(client, "vcs")
        assert events([batch], root) == [("part0/d0/f.json", "modified"), (new, "created")]
        assert not held(client)
        holding.settled()
        assert client.pull("vcs") is None


def test_scenario_38_a_repository_that_is_made_anew(holding: Scene) -> None:
    """`.git` is deleted and made again: its lock is heard of all the same, and no watch is left behind."""
    client, git = holding.service.client, holding.root / ".git"
    for _ in range(3):
        git.mkdir(exist_ok=True)
        (git / "index.lock").touch()
        eventually(lambda: held(client), 60)
        subprocess.run(["rm", "-r", git], check=True)
        eventually(lambda: not held(client), 60)
    git.mkdir()
    (git / "index.lock").touch()
    eventually(lambda: held(client), 60)
    (git / "index.lock").unlink()
    holding.settled()


def test_scenario_38_the_shard_and_the_aggregator_are_killed(holding: Scene) -> None:
    """Their successors find the lock; what came meanwhile comes when it is gone, and not before."""
    client, root = holding.service.client, holding.root
    lock = root / ".hg/wlock"
    lock.parent.mkdir(exist_ok=True)
    holding.settled()
    lock.symlink_to("host:1")
    eventually(lambda: held(client), 60)
    write(root / "part2/before.json")
    client.sync()
    for program in ("aggregator", "s0"):
        holding.service.kill(program)
        eventually(lambda: client.ready(1, patience_s=20) and held(client), 60)
    write(root / "part2/killed.json")
    client.sync(patience_s=20)
    assert not {os.fsencode(root / "part2" / name) for name in ("before.json", "killed.json")} & set(holding.consumer.mirror)
    lock.unlink()
    # A new shard's first look may tell a file again that was written within the clock's tick of its last look.
    story = holding.story()
    assert (story["part2/before.json"], story["part2/killed.json"]) == ("created", "created")


def test_scenario_39_dropped_holder(holding: Scene) -> None:
    """A hold is taken, files change, its holder is killed: it ends by itself, and all that was held comes at once."""
    client, root = holding.service.client, holding.root
    holding.settled()
    client.pull("builds", from_="now")
    before = len(holding.consumer.events)
    place = ("--state-dir", holding.state_dir)
    with Command("hold", *place, "--name", "build", "--", "sh", "-c", "echo $$; exec sleep 1000") as holder:
        build = int(holder.line())
        try:
            assert held(client)
            for n in range(BATCH * 2):
                write(root / "part3/built" / f"f{n}.json")
            client.sync()
            assert client.request("pull", group="builds")["why"] == "held"
            assert len(holding.consumer.events) == before
            holder.end(signal.SIGKILL)
            batches = all_that_comes(client, "builds")
        finally:
            deliver(build, signal.SIGKILL)
    assert events(batches, root / "part3/built") == sorted((f"f{n}.json", "created") for n in range(BATCH * 2))
    assert [b.settled for b in batches] == [False] * (len(batches) - 1) + [True] and len(batches) >= 2
    assert not held(client)
    holding.settled()


def test_a_lock_file_that_is_left_behind(tmp_path: Path, no_leaks: None) -> None:
    """A crashed git's: after hold_ms_max batches flow, `status` says so, and a later hold holds again."""
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    with playing(tmp_path, root, hold_for_vcs=True, hold_ms_max=1_500) as scene:
        client = scene.service.client
        (root / ".git/index.lock").touch()
        eventually(lambda: client.status()["holds"], what="the lock told")
        write(root / "a.json")
        scene.settled()
        assert [h["spent"] for h in client.status()["holds"]] == [True]
        write(root / "b.json")
        scene.settled()
        # It holds for hold_ms_max too: a moment that may pass before the question comes.
        eventually(lambda: client.hold(f"build{time.monotonic()}", 60) and held(client), what="a later hold that holds")


@pytest.mark.parametrize("backend", ["polling", "native"])
def test_locks_beside_other_backends(tmp_path: Path, backend: str, no_leaks: None) -> None:
    """However the tree is watched."""
    root = tmp_path / "root"
    (root / ".git").mkdir(parents=True)
    with playing(tmp_path, root, hold_for_vcs=True, backend=backend, poll_ms=50) as scene:
        client = scene.service.client
        client.pull("g", from_="now")
        (root / ".git/index.lock").touch()
        eventually(lambda: held(client), 60)
        write(root / "a.json")
        client.sync()
        assert client.request("pull", group="g")["why"] == "held"
        (root / ".git/index.lock").unlink()
        assert events(all_that_comes(client, "g"), root) == [("a.json", "created")]
        scene.settled()


class Recorder:
    """Pulls all the time; of each batch: what is in it, and whether the lock was there when it came."""

    def __init__(self, state_dir: Path, lock: Path) -> None:
        self.batches: list[tuple[Batch, bool]] = []
        #: Numbers of batches after which a pull found nothing.
        self.pauses: set[int] = set()
        self.error: BaseException | None = None
        self._lock = lock
        self._stop = threading.Event()
        self._client = ExtractClient(state_dir)
        self._client.pull("checkouts", from_="now")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                batch = self._client.pull("checkouts", wait_s=0.2)
                if batch is None:
                    self.pauses.add(len(self.batches))
                    continue
                there = self._lock.exists()
                batch.ack()
                self.batches.append((batch, there))
        except BaseException as error:
            self.error = error
            raise

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._client.close()
        assert self.error is None


def test_scenario_38_a_checkout_back_and_forth(tmp_path: Path, no_leaks: None) -> None:
    """No batch comes while git is at work; then all of them, without a pause, each file once, the last one marked."""
    root = tmp_path / "root"
    paths = [root / f"part{n % 8}" / f"f{n}.json" for n in range(FILES)]
    for path in paths:
        write(path, "main")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "main")
    git(root, "checkout", "-qb", "side")
    for path in paths[:-100]:
        path.write_text("another")
    for path in paths[-100:]:
        path.unlink()
    git(root, "add", "-A")
    git(root, "commit", "-qm", "side")
    lock = root / ".git/index.lock"
    with playing(tmp_path, root, hold_for_vcs=True, shards=2, batch_size_max=BATCH) as scene:
        recorder = Recorder(scene.state_dir, lock)
        try:
            for turn in range(4):
                begin = len(recorder.batches)
                git(root, "checkout", "-q", "side" if turn % 2 else "main")

                def marked(begin: int = begin) -> bool:
                    assert recorder.error is None
                    return any(batch.settled for batch, _ in recorder.batches[begin:])

                eventually(marked, 60)
                scene.settled()
                checked(recorder, begin, root, turn, scene)
        finally:
            recorder.close()


def checked(recorder: Recorder, begin: int, root: Path, turn: int, scene: Scene) -> None:
    """One checkout as its consumer saw it."""
    batches = recorder.batches[begin:]
    assert [there for _, there in batches] == [False] * len(batches), "a batch while the lock was there"
    assert [batch.settled for batch, _ in batches] == [False] * (len(batches) - 1) + [True]
    assert not recorder.pauses & set(range(begin + 1, begin + len(batches))), "a pause between batches"
    told: dict[str, Any] = {}
    for batch, _ in batches:
        for event in batch.events:
            assert event.path not in told, "told twice"
            told[event.path] = event
    assert len(told) == FILES
    there = walk(root, scene.service.settings)
    for path, event in told.items():
        found = there.get(os.fsencode(path))
        assert (found and found[0]) == event.size, "a state in between"
    deleted = sum(event.event_type == "deleted" for event in told.values())
    assert deleted == (100 if turn % 2 else 0)
