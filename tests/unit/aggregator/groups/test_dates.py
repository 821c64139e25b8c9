"""When each group has something to do again: by dates set by hand."""

from __future__ import annotations

from shardwatch.aggregator.groups.dates import Dates
from shardwatch.aggregator.groups.group import Group


def test_a_group_comes_once_at_its_earliest_date() -> None:
    """Later dates that were noted before do not count; after it has come, they do."""
    dates, group = Dates(), Group.new(1, "g", "t", 0.0)
    for when in (5.0, 3.0, 4.0):
        dates.note(group, when)
    assert dates.first() == 3.0
    assert dates.take(2.9) == []
    assert dates.take(5.0) == [group]
    dates.note(group, 6.0)
    assert dates.take(10.0) == [group]
    assert dates.first() == float("inf")


def test_groups_come_in_the_order_of_their_dates() -> None:
    """Of equal dates the one that was noted first."""
    dates = Dates()
    groups = [Group.new(n, f"g{n}", "t", 0.0) for n in range(3)]
    for group, when in zip(groups, (2.0, 1.0, 2.0), strict=True):
        dates.note(group, when)
    assert dates.take(2.0) == [groups[1], groups[0], groups[2]]
