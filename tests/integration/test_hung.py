"""A process that hangs is noticed and killed, whichever it is; one that was suspended with its judge is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from running import Running, consuming, running, settings_for
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.limits import SILENT_S


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for d in range(8):
        (root / f"d{d}").mkdir(parents=True)
        (root / f"d{d}" / "f.ast.json").write_text("{}")
    return root


def everyone(service: Running) -> list[psutil.Process]:
    supervisord = psutil.Process(service.process.pid)
    return [supervisord, *supervisord.children()]


@pytest.mark.parametrize("name", ["s0", "aggregator", "coordinator"])
def test_a_hung_program_is_replaced(state_dir: Path, root: Path, name: str, no_leaks: None) -> None:
    """SIGSTOP for good: after some seconds of silence it is killed, and its successor does the work."""
    with running(state_dir, settings_for(root, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        # It may still be starting, and is judged by the second from its first pulse on.
        eventually(lambda: service.programs().get(name, {}).get("heard"), what=f"{name} is at work")
        pid = service.programs()[name]["pid"]
        deliver(pid, signal.SIGSTOP)
        (root / "d0" / "f.ast.json").write_text("while it hung")
        eventually(lambda: service.programs().get(name, {}).get("pid") not in (pid, 0, None), what=f"a new {name}")
        assert service.programs()[name]["hung"] >= 1
        (root / "d1" / "f.ast.json").write_text("after it hung")
        service.assert_mirrored(consumer, root)


def test_a_suspended_service_goes_on(state_dir: Path, root: Path, no_leaks: None) -> None:
    """Everything is stopped for longer than the limit, as on a suspended laptop: nobody is blamed, nothing is missed."""
    with running(state_dir, settings_for(root, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        before = {name: row["pid"] for name, row in service.programs().items()}
        frozen = everyone(service)
        for process in frozen:
            process.suspend()
        stopped = os.times().elapsed
        for n in range(200):
            (root / "d2" / f"new{n}.ast.json").write_text("while suspended")
        eventually(lambda: os.times().elapsed - stopped > SILENT_S + 3, every_s=0.2)
        for process in reversed(frozen):
            process.resume()
        service.assert_mirrored(consumer, root)
        assert {name: row["pid"] for name, row in service.programs().items()} == before
        assert all(row["hung"] == 0 for row in service.programs().values())


def test_a_shard_beside_a_living_one_is_refused(state_dir: Path, root: Path, no_leaks: None) -> None:
    """As beside one that is stuck in the kernel and can't be killed: its lock keeps out whoever else starts, whoever starts it.
    It says who holds the lock, sends nothing, and the first goes on in its epoch."""
    with running(state_dir, settings_for(root, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        before = {row["id"]: (row["epoch"], row["pid"]) for row in service.client.status()["shards"]}
        argv = [sys.executable, "-P", "-m", "shardwatch.shard.main", "--state-dir", os.fspath(state_dir), "--shard", "s0"]
        second = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 75
        assert f"shard-s0.lock is held by process {before['s0'][1]}" in second.stderr
        service.assert_mirrored(consumer, root)
        assert {row["id"]: (row["epoch"], row["pid"]) for row in service.client.status()["shards"]} == before
        assert service.client.status()["foreign"] == 0
