"""How often a command asks the service that it has started how it is."""

from __future__ import annotations

import itertools

from shardwatch.supervisor.cli.follow.rounds import EVERY_S, Rounds

#: A moment at which the service is awake.
NOW = 250 * EVERY_S


def asked(seconds: float, *, calm: bool = True, answered: bool = True) -> list[float]:
    """When it is asked within so many seconds, counted from the beginning; every question is asked in time, and answered at once
    or never."""
    rounds = Rounds(NOW)
    times = []
    while rounds.due <= NOW + seconds:
        now = rounds.due
        times.append(now - NOW)
        assert not rounds.is_late(now)
        rounds.begin(now)
        if answered:
            rounds.answered(now + 0.001, calm=calm)
    return times


def test_every_other_question_is_left_out_while_all_is_well() -> None:
    """Not at once: whoever has just started a service is told at the usual times."""
    times = asked(25 * EVERY_S)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:5] == [EVERY_S] * 5
    assert set(pauses[5:]) == {2 * EVERY_S}
    assert len(times) == 15


def test_what_is_wrong_is_followed_at_the_usual_times() -> None:
    assert asked(25 * EVERY_S, calm=False) == [n * EVERY_S for n in range(1, 26)]


def test_news_end_the_calm() -> None:
    rounds = Rounds(NOW)
    for _ in range(20):
        now = rounds.due
        rounds.begin(now)
        rounds.answered(now, calm=True)
    assert rounds.due == now + 2 * EVERY_S
    now = rounds.due
    rounds.begin(now)
    rounds.answered(now, calm=False)
    assert rounds.due == now + EVERY_S


def test_a_missing_answer_is_noticed_after_one_pause() -> None:
    """However calm it was: the next look comes when it would have come without the calm."""
    rounds = Rounds(NOW)
    for _ in range(20):
        now = rounds.due
        rounds.begin(now)
        rounds.answered(now, calm=True)
    now = rounds.due
    rounds.begin(now)
    assert rounds.due == now + EVERY_S
    assert len(asked(25 * EVERY_S, answered=False)) == 25


def test_a_question_in_between_does_not_put_the_next_one_off() -> None:
    """`answered` counts from when the answer came, so that two answers within one pause leave out no more than one."""
    rounds = Rounds(NOW)
    for _ in range(20):
        now = rounds.due
        rounds.begin(now)
        rounds.answered(now, calm=True)
        rounds.answered(now + 0.01, calm=True)
    assert rounds.due == now + 2 * EVERY_S


def test_who_was_held_up_is_late() -> None:
    rounds = Rounds(NOW)
    assert not rounds.is_late(rounds.due + 0.5)
    assert rounds.is_late(rounds.due + 1.5)
