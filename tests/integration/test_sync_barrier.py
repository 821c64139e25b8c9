"""After `sync` everything done before the call is in the index: write, sync, pull, a thousand times, whatever else goes on."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import GUARD_S, Running, running, settings_for
from session import deliver

from shardwatch.aggregator.client.blocking import Batch, ExtractClient
from shardwatch.aggregator.client.replies import RequestError

TIMES = 1_000
#: A batch whose answer is lost with an aggregator that is killed comes again after so many seconds.
LEASE_S = 10.0
#: Short lives in a row after which a program is spared: its breaker then keeps it waiting for a second or two, and not for 30.
LIVES_MAX = 7

#: Rewrites, makes, renames and removes files in the other shard's and the same shard's directories until it is killed.
_LOAD = """
import itertools, os, sys
os.chdir(sys.argv[1])
for n in itertools.count():
    d = "ab"[n % 2]
    with open(f"{d}/{n % 50}.json", "w") as f:
        f.write("x" * (n % 300))
    if n % 10 == 0:
        os.rename(f"{d}/{n % 50}.json", f"{d}/renamed{n % 30}.json")
    if n % 400 == 0:
        os.makedirs(f"{d}/deep{n % 1600}/er", exist_ok=True)
        open(f"{d}/deep{n % 1600}/er/f.json", "w").close()
    if n % 400 == 200 and os.path.isdir(f"{d}/deep{n % 1600 - 200}"):
        os.unlink(f"{d}/deep{n % 1600 - 200}/er/f.json")
        os.removedirs(f"{d}/deep{n % 1600 - 200}/er")
"""


@pytest.fixture
def service(state_dir: Path, tmp_path: Path, no_leaks: None) -> Iterator[tuple[Running, Path]]:
    """Two shards: the probes are written into the subtrees of both."""
    root = tmp_path / "root"
    for d in ("a", "b"):
        (root / d / "in").mkdir(parents=True)
        for n in range(50):
            (root / d / f"{n}.json").write_text("{}")
            (root / d / "in" / f"{n}.json").write_text("{}")
    with running(state_dir, settings_for(root, shards=2)) as it:
        yield it, root


def probe(client: ExtractClient, mirror: dict[bytes, int | None], path: Path, number: int) -> None:
    """Writes, makes or removes a file, syncs, pulls what is pending: the file is as it was left."""
    wanted: int | None = number
    if number % 5 == 4:
        path.unlink(missing_ok=True)
        wanted = None
    else:
        path.write_bytes(b"p" * number)
    client.sync(GUARD_S, patience_s=GUARD_S)
    for batch in pending(client):
        for event in batch.events:
            if event.moved_from:
                mirror.pop(os.fsencode(event.moved_from), None)
            mirror[os.fsencode(event.path)] = None if event.event_type == "deleted" else event.size
        acknowledge(client, batch)
        if os.fsencode(path) in {os.fsencode(e.path) for e in batch.events}:
            break  # under load there is always more
    assert mirror.get(os.fsencode(path)) == wanted, f"{path} after sync {number}"


def acknowledge(client: ExtractClient, batch: Batch) -> None:
    """However long the aggregator is away. Where that is longer than the lease, the batch comes again."""
    try:
        client.request("ack", group=batch.group, batch=batch.id, patience_s=GUARD_S)
    except RequestError as error:
        assert error.code == "lease_expired", error


def pending(client: ExtractClient) -> Iterator[Batch]:
    """What is pending now, and what was in a batch that never arrived, because its answer died with the aggregator."""

    def is_one_lost() -> bool:
        groups = client.request("groups", patience_s=GUARD_S)["groups"]
        return any(group["leased"] or group["retrying"] for group in groups if group["name"] == "probe")

    wait_s = 0.0
    while True:
        batch = client.pull("probe", from_="start", wait_s=wait_s, lease_s=LEASE_S, patience_s=GUARD_S)
        if batch is not None:
            yield batch
        elif not is_one_lost():
            return
        wait_s = 0.0 if batch is not None else 0.5


@contextlib.contextmanager
def load(root: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", _LOAD, root]) as process:
        try:
            yield
        finally:
            assert process.poll() is None, "the load ended early"
            process.kill()


def test_a_thousand_syncs_without_one_stale_answer(service: tuple[Running, Path]) -> None:
    """While another process changes the same directories all the time."""
    running_, root = service
    mirror: dict[bytes, int | None] = {}
    with load(root):
        for number in range(1, TIMES + 1):
            probe(running_.client, mirror, root / "ab"[number % 2] / "in" / f"probe{number % 7}.json", number)


def test_syncs_during_rescans_and_after_kills(service: tuple[Running, Path]) -> None:
    """A shard is killed, or stopped for a moment, again and again: its baseline is under way when the sync is asked for."""
    running_, root = service
    mirror: dict[bytes, int | None] = {}
    done = threading.Event()
    answered, killed = 0, dict.fromkeys(("s0", "s1", "aggregator"), -1)

    def trouble() -> None:
        for name in itertools.cycle(["s0", "s1", "s0", "aggregator"]):
            if done.is_set():
                return
            row = running_.programs().get(name)
            # Once between two answers: one that is killed at each start never answers, and a sync has a limit.
            if row is not None and row["heard"] and killed[name] < answered and row["short_lives"] < LIVES_MAX:
                killed[name] = answered
                with contextlib.suppress(ProcessLookupError):
                    deliver(int(row["pid"]), signal.SIGKILL)
            done.wait(0.7)  # not a wait for anything: so that some syncs meet no trouble

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        with load(root):
            for number in range(1, 61):
                probe(running_.client, mirror, root / "ab"[number % 2] / "in" / f"probe{number % 7}.json", number)
                answered += 1
    finally:
        done.set()
        thread.join()
