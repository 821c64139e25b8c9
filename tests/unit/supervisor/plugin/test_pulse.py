"""What comes over the socket of pulses. Who is given up for its silence: test_silence."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import events

from shardwatch.supervisor.plugin.pulse import Pulses


@pytest.fixture
def scanning() -> list[int]:
    """Pids that were said to scan."""
    return []


@pytest.fixture
def pulses(state_dir: Path, scanning: list[int]) -> Iterator[Pulses]:
    """In a supervisord without programs."""
    (state_dir / "run").mkdir()
    socket_map: dict[int, Any] = {}
    options = SimpleNamespace(
        here=str(state_dir), get_socket_map=lambda: socket_map, logger=SimpleNamespace(warn=lambda line: None)
    )
    supervisord: Any = SimpleNamespace(options=options, process_groups={})
    it = Pulses(supervisord, scanning.append)
    yield it
    events.clear()
    (fd,) = socket_map
    it.forget()
    os.close(fd)


def test_a_pulse_says_who_is_scanning(pulses: Pulses, scanning: list[int], state_dir: Path) -> None:
    """The pid, and one word after it; anything else is no pulse."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for pulse in (b"101", b"102 scanning", b"103 sleeping", b" scanning", b"104 scanning scanning", b"1" * 11 + b" scanning"):
            sender.sendto(pulse, str(state_dir / "run/pulse.sock"))
    pulses.handle_read_event()
    assert scanning == [102]
    assert [pulses.row(process(pid))["heard"] for pid in (101, 102, 103, 104)] == [True, True, False, False]
    assert pulses.refused == 4


def test_what_status_says_of_a_program(pulses: Pulses) -> None:
    """Nothing is wrong with one that was not heard yet."""
    assert pulses.row(process(101)) == {"hung": 0, "stuck_s": 0.0, "heard": False}


def process(pid: int) -> Any:
    return SimpleNamespace(pid=pid, config=SimpleNamespace(name=f"p{pid}"))
