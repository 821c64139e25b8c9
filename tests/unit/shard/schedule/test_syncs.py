"""SyncTokens by their tokens: those that come while one is under way are the next one."""

from __future__ import annotations

import pytest

from shardwatch.shard.schedule.syncs import SyncTokens


def test_all_that_wait_are_answered_together_and_once() -> None:
    syncs = SyncTokens()
    assert not syncs
    syncs.ask(1)
    syncs.ask(2)
    assert syncs and not syncs.under_way
    syncs.begin()
    syncs.ask(3)
    assert syncs.under_way
    assert syncs.answer() == [1, 2]
    assert syncs and not syncs.under_way, "the third waits"
    assert [syncs.knows(token) for token in (1, 2, 3, 4)] == [True, True, True, False]
    syncs.begin()
    assert syncs.answer() == [3]
    assert not syncs


def test_who_has_given_up_is_not_answered() -> None:
    """Neither in the one under way, nor in the next one; it may be asked for again."""
    syncs = SyncTokens()
    syncs.ask(1)
    syncs.begin()
    syncs.ask(2)
    syncs.keep([3])
    assert not syncs
    assert not syncs.knows(1) and not syncs.knows(2)
    assert syncs.answer() == []


def test_a_new_epoch_answers_anew() -> None:
    syncs = SyncTokens()
    syncs.ask(1)
    syncs.begin()
    assert syncs.answer() == [1]
    syncs.clear()
    assert not syncs.knows(1)


def test_another_plan_begins_anew_what_was_begun() -> None:
    """As far as it is still asked for. What waits for its turn has not looked at anything yet, so it stays."""
    tokens = SyncTokens()
    tokens.ask(1)
    tokens.begin()
    assert tokens.answer() == [1]
    tokens.ask(2)
    tokens.begin()
    tokens.ask(3)
    assert tokens.begin_anew()
    assert [tokens.knows(token) for token in (1, 2, 3)] == [False, False, True]
    assert not tokens.under_way and tokens.answer() == []


@pytest.mark.parametrize("answered", [False, True])
def test_what_was_begun_under_an_earlier_plan_is_answered_once_more(answered: bool) -> None:
    """The aggregator does not ask for it again at once: what it has asked for stands."""
    tokens = SyncTokens()
    tokens.ask(1)
    tokens.ask(2)
    tokens.begin()
    if answered:
        assert tokens.answer() == [1, 2]
    tokens.keep([2] if answered else [1, 2])
    assert tokens.begin_anew()
    tokens.begin()
    assert tokens.answer() == ([2] if answered else [1, 2])
    tokens.keep([])
    assert not tokens.begin_anew()
