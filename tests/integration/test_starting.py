"""What happens while a service starts: who waits for whom."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from running import GUARD_S, settings_for
from waiting import eventually

from shardwatch.aggregator.client.connection import Connection
from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.limits import FIRST_SHARD
from shardwatch.shard.contract.process.life import Lock
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.link import connection as link
from shardwatch.supervisor.host.process import ended_fd
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.early import EarlyProcess
from shardwatch.supervisor.service.state_dir import prepare

#: Attempts that are looked at: with pauses that are doubled, the last would follow after seconds.
ATTEMPTS = 12


class Observed(Connection["zmq.Socket[bytes]"]):
    """Tells of its attempts, and keeps the last one that was made."""

    made: Observed

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, *, events: int, reconnect_ms: tuple[int, int]
    ) -> None:
        super().__init__(context, endpoint, events=events | zmq.EVENT_CONNECT_RETRIED, reconnect_ms=reconnect_ms)
        Observed.made = self

    def pauses_ms(self) -> list[int]:
        """The pauses before the next attempts, as ZeroMQ tells them."""
        pauses: list[int] = []
        while len(pauses) < ATTEMPTS:
            assert self.monitor.poll(int(GUARD_S * 1000))
            event = self.monitor.recv_multipart()[0]
            assert int.from_bytes(event[:2], "little") == zmq.EVENT_CONNECT_RETRIED
            pauses.append(int.from_bytes(event[2:6], "little"))
        return pauses


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch, state_dir: Path) -> Layout:
    monkeypatch.setattr(link, "Connection", Observed)
    (state_dir / "run").mkdir(parents=True)
    return Layout(state_dir)


@pytest.fixture
def process_fd() -> Iterator[int]:
    """Of a process that lives longer than the test, in place of a service's: the parent of this one."""
    fd = ended_fd(os.getppid())
    yield fd
    os.close(fd)


def test_a_service_that_starts_is_reached_at_a_steady_pace(observed: Layout, process_fd: int) -> None:
    """It is there within tenths of a second, and what is left of a pause then is waited out in full: pauses do not grow."""
    with link.ServiceConnection(observed, process_fd=process_fd, on_absence=None):
        assert max(Observed.made.pauses_ms()) <= 10


def test_any_other_service_is_tried_less_and_less_often(observed: Layout) -> None:
    """It may be away for days."""
    with link.ServiceConnection(observed, on_absence=None):
        pauses = Observed.made.pauses_ms()
    assert pauses[-1] >= 250


def test_who_needs_no_plan_does_not_wait_for_it(state_dir: Path, tree: Path) -> None:
    """It can't be made ahead here, because somebody else plans. The aggregator runs, and the first shard waits for a plan; the
    coordinator makes it later."""
    prepared = prepare(state_dir, settings_for(tree))
    layout = prepared.layout
    planning = contextlib.ExitStack()
    planning.callback(Lock(layout.lock("coordinator")).close)
    child = ChildService(layout, follow=True, claim=prepared.claim)
    try:
        begun = {"aggregator", "coordinator", FIRST_SHARD}
        eventually(lambda: {p["name"] for p in service.programs(layout) if p["pid"]} == begun, GUARD_S)
        planning.close()
        assert child.wait_ready(GUARD_S)["shards"] == 1
    finally:
        planning.close()
        child.stop(GUARD_S)


@pytest.mark.parametrize("first", [True, False])
def test_a_process_is_started_before_its_service_is_known(state_dir: Path, tree: Path, first: bool) -> None:
    """It serves whether it was told rightly that there is no plan, or not: at the second start there is one."""
    for _ in range(2):
        with EarlyProcess(first=first) as early:
            prepared = prepare(state_dir, settings_for(tree))
            child = ChildService(prepared.layout, follow=True, claim=prepared.claim, early=early)
            try:
                assert child.process is early.process
                assert child.wait_ready(GUARD_S)["shards"] == 1
                seen = Path(f"/proc/{child.process.pid}/cmdline").read_bytes().split(b"\0")
                assert seen[seen.index(b"--state-dir") + 1] == os.fsencode(state_dir), "ps shows which service it is"
            finally:
                child.stop(GUARD_S)
        assert early.process.returncode == 0


def test_a_process_without_orders_ends_with_the_block() -> None:
    """As where the arguments of a command are wrong."""
    with EarlyProcess(first=True) as early:
        assert early.process.poll() is None
    assert early.process.returncode == -signal.SIGKILL


def test_a_process_without_orders_ends_with_its_parent() -> None:
    """However the parent ends, and whether it is loaded by then or not."""
    code = (
        "import signal\nfrom shardwatch.supervisor.service.early import EarlyProcess\n"
        "early = EarlyProcess(first=True)\nprint(early.process.pid, flush=True)\nsignal.pause()"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        ended = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([ended], [], [], GUARD_S)[0]
    finally:
        os.close(ended)


def test_orders_for_a_process_that_was_killed(state_dir: Path, tree: Path) -> None:
    """Who waits for its service is told, as of one that is killed later."""
    prepared = prepare(state_dir, settings_for(tree))
    with EarlyProcess() as early:
        early.process.kill()
        early.process.wait()
        child = ChildService(prepared.layout, follow=True, claim=prepared.claim, early=early)
        with pytest.raises(ServiceError, match="killed by signal 9"):
            child.wait_ready(GUARD_S)
        child.stop(GUARD_S)


def test_what_can_not_be_loaded_is_told(state_dir: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the log of the service that the process was to be, although nothing was known of it then."""
    broken = tmp_path / "supervisor"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('supervisor is broken here')\n")
    prepared = prepare(state_dir, settings_for(tree))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = ChildService(prepared.layout, follow=True, claim=prepared.claim)
    with pytest.raises(ServiceError, match="supervisor is broken here"):
        child.wait_ready(GUARD_S)
    child.stop(GUARD_S)
