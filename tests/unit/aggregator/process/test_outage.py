"""What the aggregator does while its databases cannot be used. What it answers: test_disk_faults."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from waiting import eventually

from shardwatch.aggregator.process import outage
from shardwatch.aggregator.process.sockets import Sockets
from shardwatch.aggregator.storage.damage import Refusal
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings

SETTINGS = Settings(roots=(b"/r",), include=("*",), exclude=())


def test_connections_that_end_meanwhile_leave_nothing(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may last for hours, and whoever is refused may connect anew each time."""
    monkeypatch.chdir(state_dir)
    layout = Layout(state_dir)
    for folder in (layout.run, layout.locks):
        folder.mkdir(mode=0o700)
    sockets = Sockets(layout)
    try:
        for path, door in ((layout.extract_socket, sockets.extract), (layout.facts_socket, sockets.facts)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as worker:
                worker.connect(str(path))
                eventually(lambda: sockets.wait(10, facts=False) or len(door) == 1)  # noqa: B023 - it is asked at once
            eventually(lambda: outage.wait(sockets, SETTINGS, Refusal("full", ""), 0.01) or not len(door))  # noqa: B023
            assert door.departed() == (set(), [])
    finally:
        sockets.close()
