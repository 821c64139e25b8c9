"""The busiest directories are found with little memory, and forgotten when they come to rest."""

from __future__ import annotations

from shardwatch.shard.schedule.busiest import DIRECTORIES_MAX, PATH_BYTES_MAX, PERIOD_NS, REPORTED_MAX, Busiest
from shardwatch.shard.tree.nodes import Node


def directory(name: bytes) -> Node:
    return Node(None, name)


def note(busiest: Busiest, node: Node, count: int) -> None:
    busiest.note({node: {b"%d" % number for number in range(count)}}, [])


def test_those_with_the_most_come_first() -> None:
    """At most REPORTED_MAX, without one whose path is too long; new directories count in the one that they are in."""
    busiest = Busiest()
    assert busiest.report(0) == []
    some = [directory(b"/%d" % number) for number in range(REPORTED_MAX + 2)]
    for count, node in enumerate(some, 1):
        note(busiest, node, count)
    note(busiest, directory(b"/" + b"x" * PATH_BYTES_MAX), 1)
    busiest.note({}, [(some[0], b"new")] * 50)
    found = busiest.report(1)
    assert found[:3] == [(b"/0", 51), (b"/11", 12), (b"/10", 11)] and len(found) == REPORTED_MAX
    assert busiest.report(2) is found, "nothing has changed, and nothing is made again"


def test_a_period_is_a_minute() -> None:
    """Of the last whole one and of this one the larger count is told; after a quiet one nothing is."""
    busiest, node = Busiest(), directory(b"/a")
    begun = PERIOD_NS
    busiest.report(begun)
    note(busiest, node, 5)
    assert busiest.report(begun + 1) == [(b"/a", 5)]
    now = begun + PERIOD_NS
    assert busiest.report(now) == [(b"/a", 5)]
    note(busiest, node, 7)
    assert busiest.report(now + 1) == [(b"/a", 7)]
    assert busiest.report(now + PERIOD_NS) == [(b"/a", 7)]
    assert busiest.report(now + 2 * PERIOD_NS) == []
    note(busiest, node, 7)
    assert busiest.report(now + 5 * PERIOD_NS) == [], "it was long ago"


def test_a_storm_of_directories_hides_no_busy_one() -> None:
    """Whatever comes in between, its count is too low by one of DIRECTORIES_MAX of all changes at most."""
    busiest, busy = Busiest(), directory(b"/busy")
    total = 0
    for number in range(40 * DIRECTORIES_MAX):
        note(busiest, directory(b"/%d" % number), 1)
        total += 1
        if number % 20 == 0:
            note(busiest, busy, 3)
            total += 3
    exact = 3 * (40 * DIRECTORIES_MAX // 20)
    ((path, count), *_) = busiest.report(0)
    assert path == b"/busy" and exact - total // DIRECTORIES_MAX <= count <= exact


def test_what_is_gone_is_not_told() -> None:
    """A directory that was deleted since."""
    busiest, top = Busiest(), directory(b"/a")
    gone = Node(top, b"gone")
    note(busiest, gone, 3)
    gone.cut()
    assert busiest.report(0) == []
