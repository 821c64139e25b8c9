"""Who holds a lock of a state directory, while that changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import InUseError
from shardwatch.shard.contract.process.life import Lock, started
from shardwatch.shard.contract.state.directory import SERVICE_LOCK, StateDirectory
from shardwatch.supervisor.service import holder
from shardwatch.supervisor.service.holder import proved_holder


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def ending() -> Iterator[int]:
    """The number of a process that has given up its memory, and is still there."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


def held_by(path: Path, words: str) -> Lock:
    """A lock that somebody holds, whose file says something else."""
    path.parent.mkdir(exist_ok=True)
    lock = Lock(path)
    os.ftruncate(lock.fileno(), 0)
    os.pwrite(lock.fileno(), words.encode(), 0)
    return lock


@pytest.mark.parametrize("named", ["the dead", "one that ends", "nobody"])
def test_a_lock_that_outlives_whom_it_names_for_a_moment(
    state_dir: Path, dead: int, ending: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a process that was killed while a child of its start had the lock too: nobody is there, and nobody is blamed.
    Nor is one that ends: for some milliseconds it has no command line any more, and the lock still."""
    monkeypatch.setattr(holder, "HANDOVER_S", 30.0)
    words = {"the dead": f"{dead} 1\n", "one that ends": f"{ending} {started(ending)}\n", "nobody": ""}
    lock = held_by(state_dir / SERVICE_LOCK, words[named])
    with StateDirectory(state_dir) as state:
        assert state.held(SERVICE_LOCK)
        release = threading.Timer(0.1, lock.close)
        release.start()
        with proved_holder(state, SERVICE_LOCK) as process:
            assert process is None
        release.join()


def test_a_lock_that_stays_is_somebodys(state_dir: Path, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not ours to end, and the error says why."""
    monkeypatch.setattr(holder, "HANDOVER_S", 0.05)
    lock = held_by(state_dir / SERVICE_LOCK, f"{dead} 1\n")
    with (
        StateDirectory(state_dir) as state,
        pytest.raises(InUseError, match=f"no process {dead} is there"),
        proved_holder(state, SERVICE_LOCK),
    ):
        pass
    lock.close()
