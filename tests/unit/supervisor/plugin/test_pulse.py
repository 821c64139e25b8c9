"""What comes over the socket of pulses. Who is given up for its silence: test_silence."""

from __future__ import annotations

import math
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import events
from supervisor.states import ProcessStates

from shardwatch.shard.contract.limits import BEAT_S, SILENT_S
from shardwatch.supervisor.plugin.pulse import Pulses, sent_at
from shardwatch.supervisor.plugin.silence import Living

RUNNING = ProcessStates.RUNNING


@pytest.fixture
def scanning() -> list[int]:
    """Pids that were said to scan."""
    return []


@pytest.fixture
def told_ready() -> list[bool]:
    """An entry for each time that the service was said to be ready."""
    return []


@pytest.fixture
def pulses(state_dir: Path, scanning: list[int], told_ready: list[bool]) -> Iterator[Pulses]:
    """In a supervisord without programs."""
    (state_dir / "run").mkdir()
    socket_map: dict[int, Any] = {}
    options = SimpleNamespace(
        here=str(state_dir), get_socket_map=lambda: socket_map, logger=SimpleNamespace(warn=lambda line: None)
    )
    supervisord: Any = SimpleNamespace(options=options, process_groups={})
    it = Pulses(supervisord, scanning.append, lambda: told_ready.append(True))
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


def test_a_pulse_says_that_the_service_is_ready(pulses: Pulses, told_ready: list[bool], state_dir: Path) -> None:
    """In one word after the pid, which may not stand beside the other one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for pulse in (b"101", b"102 ready", b"103 ready scanning", b"104 scanning ready", b" ready", b"105 ready ready"):
            sender.sendto(pulse, str(state_dir / "run/pulse.sock"))
    pulses.handle_read_event()
    assert told_ready == [True]
    assert [pulses.row(process(pid))["heard"] for pid in (101, 102, 103, 104, 105)] == [True, True, False, False, False]
    assert pulses.refused == 4


def test_what_status_says_of_a_program(pulses: Pulses) -> None:
    """Nothing is wrong with one that was not heard yet."""
    assert pulses.row(process(101)) == {"hung": 0, "stuck_s": 0.0, "heard": False}


def process(pid: int, name: str = "", group: str = "g") -> Any:
    """A program that runs."""
    of_group = SimpleNamespace(config=SimpleNamespace(name=group))
    config = SimpleNamespace(name=name or f"p{pid}", environment=None)
    return SimpleNamespace(pid=pid, config=config, state=RUNNING, group=of_group)


def test_nobody_is_silent_while_the_socket_is_missing(
    pulses: Pulses, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made again as soon as its directory is there, and the time of each program begins once more."""
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: killed.append(pid))
    now = time.monotonic()
    monkeypatch.setattr(pulses, "_living", lambda: {7: Living("p7", True)})
    path = state_dir / "run/pulse.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"7", str(path))
        pulses.handle_read_event()
        shutil.rmtree(state_dir / "run")
        for seconds in range(20):
            pulses._look(now + seconds)
        assert not path.exists()
        (state_dir / "run").mkdir()
        for seconds in range(20, 24):
            pulses._look(now + seconds)
        assert path.stat().st_mode & 0o777 == 0o600 and killed == []
        sender.sendto(b"8", str(path))
        pulses.handle_read_event()
        assert pulses._silence.is_heard(8) or pulses.refused == 0
    for seconds in range(24, 40):
        pulses._look(now + seconds)
    assert killed == [7]


def test_a_command_of_the_configuration_is_judged_as_any_program(
    pulses: Pulses, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was heard, it is killed when it falls silent, and `status` counts that; for the command, and not for a shard of the
    same name."""
    command, shard = process(2_000_000_001, "s0", "exec"), process(2_000_000_002, "s0", "shards")
    groups: dict[str, Any] = pulses._supervisord.process_groups
    groups |= {"exec": SimpleNamespace(processes={"s0": command}), "shards": SimpleNamespace(processes={"s0": shard})}
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: killed.append(pid))
    now = pulses._silence.looked
    for pid in (command.pid, shard.pid):
        pulses._silence.hear(pid, now)
    for passed in range(int(SILENT_S) + 1):
        pulses._silence.hear(shard.pid, now + passed)
        pulses._look(now + passed)
    assert not killed
    pulses._look(now + SILENT_S + 1)
    assert killed == [command.pid]
    assert (pulses.row(command)["hung"], pulses.row(shard)["hung"]) == (1, 0)


@pytest.fixture
def programs(pulses: Pulses) -> list[int]:
    """Pids of three programs that run: with a queue of 10, as many as may rest. No process can have these pids."""
    pids = [2_000_000_001, 2_000_000_002, 2_000_000_003]
    running = {str(pid): process(pid) for pid in pids}
    groups: dict[str, Any] = pulses._supervisord.process_groups
    groups["g"] = SimpleNamespace(processes=running)
    pulses._queue = 10
    return pids


def send(state_dir: Path, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, str(state_dir / "run/pulse.sock"))


def test_usual_pulses_are_read_once_in_a_beat(pulses: Pulses, programs: list[int], state_dir: Path) -> None:
    """While every program is heard, nothing wakes supervisord for a pulse: they wait in the socket for the end of the beat."""
    *most, last = (b"%d" % pid for pid in programs)
    send(state_dir, *most)
    pulses.handle_read_event()
    assert pulses.readable(), "one was not heard yet"
    assert pulses.next_due() == math.inf
    send(state_dir, last)
    pulses.handle_read_event()
    begun = time.monotonic()
    assert not pulses.readable()
    assert pulses.next_due() - begun <= BEAT_S + 0.1
    send(state_dir, *most, last)
    pulses.on_time(pulses.next_due())
    with pytest.raises(BlockingIOError):
        pulses._socket.recv(99)
    assert not pulses.readable(), "and so on"


def test_unusual_pulses_are_read_as_they_come(pulses: Pulses, programs: list[int], state_dir: Path) -> None:
    """A program that starts or scans, and more programs than the queue has room for."""
    usual = [b"%d" % pid for pid in programs]
    send(state_dir, *usual, usual[0] + b" scanning")
    pulses.handle_read_event()
    assert pulses.readable()
    send(state_dir, *usual)
    pulses.handle_read_event()
    assert not pulses.readable()
    starting: Any = events.ProcessStateStartingEvent
    events.notify(starting(SimpleNamespace(backoff=0), 0, expected=False))
    assert pulses.readable()
    pulses._queue = 9
    send(state_dir, *usual)
    pulses.handle_read_event()
    assert pulses.readable()


@pytest.mark.parametrize("others", [[b"nonsense"], [b"1"] * 7])
def test_a_queue_that_somebody_else_fills_is_read_for_a_while(
    pulses: Pulses, programs: list[int], state_dir: Path, others: list[bytes]
) -> None:
    """Pulses would be lost if it were full, and the programs be killed for their silence: a single usual pass proves nothing."""
    usual = [b"%d" % pid for pid in programs]
    send(state_dir, *usual, *others)
    pulses.handle_read_event()
    assert pulses.readable()
    send(state_dir, *usual)
    pulses.handle_read_event()
    assert pulses.readable()
    pulses._alert_until = 0.0  # it is over
    send(state_dir, *usual)
    pulses.handle_read_event()
    assert not pulses.readable()


def test_a_pulse_counts_from_when_it_was_sent(pulses: Pulses, state_dir: Path) -> None:
    """However late it is read. The kernel's stamp is of a clock that may be set, so it is believed within limits only."""
    send(state_dir, b"101")
    _, stamp, _, _ = pulses._socket.recvmsg(99, 99)
    wall = time.time()
    sent = sent_at(stamp, 1000.0, wall, since=0.0)
    assert 0.0 < sent <= 1000.0
    assert sent_at(stamp, 1000.0, wall + 1.5, since=0.0) == pytest.approx(sent - 1.5)
    assert sent_at(stamp, 1000.0, wall + 3600, since=998.0) == 998.0
    assert sent_at(stamp, 1000.0, wall - 3600, since=998.0) == 1000.0
    assert sent_at([], 1000.0, wall, since=998.0) == 1000.0
