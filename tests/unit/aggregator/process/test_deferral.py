"""When the commit of a transaction may be deferred, and until when."""

from __future__ import annotations

import math

from shardwatch.aggregator.process.deferral import DEFER_S, Deferral

MANY = 100


def committed(deferral: Deferral, entries: int, now: float, *, deferring: bool, syncing: bool = False) -> bool:
    """A transaction, which is deferred if it may be. Returns whether it was."""
    deferred = deferral.may_defer(entries, now, deferring=deferring, syncing=syncing)
    deferral.committed(now, deferring=deferred)
    return deferred


def test_few_changes_are_seen_by_everybody_at_once() -> None:
    deferral = Deferral()
    assert not committed(deferral, MANY - 1, 5.0, deferring=False)
    assert deferral.due == math.inf


def test_what_was_deferred_is_committed_after_a_second_at_the_latest() -> None:
    """Whatever comes meanwhile; a transaction that comes when it is due is not deferred."""
    deferral = Deferral()
    assert committed(deferral, MANY, 5.0, deferring=False)
    assert deferral.due == 5.0 + DEFER_S
    assert committed(deferral, 1, 5.9, deferring=True)
    assert deferral.due == 5.0 + DEFER_S
    assert not committed(deferral, MANY, 5.0 + DEFER_S, deferring=True)
    assert deferral.due == math.inf


def test_nothing_is_deferred_while_a_sync_waits() -> None:
    assert not committed(Deferral(), MANY, 5.0, deferring=False, syncing=True)
    deferral = Deferral()
    assert committed(deferral, MANY, 5.0, deferring=False)
    assert not committed(deferral, MANY, 5.1, deferring=True, syncing=True)


def test_a_commit_for_another_reason_begins_anew() -> None:
    """Then nothing is deferred any more, and few changes are seen at once again."""
    deferral = Deferral()
    assert committed(deferral, MANY, 5.0, deferring=False)
    assert not committed(deferral, 1, 5.5, deferring=False)
    assert committed(deferral, MANY, 5.6, deferring=False)
    assert deferral.due == 5.6 + DEFER_S
