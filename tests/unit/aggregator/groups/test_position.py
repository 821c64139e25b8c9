"""How far a group has come, without a group around it."""

from __future__ import annotations

from shardwatch.aggregator.groups.journal import Journal
from shardwatch.aggregator.groups.position import Position


def test_a_group_that_has_met_no_lane_has_reached_its_base() -> None:
    """A tree without files has no lanes: the first pull of a group finds none."""
    assert Position(Journal(), 5, 7, {}).reached() == 7
    assert Position(Journal(), 5, 0, {}).reached() == 5
