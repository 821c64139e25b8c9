"""Who is silent is killed, and nobody else: the judge's looks, one by one, at times that the test chooses."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import events
from supervisor.states import ProcessStates

from shardwatch.shard.contract.limits import SILENT_S
from shardwatch.supervisor.plugin.pulse import START_S, Pulses, row


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: pids.append(pid) if number == signal.SIGKILL else None)
    return pids


@pytest.fixture
def pulses(state_dir: Path) -> Iterator[Pulses]:
    """A judge of two programs, heard at 0 and looked at then."""
    (state_dir / "run").mkdir()
    programs = {
        str(pid): SimpleNamespace(pid=pid, state=ProcessStates.RUNNING, config=SimpleNamespace(name=f"p{pid}"))
        for pid in (101, 102)
    }
    logger = SimpleNamespace(warn=lambda line: None)
    options = SimpleNamespace(here=str(state_dir), get_socket_map=dict, logger=logger)
    supervisord: Any = SimpleNamespace(options=options, process_groups={"g": SimpleNamespace(processes=programs)})
    it = Pulses(supervisord)
    it._heard = {101: 0.0, 102: 0.0}
    it._looked = 0.0
    yield it
    events.unsubscribe(events.Tick5Event, it._on_tick)
    it._socket.close()


def test_who_is_silent_is_killed_while_another_beats(pulses: Pulses, killed: list[int]) -> None:
    """At the first look beyond the limit."""
    for now in (2.0, 4.0, 6.0):
        pulses._heard[101] = now
        pulses._look(now)
    assert killed == [102]


@pytest.mark.parametrize("stopped_s", [SILENT_S + 0.3, SILENT_S + 1.4, SILENT_S + 3, 3600.0])
def test_a_judge_that_was_stopped_kills_nobody_who_beats_again(pulses: Pulses, killed: list[int], stopped_s: float) -> None:
    """However long: its tick comes before the pulses of those that were stopped with it."""
    pulses._look(stopped_s)
    for pid in (101, 102):
        pulses._heard[pid] = stopped_s + 0.2
    for later in (0.5, 2.0, 4.0):
        pulses._look(stopped_s + later)
        pulses._heard = dict.fromkeys(pulses._heard, stopped_s + later)
    assert killed == []


def test_one_that_does_not_come_back_from_a_stop_is_killed(pulses: Pulses, killed: list[int]) -> None:
    """The grace is a second, not for ever."""
    pulses._look(6.0)
    assert killed == []
    for now in (6.5, 7.2):
        pulses._heard[101] = now
        pulses._look(now)
    assert killed == [102]


def test_all_silent_are_killed_by_ticks_alone(pulses: Pulses, killed: list[int]) -> None:
    """Nobody's pulse wakes the judge: supervisord's tick does, every 5 s."""
    for now in (5.0, 10.0, 15.0):
        pulses._look(now)
    assert killed == [101, 102]


def test_one_that_never_sends_a_pulse_is_killed_in_the_end(pulses: Pulses, killed: list[int]) -> None:
    """A long start is no hang; two minutes without a word are."""
    pulses._heard.clear()
    now = 0.0
    while now < START_S:
        pulses._look(now)
        now += 2.0
    assert killed == []
    pulses._heard[101] = now
    pulses._look(now + 1.0)
    assert killed == [102]


def test_who_is_stuck_in_the_kernel_is_killed_once_and_told(pulses: Pulses, killed: list[int]) -> None:
    """SIGKILL does not end it (it waits for a dead disk): for how long is said, until it is gone; it is not killed again."""
    for now in (2.0, 4.0, 6.0, 8.0, 20.0, 22.0):
        pulses._heard[101] = now
        pulses._look(now)
    assert killed == [102]
    assert pulses.stuck_s(102) > 0
    assert pulses.stuck_s(101) == 0
    stuck: Any = SimpleNamespace(pid=102, config=SimpleNamespace(name="p102"))
    assert row(pulses, stuck) == {"hung": 1, "stuck_s": pulses.stuck_s(102), "heard": True}
    del pulses._supervisord.process_groups["g"].processes["102"]  # the kernel let it go
    pulses._look(24.0)
    assert pulses.stuck_s(102) == 0


def test_a_pulse_says_who_is_scanning(pulses: Pulses, state_dir: Path) -> None:
    """The pid, and one word after it; anything else is no pulse."""
    told: list[int] = []
    pulses._scans = told.append
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for pulse in (b"101", b"102 scanning", b"103 sleeping", b" scanning", b"104 scanning scanning", b"1" * 11 + b" scanning"):
            sender.sendto(pulse, str(state_dir / "run/pulse.sock"))
    pulses.handle_read_event()
    assert told == [102]
    assert {101, 102} <= pulses._heard.keys()
    assert not {103, 104} & pulses._heard.keys()
    assert pulses.refused == 4
