"""Where a group stands."""

from __future__ import annotations

from shardwatch.aggregator.groups.position import Position


def test_a_group_that_has_met_no_lane_stands_where_it_begins() -> None:
    """As every group does that was made just now."""
    assert Position([], 0, 0, {}).reached() == 0
    assert Position([], 7, 9, {}).reached() == 9
