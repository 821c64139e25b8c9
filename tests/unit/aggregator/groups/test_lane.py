"""A position in one lane: what was given up and what is so no more, and rows that wait for a path on lease."""

from __future__ import annotations

from shardwatch.aggregator.groups.lane import Lane
from shardwatch.aggregator.groups.unit import Part


def test_what_a_seek_forward_gives_up_ends_where_it_is_considered() -> None:
    """Of two seeks forward the whole range counts; a scan that comes to it makes it smaller."""
    lane = Lane(scan=4, handed=2)
    lane.seek(10)
    lane.seek(20)
    assert (lane.scan, lane.skipped) == (20, (4, 20))
    lane.seek(3)
    lane.consider(7)
    assert lane.skipped == (7, 20)
    lane.consider(25)
    assert lane.skipped == (20, 20)


def test_only_one_range_is_given_up() -> None:
    """A seek back into the middle of it: what lies behind is considered anew, what lies before stays given up."""
    lane = Lane(scan=0, handed=0)
    lane.seek(10)
    lane.seek(6)
    lane.consider(8)
    assert lane.skipped == (0, 6)


def test_a_row_waits_until_its_path_is_free() -> None:
    """Only the last state of the path waits; it comes next when the lease ends, and the low-water mark stays before it."""
    lane = Lane(scan=9, handed=9)
    part = Part(0, 0, [3], [b"/r/a"])
    lane.lease(part)
    assert lane.hold(b"/r/a", 7) is None
    assert lane.hold(b"/r/a", 8) == 7
    assert (lane.late_count(), lane.held_count(), lane.low()) == (0, 1, 8)
    lane.free(part)
    assert lane.late(5) == [8]
    assert lane.take_late(1) == [8]
    assert (lane.held_count(), lane.low()) == (0, 10)


def test_after_a_restart_every_row_that_waits_is_tried_again() -> None:
    """Of a lease from before only the sums of its paths are known."""
    lane = Lane(scan=9, handed=9)
    lane.hold(b"/r/a", 7)
    lane.hold(b"/r/b", 8)
    lane.free(Part(0, 0, [3], None, b""))
    assert lane.late(5) == [7, 8]


def test_held_rows_are_given_up_with_the_rest() -> None:
    """Those behind a tick; the others wait on."""
    lane = Lane(scan=9, handed=9)
    lane.restore_held(3)
    lane.hold(b"/r/a", 7)
    assert lane.give_up(5) == {7}
    assert list(lane.held()) == [3]
