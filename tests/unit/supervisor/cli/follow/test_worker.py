"""The loop of `exec`: its pulse, runs that cannot begin, what comes between two runs, and where it lets a group begin."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import replace
from typing import Any

import pytest

from shardwatch.shard.contract.limits import BEAT_S
from shardwatch.supervisor.cli.follow import runner
from shardwatch.supervisor.cli.follow.runner import Manner, Runner
from shardwatch.supervisor.cli.follow.worker import Worker
from shardwatch.supervisor.runs.change import Change, Taken
from shardwatch.supervisor.runs.command import Command, Input, Run
from shardwatch.supervisor.runs.echoes import Echoes
from shardwatch.supervisor.runs.latest import Latest, OnBusy
from shardwatch.supervisor.runs.pace import Pace
from shardwatch.supervisor.runs.process import Program
from shardwatch.supervisor.runs.schedule import Schedule

MANNER = Manner(
    stop_signal=signal.SIGTERM, busy_signal=signal.SIGHUP, timeout_s=None, prefix=False, clear=False, direct=True, attempts=True,
    umask=0o077, token="unit",
)  # fmt: skip

#: Seconds after which a wait has failed.
GUARD_S = 60.0


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


def batch_of(*paths: str) -> dict[str, Any]:
    """A batch of files that were created."""
    events = [{"type": "event", "event_type": "created", "path": path, "tick": tick} for tick, path in enumerate(paths, 1)]
    return {"id": "t-1", "attempt": 1, "lease_ms": 3_600_000, "events": events}


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
        assert len(worker._runner) == 1, "the run goes on"
    if beating:
        assert all(wait is not None and 0 <= wait <= BEAT_S for wait in waits)
    else:
        assert waits == [None] * 3


def test_between_runs_that_cannot_begin_others_are_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """Each of them may take seconds, where a filesystem does not answer. So there is a pulse and a look at signals after each."""
    command = Command([b"/no/such/program", b"{}"], Input.ARGS, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 2, ["created"], retries=True)
    batch = batch_of("/a", "/b")
    service: Any = NoService()
    with Worker(service, command, schedule, Pace(2, 1), Echoes(), MANNER, group="g", start="now") as worker:
        worker.answered(0, {"ok": True, "batch": batch})
        waits = follow(worker, beating=True)
    assert waits[:2] == [0.0, 0.0]
    assert [line.split(":")[1] for line in capfd.readouterr().err.splitlines()] == [" '/a'", " '/b'"]


class Watched(Schedule):
    """Notes what had been passed on when a run began."""

    def __init__(self, command: Command, capfd: pytest.CaptureFixture[str]) -> None:
        super().__init__(command, 1, ["created"], retries=True)
        self._capfd = capfd
        self.passed_on: list[str] = []

    def next(self) -> Run | None:
        run = super().next()
        if run is not None:
            self.passed_on.append(self._capfd.readouterr().out)
        return run


@pytest.mark.parametrize(
    ("clear", "code", "passed_on"), [(False, 0, ["", ""]), (True, 0, ["", "one\n"]), (False, 3, ["", "one\n"])]
)
def test_the_next_run_begins_before_output_is_passed_on(
    capfd: pytest.CaptureFixture[str], clear: bool, code: int, passed_on: list[str]
) -> None:
    """No processor waits for what we do with the output of a run that succeeded. What clears the terminal waits for it, and so
    does the notice that a run failed."""
    script = f'echo "$1"; test "$1" = two || exit {code}'
    command = Command([b"sh", b"-c", script.encode(), b"sh", b"{}"], Input.ARGS, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Watched(command, capfd)
    service: Any = NoService()
    manner = replace(MANNER, direct=False, clear=clear)
    with Worker(service, command, schedule, Pace(1, 1), Echoes(), manner, group="g", start="now") as worker:
        worker.answered(0, {"ok": True, "batch": batch_of("one", "two")})
        worker.turn()
        while len(worker._runner):
            assert select.select([worker.wake_fd], [], [], GUARD_S)[0]
            worker.turn()
    assert schedule.passed_on == passed_on
    assert "".join(passed_on) + capfd.readouterr().out == "one\ntwo\n"


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


@pytest.mark.parametrize(("kinds", "begins"), [("created", ["now", "start"]), ("created,fresh", ["now", "fresh"])])
def test_a_group_that_is_dropped_under_a_waiting_pull_is_made_anew(
    kinds: str, begins: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """As one that is dropped while no pull waits: the worker goes on, and says that every file follows."""
    command = Command([b"true"], Input.NONE, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 1, kinds.split(","), retries=True)
    recorded = NoService()
    service: Any = recorded
    with Worker(service, command, schedule, Pace(1, 1), Echoes(), MANNER, group="g", start="now") as worker:
        worker.turn()
        worker.answered(1, {"ok": False, "error": "unknown_group", "message": "the group 'g' was dropped"})
        worker.turn()
        worker.answered(2, {"ok": True, "batch": None, "created": True})
    assert recorded.begins == begins
    assert capfd.readouterr().err == "shardwatch: group 'g' was lost, and made anew: every file follows as created\n"


def test_a_run_that_has_ended_is_told_nothing() -> None:
    """Its end and a batch come in one moment: there is a run for the batch, and not a signal that nobody gets."""
    command = Command([b"true"], Input.NONE, None, os.sysconf("SC_ARG_MAX"), "g")
    policy = Latest(command, ["created"], OnBusy.SIGNAL)
    policy.begin()
    service: Any = NoService()
    with Worker(service, command, policy, Pace(1, 1), Echoes(), MANNER, group="g", start="now") as worker:
        worker.turn()
        assert len(worker._runner) == 1
        assert select.select([worker.wake_fd], [], [], GUARD_S)[0]
        worker.answered(1, {"ok": True, "batch": batch_of("/a")})
        run = policy.next()
        assert run is not None and [change.path for change in run.changes] == [b"/a"]
        policy.ended(run, "")


class Unkillable:
    """A run that hangs in the kernel: no signal ends it."""

    def __init__(self) -> None:
        self.ended, self._end = os.pipe2(os.O_CLOEXEC)
        self.signals: list[int] = []

    def signal(self, signum: int) -> None:
        self.signals.append(signum)

    stop = signal

    def close(self) -> None:
        os.close(self.ended)
        os.close(self._end)


def test_a_run_that_can_not_be_ended_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for it for ever at the end; it is named."""
    hanging = Unkillable()
    monkeypatch.setattr(Program, "run", lambda *_, **__: hanging)
    monkeypatch.setattr(runner, "GRACE_S", 0.01)
    monkeypatch.setattr(runner, "_KILLED_S", 0.05)
    command = Command([b"true", b"{}"], Input.ARGS, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, 1, ["created"], retries=True)
    schedule.take(Taken("t", 1, 30.0, (Change(b"/a", "created", 1),)))
    made = Runner(command, MANNER, Pace(1, 1), Echoes(), next_run=schedule.next, ended=lambda *_: None)
    made.begin_next()
    assert len(made) == 1
    made.end_all(lambda: None)
    made.close()
    hanging.close()
    assert hanging.signals == [signal.SIGTERM, signal.SIGKILL]
    assert capfd.readouterr().err.startswith("shardwatch: '/a': its run was killed, and does not end: it is left alone")


class Polled:
    """An epoll that refuses descriptors, or tells of those that the test names."""

    def __init__(self, refusal: OSError | None = None) -> None:
        self.refusal = refusal
        self.events: list[tuple[int, int]] = []

    def register(self, fd: int, mask: int) -> None:
        if self.refusal is not None:
            raise self.refusal

    def unregister(self, fd: int) -> None:
        pass

    def poll(self, _: float) -> list[tuple[int, int]]:
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        pass


def runner_of(
    monkeypatch: pytest.MonkeyPatch, epoll: Polled, *paths: bytes, concurrency: int = 1
) -> tuple[Runner, list[tuple[bytes, str]]]:
    """One that runs `true` for these paths, and what it was told of their ends."""
    monkeypatch.setattr(select, "epoll", lambda: epoll)
    command = Command([b"true", b"{}"], Input.ARGS, None, os.sysconf("SC_ARG_MAX"), "g")
    schedule = Schedule(command, concurrency, ["created"], retries=True)
    schedule.take(Taken("t", 1, 30.0, tuple(Change(path, "created", n) for n, path in enumerate(paths, 1))))
    told: list[tuple[bytes, str]] = []

    def ended(run: Run, failure: str, output: str) -> None:
        told.append((run.changes[0].path, failure))
        schedule.ended(run, failure)

    return Runner(command, MANNER, Pace(1, concurrency), Echoes(), next_run=schedule.next, ended=ended), told


@pytest.mark.usefixtures("no_leaks")
def test_a_run_that_nobody_would_hear_of_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has no memory for another watch of epoll(7): the run has failed like one that could not begin."""
    made, told = runner_of(monkeypatch, Polled(OSError(28, "No space left on device")), b"/a")
    made.begin_next()
    made.close()
    assert told == [(b"/a", "can't be run: No space left on device")] and len(made) == 0


class Ends:
    """A run whose end is told by the test, with a descriptor of that number."""

    def __init__(self, ended: int) -> None:
        self.ended = ended

    def close(self) -> int:
        return 0


def test_what_was_told_of_a_descriptor_is_not_taken_for_the_end_of_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which got the same number. It would be waited for, and nothing else be done meanwhile."""
    epoll = Polled()
    numbers = iter([71, 72, 73])
    monkeypatch.setattr(Program, "run", lambda *_, **__: Ends(next(numbers)))
    made, told = runner_of(monkeypatch, epoll, b"/a", b"/b", b"/c")
    made.begin_next()
    epoll.events = [(71, 1), (72, 1)]  # the second one was of something that was closed with the first
    made.notice_ends()
    assert told == [(b"/a", "")] and len(made) == 1
