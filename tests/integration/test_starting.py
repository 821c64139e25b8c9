"""What happens while a service starts: who waits for whom."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from running import GUARD_S, settings_for
from waiting import eventually

from shardwatch.aggregator.client.connection import Connection
from shardwatch.shard.contract.process.life import Lock
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.link import connection as link
from shardwatch.supervisor.host.process import ended_fd
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.child import ChildService
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
    """It can't be made ahead here, because somebody else plans. The aggregator runs; the coordinator adds the shards later."""
    prepared = prepare(state_dir, settings_for(tree))
    layout = prepared.layout
    planning = contextlib.ExitStack()
    planning.callback(Lock(layout.lock("coordinator")).close)
    child = ChildService(layout, follow=True, claim=prepared.claim)
    try:
        eventually(lambda: {p["name"] for p in service.programs(layout) if p["pid"]} == {"aggregator", "coordinator"}, GUARD_S)
        planning.close()
        assert child.wait_ready(GUARD_S)["shards"] == 1
    finally:
        planning.close()
        child.stop(GUARD_S)
