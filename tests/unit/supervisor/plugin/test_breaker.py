"""Who is started after a death, and when: by a clock and numbers that the test chooses; and how supervisord is made to do it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor import events
from supervisor.states import ProcessStates, SupervisorStates

from shardwatch.shard.contract.process.stand_in import STAND_IN_VARIABLE, StandIn, asked_to_stand_in
from shardwatch.supervisor.plugin.breaker import DELAY_S_MAX, PAUSE_S, SHORT_LIVES_MAX, STEADY_S, Breaker, delay_s
from shardwatch.supervisor.plugin.rearm import Rearm


class Program:
    """A breaker, with a clock that only the test moves; jitter is off: it always waits for as long as it may."""

    def __init__(self, *, has_stand_in: bool) -> None:
        self.now = 1000.0
        self.breaker = Breaker(has_stand_in=has_stand_in, clock=lambda: self.now, random=lambda: 1.0)

    @property
    def state(self) -> str:
        """The breaker's, which any call may have changed."""
        return self.breaker.state

    def lives(self, for_s: float, *, done: bool = False) -> tuple[StandIn | None, float]:
        """One life; returns who it was, and what is waited for after its end (which is waited for)."""
        who = self.breaker.begins()
        self.now += for_s
        wait_s = self.breaker.died(done=done)
        self.now += wait_s
        return who, wait_s

    def open(self) -> None:
        """Short lives until the breaker is open."""
        for _ in range(SHORT_LIVES_MAX):
            assert self.lives(0.1)[0] is None


@pytest.fixture
def shard() -> Program:
    return Program(has_stand_in=True)


@pytest.fixture
def aggregator() -> Program:
    return Program(has_stand_in=False)


def test_the_first_deaths_are_accidents(shard: Program) -> None:
    """A new process at once, or next to that, and the breaker stays closed."""
    waits = [shard.lives(0.1)[1] for _ in range(SHORT_LIVES_MAX - 1)]
    assert waits == [PAUSE_S * n for n in range(1, SHORT_LIVES_MAX)]
    assert sum(waits) < 1.0
    assert shard.state == "closed"
    assert shard.breaker.short_lives == SHORT_LIVES_MAX - 1


def test_what_lives_for_long_enough_never_opens_it(shard: Program) -> None:
    """However often it is killed."""
    for _ in range(100):
        assert shard.lives(STEADY_S + 1) == (None, PAUSE_S)
    assert shard.state == "closed"


def test_an_end_in_order_is_no_death(shard: Program) -> None:
    """However often, and however soon after the start; and it neither opens a breaker nor closes one that is tried."""
    for _ in range(100):
        assert shard.breaker.begins() is None
        shard.now += 0.1
        shard.breaker.left()
    assert (shard.breaker.state, shard.breaker.short_lives) == ("closed", 0)
    shard.breaker.begins()
    assert shard.breaker.died(done=False) == PAUSE_S and shard.breaker.short_lives == 1


def test_a_crash_loop_has_a_stand_in_for_ever_longer(shard: Program) -> None:
    """Stand-in at once, the watcher once that has left, and so on: 1, 2, 4, … 30 s."""
    shard.open()
    times = []
    for n in range(8):
        assert shard.state == "stand-in"
        who = shard.breaker.begins()
        assert who is not None
        assert who.deaths == SHORT_LIVES_MAX + n
        assert shard.breaker.tried_in_s() == pytest.approx(who.for_s)
        times.append(who.for_s)
        shard.now += who.for_s
        assert shard.breaker.died(done=True) == 0.0, "the watcher is tried at once"
        assert shard.state == "trying"
        assert shard.lives(0.2) == (None, 0.0), "its stand-in begins at once"
    assert times == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_stand_in_that_crashes_is_no_hotter_a_loop(shard: Program) -> None:
    """Nobody runs until the breaker's time is over; then the watcher, and at its death another stand-in."""
    shard.open()
    begun = shard.now
    for n in range(10):
        who, wait_s = shard.lives(0.1)
        assert who is not None
        assert wait_s == pytest.approx(who.for_s - 0.1)
        assert shard.state == "waiting"
        assert shard.lives(0.1) == (None, 0.0)
        assert shard.breaker.short_lives == SHORT_LIVES_MAX + n + 1
    assert shard.now - begun > sum(min(DELAY_S_MAX, 2**n) for n in range(10))


def test_a_stand_in_that_crashes_late_makes_nobody_wait(shard: Program) -> None:
    """The breaker's time was over already: its subtree is large, and it had not looked at all of it."""
    shard.open()
    who, wait_s = shard.lives(500.0)
    assert who is not None
    assert wait_s == 0.0
    assert shard.lives(1.0)[0] is None


def test_without_a_stand_in_it_is_a_wait(aggregator: Program) -> None:
    """1, 2, 4, … 30 s, told as `waiting` with the time that is left."""
    waits = []
    for n in range(SHORT_LIVES_MAX + 6):
        who = aggregator.breaker.begins()
        assert who is None
        wait_s = aggregator.breaker.died(done=False)
        if n >= SHORT_LIVES_MAX - 1:
            assert aggregator.breaker.state == "waiting"
            assert aggregator.breaker.tried_in_s() == pytest.approx(wait_s)
            waits.append(wait_s)
        aggregator.now += wait_s
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_who_lives_again_closes_it_and_is_forgiven(shard: Program) -> None:
    """It closes while it lives, not at its death; and the next deaths are accidents again."""
    shard.open()
    assert shard.lives(5.0, done=True)[0] is not None
    assert shard.breaker.begins() is None
    assert shard.state == "trying"
    assert shard.breaker.tried_in_s() == 0.0
    shard.now += STEADY_S + 1
    assert shard.state == "closed"
    assert shard.breaker.short_lives == 0
    assert shard.breaker.died(done=False) == PAUSE_S
    assert shard.state == "closed"


def test_a_crash_in_a_long_baseline_is_a_crash_loop(shard: Program) -> None:
    """It says all along that it is scanning: dying after an hour of that, again and again, opens the breaker."""
    for _ in range(SHORT_LIVES_MAX):
        assert shard.state == "closed"
        assert shard.breaker.begins() is None
        for _ in range(3600):
            shard.now += 1.0
            shard.breaker.scans()
        shard.now += shard.breaker.died(done=False)
    assert shard.state == "stand-in"


def test_a_baseline_later_in_life_takes_nothing_back(shard: Program) -> None:
    """The aggregator lost its index: a watcher that has proved itself is forgiven all the same."""
    shard.open()
    assert shard.lives(5.0, done=True)[0] is not None
    shard.breaker.begins()
    shard.now += STEADY_S + 1
    shard.breaker.scans()
    assert shard.state == "closed"
    assert shard.breaker.short_lives == 0


def test_a_death_that_is_told_twice_counts_once(shard: Program) -> None:
    """supervisord's states make one death of an early exit, or two of a late one."""
    for _ in range(SHORT_LIVES_MAX - 1):
        shard.lives(0.1)
        assert shard.breaker.died(done=False) >= PAUSE_S
    assert shard.breaker.short_lives == SHORT_LIVES_MAX - 1


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_bounded_and_jittered(opened: int, number: float) -> None:
    """Between half and the whole of 1, 2, 4, … 30 s, and a function of the two numbers alone."""
    longest = min(30.0, 2.0 ** min(opened - 1, 9))
    assert longest / 2 <= delay_s(opened, lambda: number) <= longest
    assert delay_s(opened, lambda: number) == delay_s(opened, lambda: number)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())), st.booleans(), st.integers())
def test_no_schedule_makes_a_hot_loop(lives: list[tuple[float, bool]], has_stand_in: bool, seed: int) -> None:
    """Whatever lives and dies how: starts in any 30 s are few, no wait is over 30 s, and nobody but a shard has stand-ins."""
    now = 0.0
    breaker = Breaker(has_stand_in=has_stand_in, clock=lambda: now, random=random.Random(seed).random)
    steps = 0
    for for_s, done in lives:
        who = breaker.begins()
        assert has_stand_in or who is None
        if who is not None and done:
            for_s = max(for_s, who.for_s)
        now += for_s
        wait_s = breaker.died(done=done)
        assert 0.0 <= wait_s <= DELAY_S_MAX
        now += wait_s
        steps += 1
    # A breaker that has opened n times was open for at least 0.5, 1, 2, … s; each time costs two starts.
    assert now >= sum(0.5 * min(30, 2**n) for n in range((steps - SHORT_LIVES_MAX) // 2)) or any(s >= STEADY_S for s, _ in lives)


# What a shard is told ------------------------------------------------------------------------------------------------------


def test_a_stand_in_knows_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number of deaths and seconds, through the environment."""
    monkeypatch.setenv(STAND_IN_VARIABLE, StandIn(7, 2.25).text())
    assert asked_to_stand_in() == StandIn(7, 2.25)


@pytest.mark.parametrize("text", ["", "x", "3", "3 x", "0 1", "-1 1", "3 -1", "3 inf", "3 nan"])
def test_any_other_word_makes_a_watcher(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A watcher is never wrong."""
    monkeypatch.setenv(STAND_IN_VARIABLE, text)
    assert asked_to_stand_in() is None
    monkeypatch.delenv(STAND_IN_VARIABLE)
    assert asked_to_stand_in() is None


# supervisord's part --------------------------------------------------------------------------------------------------------


class Process(SimpleNamespace):
    """What supervisord's Subprocess is to the plugin: its state, and events at each change of it."""

    state: int

    def change_state(self, state: int, expected: bool = True) -> None:
        old, self.state = self.state, state
        if state == ProcessStates.BACKOFF:
            self.backoff += 1
        kind: Any = {
            ProcessStates.STARTING: events.ProcessStateStartingEvent,
            ProcessStates.BACKOFF: events.ProcessStateBackoffEvent,
            ProcessStates.EXITED: events.ProcessStateExitedEvent,
            ProcessStates.STOPPED: events.ProcessStateStoppedEvent,
        }[state]
        events.notify(kind(self, old, expected))

    def lives(self, *, exit: int = -1, early: bool = False) -> bool:
        """Starts and ends; returns whether it was a stand-in."""
        self.change_state(ProcessStates.STARTING)
        self.exitstatus = None if early else exit
        self.change_state(ProcessStates.BACKOFF if early else ProcessStates.EXITED)
        return STAND_IN_VARIABLE in (self.config.environment or {})


def make_process(group: str, name: str) -> Any:
    config = SimpleNamespace(name=name, startretries=1_000_000, environment={"SHARD_ID": name} if group == "shards" else None)
    of = SimpleNamespace(config=SimpleNamespace(name=group))
    return Process(config=config, group=of, state=ProcessStates.STOPPED, pid=4242, delay=0.0, backoff=0, exitstatus=None)


@pytest.fixture
def rearm() -> Iterator[Rearm]:
    """Subscribed, alone, to the events of processes that are none."""
    before = list(events.callbacks)
    events.clear()
    options = SimpleNamespace(mood=SupervisorStates.RUNNING, logger=SimpleNamespace(warn=lambda line: None))
    supervisord: Any = SimpleNamespace(options=options)
    yield Rearm(supervisord)
    events.callbacks[:] = before


@pytest.mark.parametrize("early", [False, True])
def test_a_shard_that_dies_again_and_again_is_started_as_a_stand_in(rearm: Rearm, early: bool) -> None:
    """By its environment alone, which is its own again afterwards."""
    process = make_process("shards", "s0")
    assert [process.lives(early=early) for _ in range(SHORT_LIVES_MAX)] == [False] * SHORT_LIVES_MAX
    assert rearm.row(process)["breaker"] == "stand-in"
    assert rearm.row(process)["short_lives"] == SHORT_LIVES_MAX
    assert process.lives(exit=0), "the next is one, and ends in peace"
    assert process.state == ProcessStates.EXITED, "so supervisord starts the watcher at once"
    assert not process.lives()
    assert process.config.environment == {"SHARD_ID": "s0"}
    assert rearm.row(process)["deaths"] == SHORT_LIVES_MAX + 1, "a stand-in that leaves did not die"


def test_when_the_stand_in_dies_supervisord_waits(rearm: Rearm, monkeypatch: pytest.MonkeyPatch) -> None:
    """In BACKOFF, from which it starts by itself; early or late, each death counts once."""
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(time, clock, lambda: 1000.0)
    process = make_process("shards", "s0")
    for _ in range(SHORT_LIVES_MAX):
        process.lives()
    assert process.lives(exit=1)
    assert process.state == ProcessStates.BACKOFF
    assert 0 < process.delay - 1000.0 <= 1.0
    row = rearm.row(process)
    assert row["breaker"] == "waiting"
    assert 0 < row["retry_s"] <= 1.0
    assert row["deaths"] == SHORT_LIVES_MAX + 1


def test_who_scans_is_known_by_its_pid(rearm: Rearm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulse brings no more than that; an unknown pid is nobody's, and nothing raises."""
    process = make_process("shards", "s0")
    rearm._supervisord.process_groups = {"shards": SimpleNamespace(processes={"s0": process})}  # type: ignore[dict-item]
    told: list[Breaker] = []

    def scans(breaker: Breaker) -> None:
        told.append(breaker)

    monkeypatch.setattr(Breaker, "scans", scans)
    rearm.scans(1)
    assert told == []
    rearm.scans(4242)
    assert told == [rearm._breaker(process)]
    rearm._supervisord.process_groups = None  # type: ignore[assignment]
    rearm.scans(4242)


def test_other_programs_only_wait(rearm: Rearm) -> None:
    """Their environment is never touched."""
    process = make_process("aggregator", "aggregator")
    assert [process.lives() for _ in range(SHORT_LIVES_MAX)] == [False] * SHORT_LIVES_MAX
    assert process.state == ProcessStates.BACKOFF
    assert rearm.row(process)["breaker"] == "waiting"
    assert process.config.environment is None


def test_an_operators_stop_is_a_new_beginning(rearm: Rearm) -> None:
    """`supervisorctl restart` is a stop and a start."""
    process = make_process("shards", "s0")
    for _ in range(SHORT_LIVES_MAX):
        process.lives()
    process.change_state(ProcessStates.STOPPED)
    assert rearm.row(process) == {"deaths": 0, "short_lives": 0, "breaker": "closed", "retry_s": 0.0, "memory_restarts": 0}
    assert not process.lives()


def test_rearm_sends_a_stand_in_away(rearm: Rearm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher is its successor; a watcher is left alone."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    process = make_process("shards", "s0")
    for _ in range(SHORT_LIVES_MAX):
        process.lives()
    process.change_state(ProcessStates.STARTING)
    rearm.forget(process)
    assert sent == [(4242, signal.SIGTERM)]
    process.exitstatus = 0
    process.change_state(ProcessStates.EXITED)
    process.change_state(ProcessStates.STARTING)
    assert STAND_IN_VARIABLE not in process.config.environment
    rearm.forget(process)
    assert len(sent) == 1
