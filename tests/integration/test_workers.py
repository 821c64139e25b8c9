"""Workers of one group share the work, a dead worker's batch goes to another, every group gets everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import consuming, running, settings_for, walk
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient

#: A worker that pulls one batch, says which paths it holds, and never acks.
HOLDER = """
import sys
from shardwatch import ExtractClient
with ExtractClient(sys.argv[1], worker="holder") as client:
    batch = client.pull("extract", max=20, wait_s=60, lease_s=2)
    print(*sorted(event.path for event in batch.events), sep="\\n", flush=True)
    print("held", flush=True)
    sys.stdin.read()
"""

#: A worker that works on its first batch for ever.
AHEAD = """
import sys
from shardwatch import ExtractClient
with ExtractClient(sys.argv[1]) as client:
    for batch in client.batches("extract", max=20, from_="start", lease_s=3600):
        print("works on", len(batch), flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """100 files in 10 directories."""
    root = tmp_path / "root"
    for d in range(10):
        (root / f"d{d}").mkdir(parents=True)
        for f in range(10):
            (root / f"d{d}" / f"f{f}.ast.json").write_text("{}")
    return root


def drain(client: ExtractClient, group: str, *, size: int) -> list[str]:
    """Everything that is pending now, acked."""
    paths: list[str] = []
    while (batch := client.pull(group, max=size, from_="start")) is not None:
        paths += [event.path for event in batch.events]
        batch.ack()
    return paths


def test_two_workers_share_the_work(state_dir: Path, root: Path, no_leaks: None) -> None:
    """What one worker holds, no other is given; together they get every path once."""
    with running(state_dir, settings_for(root)) as service, ExtractClient(state_dir) as one, ExtractClient(state_dir) as two:
        first = one.pull("extract", max=30, from_="start")
        second = two.pull("extract", max=30)
        assert first is not None
        assert second is not None
        held = [{e.path for e in batch.events} for batch in (first, second)]
        assert [len(h) for h in held] == [30, 30]
        assert not held[0] & held[1]
        first.ack()
        second.ack()
        rest = drain(one, "extract", size=30)
        assert sorted([*held[0], *held[1], *rest]) == sorted(os.fsdecode(p) for p in walk(root, service.settings))


def test_a_killed_workers_batch_goes_to_the_other(state_dir: Path, root: Path, no_leaks: None) -> None:
    """A worker process is killed with -9 before its ack: when its lease ends, the other worker gets the batch."""
    with running(state_dir, settings_for(root)) as service:
        made = service.client.pull("extract", max=1, from_="start")
        assert made is not None
        made.nack("only to make the group")
        worker = subprocess.Popen([sys.executable, "-c", HOLDER, state_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        held = set()
        while (line := worker.stdout.readline().decode()) != "held\n":
            assert line, "the worker ended"
            held.add(line.strip())
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        assert held
        seen: set[str] = set()

        def everything() -> bool:
            seen.update(drain(service.client, "extract", size=50))
            return len(seen) == 100

        eventually(everything, 60)
        assert held <= seen


def test_what_a_killed_worker_had_pulled_ahead_is_free_at_once(state_dir: Path, root: Path, no_leaks: None) -> None:
    """Its lease, of an hour, is not waited for, and it is no failure; what the worker worked on stays on lease."""
    with running(state_dir, settings_for(root)) as service:
        worker = subprocess.Popen([sys.executable, "-c", AHEAD, state_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"works on 20\n"

        def kept() -> list[bool]:
            return [lease.get("ahead", False) for lease in service.client.groups()[0]["leases"]]

        eventually(lambda: kept() == [False, True], 60)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        eventually(lambda: kept() == [False], 60)
        came = [batch for _ in range(4) if (batch := service.client.pull("extract", max=20))]
        assert [(len(batch), batch.attempt) for batch in came] == [(20, 1)] * 4


def test_two_groups_each_get_everything(state_dir: Path, root: Path, no_leaks: None) -> None:
    """A group's acks mean nothing to another."""
    with (
        running(state_dir, settings_for(root)) as service,
        consuming(state_dir, "one") as one,
        consuming(state_dir, "two") as two,
    ):
        (root / "d0" / "f0.ast.json").write_text("changed")
        (root / "d1" / "f0.ast.json").unlink()
        service.assert_mirrored(one, root)
        service.assert_mirrored(two, root)
