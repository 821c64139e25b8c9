"""Work that comes back: due at its time, and never begun twice at once."""

from __future__ import annotations

from shardwatch.shard.schedule.timetable import Recurring, Timetable


def test_it_is_due_from_its_time_on() -> None:
    """At once, if nothing was said."""
    work = Recurring()
    assert work.due(0) and work.next_due() == 0
    work.put_off(10)
    assert not work.due(9) and work.due(10) and work.due(11)
    assert work.next_due() == 10


def test_what_runs_is_not_due() -> None:
    work = Recurring()
    work.begin()
    assert not work.due(10**18) and work.next_due() is None
    work.end(20)
    assert not work.due(19) and work.due(20)


def test_what_is_given_up_is_due_when_it_was() -> None:
    """A new epoch drops the jobs that were begun."""
    times = Timetable()
    for work in (times.doubts, times.unlinked, times.sweep):
        work.put_off(5)
        work.begin()
    times.drop()
    assert [work.next_due() for work in (times.doubts, times.unlinked, times.sweep)] == [5, 5, 5]
