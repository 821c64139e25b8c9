"""What a command does while its service starts: real ZeroMQ, and nobody who listens yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from running import GUARD_S

from shardwatch.aggregator.client.connection import Connection
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.link import connection as link
from shardwatch.supervisor.host.process import ended_fd

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
