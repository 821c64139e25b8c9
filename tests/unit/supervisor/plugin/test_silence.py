"""Who is silent is given up, and nobody else: the judge's looks, one by one, at times that the test chooses."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.limits import SILENT_S
from shardwatch.supervisor.plugin.silence import START_S, Living, Silence

BOTH = {101: Living("p101", at_work=True), 102: Living("p102", at_work=True)}


def heard_at_0(*pids: int) -> Silence:
    judge = Silence(0.0)
    for pid in pids:
        judge.hear(pid, 0.0)
    return judge


def given_up(judge: Silence, now: float, living: dict[int, Living] = BOTH) -> list[int]:
    return [hung.pid for hung in judge.look(living, now)]


def test_who_is_silent_is_given_up_while_another_beats() -> None:
    """At the first look beyond the limit, once, with its name and for how long it was silent."""
    judge = heard_at_0(101, 102)
    for now in (2.0, 4.0):
        judge.hear(101, now)
        assert given_up(judge, now) == []
    judge.hear(101, 6.0)
    (hung,) = judge.look(BOTH, 6.0)
    assert (hung.pid, hung.name, hung.silent_s) == (102, "p102", 6.0)
    assert (judge.hung("p101"), judge.hung("p102")) == (0, 1)


@pytest.mark.parametrize("stopped_s", [SILENT_S + 0.3, SILENT_S + 1.4, SILENT_S + 3, 3600.0])
def test_a_judge_that_was_stopped_gives_up_nobody_who_beats_again(stopped_s: float) -> None:
    """However long: its tick comes before the pulses of those that were stopped with it."""
    judge = heard_at_0(101, 102)
    assert given_up(judge, stopped_s) == []
    for later in (0.2, 0.5, 2.0, 4.0):
        for pid in BOTH:
            judge.hear(pid, stopped_s + later)
        assert given_up(judge, stopped_s + later) == []


def test_one_that_does_not_come_back_from_a_stop_is_given_up() -> None:
    """The grace is a second, not for ever."""
    judge = heard_at_0(101, 102)
    assert given_up(judge, 6.0) == []
    judge.hear(101, 6.5)
    assert given_up(judge, 6.5) == []
    judge.hear(101, 7.2)
    assert given_up(judge, 7.2) == [102]


def test_all_silent_are_given_up_by_ticks_alone() -> None:
    """Nobody's pulse wakes the judge: supervisord's tick does, every 5 s."""
    judge = heard_at_0(101, 102)
    assert [given_up(judge, now) for now in (5.0, 10.0, 15.0)] == [[], [], [101, 102]]


def test_one_that_never_sends_a_pulse_is_given_up_in_the_end() -> None:
    """A long start is no hang; two minutes without a word are."""
    judge = Silence(0.0)
    now = 0.0
    while now < START_S:
        assert given_up(judge, now) == []
        now += 2.0
    judge.hear(101, now)
    assert given_up(judge, now + 1.0) == [102]


def test_one_that_was_told_to_stop_may_be_silent() -> None:
    """supervisord's own deadline ends it."""
    judge = heard_at_0(101, 102)
    stopping = {**BOTH, 102: Living("p102", at_work=False)}
    for now in (2.0, 4.0, 6.0, 8.0):
        judge.hear(101, now)
        assert given_up(judge, now, stopping) == []


def test_who_is_stuck_in_the_kernel_is_given_up_once_and_told() -> None:
    """SIGKILL does not end it (it waits for a dead disk): for how long is said, until it is gone."""
    judge = heard_at_0(101, 102)
    found = []
    for now in (2.0, 4.0, 6.0, 8.0, 20.0, 22.0):
        judge.hear(101, now)
        found += given_up(judge, now)
    assert found == [102]
    assert judge.stuck_s(102, 22.0) == 16.0
    assert judge.stuck_s(101, 22.0) == 0
    assert judge.is_heard(102)
    assert given_up(judge, 24.0, {101: BOTH[101]}) == []  # the kernel let it go
    assert judge.stuck_s(102, 24.0) == 0
    assert not judge.is_heard(102)
