"""The loop of `exec`: its pulse, runs that cannot begin, and where it lets a group begin."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from shardwatch.shard.contract.limits import BEAT_S
from shardwatch.supervisor.cli.follow.worker import Manner, Worker
from shardwatch.supervisor.runs.command import Command, Input
from shardwatch.supervisor.runs.echoes import Echoes
from shardwatch.supervisor.runs.pace import Pace
from shardwatch.supervisor.runs.schedule import Schedule

MANNER = Manner(
    stop_signal=signal.SIGTERM, busy_signal=signal.SIGHUP, timeout_s=None, prefix=False, clear=False, direct=True, attempts=True,
    umask=0o077, token="unit",
)  # fmt: skip


class Enough(Exception):
    """The loop went on for long enough."""


class NoService:
    """Takes requests, and never answers."""

    def __init__(self) -> None:
        #: The `from` of each pull.
        self.begins: list[str] = []

    def ask(self, op: str, **fields: Any) -> int:
        if op == "pull":
            self.begins.append(fields["from"])
        return len(self.begins)


def follow(worker: Worker, *, beating: bool) -> list[float | None]:
    """How long the first three waits were to be; each was preceded by a pulse, if there are any."""
    waits: list[float | None] = []
    beats: list[int] = []

    def wait(timeout_s: float | None) -> list[Any]:
        waits.append(timeout_s)
        assert len(beats) == (len(waits) if beating else 0)
        if len(waits) == 3:
            raise Enough
        return []

    with pytest.raises(Enough):
        worker.follow(wait, (lambda: beats.append(1)) if beating else None)
    return waits


@pytest.mark.parametrize("beating", [True, False])
def test_a_run_that_lasts_is_no_hang(beating: bool) -> None:
    """While it goes on, its `exec` gives signs of life as often as any program of a service; without anybody to judge them, it
    sleeps until something happens."""
    command = Command([b"sleep", b"1000"], Input.NONE, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 1, ["created"], retries=True)
    schedule.begin()
    service: Any = NoService()
    with Worker(service, command, schedule, Pace(1, 1), Echoes(), MANNER, group="g", start=None) as worker:
        waits = follow(worker, beating=beating)
        assert worker._going, "the run goes on"
    if beating:
        assert all(wait is not None and 0 <= wait <= BEAT_S for wait in waits)
    else:
        assert waits == [None] * 3


def test_between_runs_that_cannot_begin_others_are_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """Each of them may take seconds, where a filesystem does not answer. So there is a pulse and a look at signals after each."""
    command = Command([b"/no/such/program", b"{}"], Input.ARGS, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 2, ["created"], retries=True)
    events = [{"type": "event", "event_type": "created", "path": path, "tick": tick} for tick, path in enumerate(("/a", "/b"), 1)]
    batch = {"id": "t-1", "attempt": 1, "lease_ms": 3_600_000, "events": events}
    service: Any = NoService()
    with Worker(service, command, schedule, Pace(2, 1), Echoes(), MANNER, group="g", start="now") as worker:
        worker.answered(0, {"ok": True, "batch": batch})
        waits = follow(worker, beating=True)
    assert waits[:2] == [0.0, 0.0]
    assert [line.split(":")[1] for line in capfd.readouterr().err.splitlines()] == [" '/a'", " '/b'"]


@pytest.mark.parametrize(
    ("kinds", "start", "begins"),
    [
        ("created", "now", ["now", "start"]),
        ("created", "start", ["start", "start"]),
        ("created,fresh", "now", ["now", "fresh"]),
        ("created,fresh", "start", ["fresh", "fresh"]),
    ],
)
def test_where_a_group_begins(kinds: str, start: str, begins: list[str]) -> None:
    """With `fresh` among the kinds, a group that begins with every file has a notice before them: the first one with --initial,
    and any that a later pull has to make, since the one before was lost."""
    command = Command([b"true"], Input.NONE, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 1, kinds.split(","), retries=True)
    recorded = NoService()
    service: Any = recorded
    with Worker(service, command, schedule, Pace(1, 1), Echoes(), MANNER, group="g", start=start) as worker:
        worker.turn()
        worker.answered(len(recorded.begins), {"ok": True, "batch": None, "created": True})
        worker.turn()
    assert recorded.begins == begins
