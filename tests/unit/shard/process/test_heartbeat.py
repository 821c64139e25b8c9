"""When a beat is due, and what no frame may overtake."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.limits import BEAT_S
from shardwatch.shard.process.heartbeat import Heartbeat

BEAT_NS = int(BEAT_S * 1e9)
LOCK = b"/r/.git/index.lock"


def test_a_beat_is_due_at_once_and_then_on_its_grid() -> None:
    """Asking changes nothing."""
    heartbeat = Heartbeat()
    assert heartbeat.due(1, []) and heartbeat.due(1, [])
    heartbeat.beat(1, [])
    assert not heartbeat.due(2, [])
    at = heartbeat.next_due()
    assert 1 < at <= 1 + BEAT_NS
    assert not heartbeat.due(at - 1, []) and heartbeat.due(at, [])


def test_a_lock_that_comes_or_goes_is_told_before_any_frame() -> None:
    """Until a beat that names it was taken."""
    heartbeat = Heartbeat()
    heartbeat.beat(0, [])
    assert heartbeat.owes([LOCK]) and heartbeat.due(1, [LOCK])
    heartbeat.refused(1)
    assert heartbeat.owes([LOCK])
    heartbeat.beat(2, [LOCK])
    assert not heartbeat.owes([LOCK])
    assert heartbeat.owes([])


@pytest.mark.parametrize("locks", [[LOCK], []])
def test_another_aggregator_is_told_how_the_shard_is_before_any_frame(locks: list[bytes]) -> None:
    """It knows of no locks, and would have no sign of life from a shard that answers a sync. The first one is told again: an
    earlier beat may have gone to one of another version, from which no reply was heard."""
    heartbeat = Heartbeat()
    heartbeat.beat(0, locks)
    for life in (1, 2):
        heartbeat.hear(life)
        assert heartbeat.owes(locks)
        heartbeat.beat(life, locks)
        heartbeat.hear(life)
        assert not heartbeat.owes(locks)


def test_the_end_of_the_baseline_is_told_before_any_frame() -> None:
    heartbeat = Heartbeat()
    heartbeat.beat(0, [])
    heartbeat.end_baseline()
    assert heartbeat.owes([]) and heartbeat.due(1, [])
    heartbeat.beat(1, [])
    assert not heartbeat.owes([])


def test_a_beat_that_nobody_took_is_tried_again_soon() -> None:
    heartbeat = Heartbeat()
    heartbeat.refused(0)
    assert 0 < heartbeat.next_due() < BEAT_NS


def test_that_a_shard_is_ready_for_the_next_plan_is_told_at_once() -> None:
    """The coordinator waits for it."""
    heartbeat = Heartbeat()
    heartbeat.beat(0, [])
    heartbeat.get_ready()
    assert heartbeat.owes([]) and heartbeat.due(1, [])
    heartbeat.beat(1, [])
    assert not heartbeat.owes([])


def test_after_a_sync_it_is_told_at_once_that_doubts_are_over() -> None:
    """Before the frame that answers it. Without doubts a sync costs no beat."""
    heartbeat = Heartbeat()
    heartbeat.beat(0, [], doubtful=True)
    assert not heartbeat.owes([])
    heartbeat.answer_sync()
    assert heartbeat.owes([]) and heartbeat.due(1, [])
    heartbeat.beat(1, [])
    heartbeat.answer_sync()
    assert not heartbeat.owes([])
