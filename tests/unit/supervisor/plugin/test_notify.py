"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor import events

from shardwatch.supervisor.plugin.notify import Manager


@pytest.fixture
def manager_socket(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Of a service manager, which has set its variables."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(str(state_dir / "notify"))
        for name, value in (("NOTIFY_SOCKET", str(state_dir / "notify")), ("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(Manager, "_socket", None)
        yield listening
    events.clear()


def heard(listening: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(listening.recv(100))
        except BlockingIOError:
            return found


def test_a_manager_is_told_that_the_service_is_ready_lives_and_ends(manager_socket: socket.socket) -> None:
    """Ready once; and the programs of the service do not inherit the variables, so that only supervisord speaks."""
    manager = Manager()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
    manager.ready()
    manager.ready()
    events.notify(events.Tick5Event(0, None))
    events.notify(events.SupervisorStoppingEvent())
    assert heard(manager_socket) == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_it_is_told_after_a_reload_of_supervisord(manager_socket: socket.socket) -> None:
    """In the same process, whose environment has the variables no longer."""
    Manager()
    events.clear()
    again = Manager()
    again.ready()
    assert heard(manager_socket) == [b"READY=1"]


def test_a_manager_that_is_away_is_told_later(manager_socket: socket.socket, state_dir: Path) -> None:
    """Nothing is raised; what was not heard is said again with the next sign that the service is ready."""
    manager = Manager()
    (state_dir / "notify").rename(state_dir / "moved")
    manager.ready()
    (state_dir / "moved").rename(state_dir / "notify")
    manager.ready()
    assert heard(manager_socket) == [b"READY=1"]


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anything asked of supervisord's clock."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(Manager, "_socket", None)
    before = list(events.callbacks)
    Manager().ready()
    assert events.callbacks == before
