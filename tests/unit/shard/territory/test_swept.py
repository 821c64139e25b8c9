"""The directories without a watch: each is in one tier, and has its turn."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.files.packed import FILE, Seen, pack
from shardwatch.shard.territory.swept import Swept
from shardwatch.shard.territory.tiers import ACTIVE_NS, RECENT_NS, Tier
from shardwatch.shard.tree.nodes import Node, Top

S = 10**9
#: The wall clock at the beginning.
WALL = 10**18


class Clock:
    """It stands until it is set."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now


def seen(ctime: int, size: int = 1) -> Seen:
    """One file, changed at that time."""
    return Seen([b"f"], pack(1, size, 0, ctime, 0, 1, FILE, 0))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def swept(clock: Clock) -> Swept:
    return Swept(clock)


@pytest.fixture
def nodes() -> list[Node]:
    top = Top(b"/r", 0)
    return [top.adopt(b"d%d" % n) for n in range(4)]


def counts(swept: Swept) -> list[int]:
    return [swept.count(tier) for tier in Tier]


def test_at_first_the_times_of_the_files_tell_the_tier(swept: Swept, clock: Clock, nodes: list[Node]) -> None:
    """What was changed just before the start is looked at often from the beginning. An empty directory is quiet."""
    ages = [5 * S, ACTIVE_NS + S, RECENT_NS + S]
    for node, age in zip(nodes, ages, strict=False):
        swept.add(node)
        assert swept.report(node, seen(WALL - age), WALL)
    swept.add(nodes[3])
    assert swept.report(nodes[3], Seen([], b""), WALL)
    swept.arrange(clock.now)
    assert counts(swept) == [1, 1, 2]
    assert [polled.node for tier in Tier if (polled := swept.take(tier))] == nodes[:3]


def test_a_change_makes_a_directory_active_and_rest_makes_it_quiet(swept: Swept, clock: Clock, nodes: list[Node]) -> None:
    """The first listing is no change, the same listing neither; what differs is."""
    node = nodes[0]
    swept.add(node)
    swept.report(node, seen(0), WALL)
    swept.arrange(clock.now)

    def look(size: int) -> list[int]:
        (polled,) = [found for tier in Tier if (found := swept.take(tier))]
        swept.report(node, seen(0, size), WALL)
        swept.settle(polled, clock.now, 50_000)
        return counts(swept)

    assert look(1) == [0, 0, 1]
    assert look(2) == [1, 0, 0]
    clock.now += ACTIVE_NS - 1
    assert look(2) == [1, 0, 0]
    clock.now += 1
    assert look(2) == [0, 1, 0]
    clock.now += RECENT_NS
    assert look(2) == [0, 0, 1]
    assert swept.cost(Tier.QUIET) == 50_000
    assert swept.gap(Tier.QUIET) == 0 and swept.gap(Tier.ACTIVE) == 0
    clock.now += 7 * S
    look(2)
    assert swept.gap(Tier.QUIET) == 7 * S
    assert swept.is_reported(node, seen(0, 2)) and not swept.is_reported(node, seen(0, 3))


def test_turns_go_round(swept: Swept, clock: Clock, nodes: list[Node]) -> None:
    """Whoever was looked at longest ago comes next; what is gone, or swept no more, is passed over."""
    for node in nodes:
        swept.add(node)
    swept.arrange(clock.now)
    order = []
    for _ in range(8):
        polled = swept.take(Tier.QUIET)
        assert polled is not None
        order.append(polled.node)
        swept.settle(polled, clock.now, 1)
    assert order == nodes * 2
    swept.remove(nodes[0])
    nodes[1].cut()
    polled = swept.take(Tier.QUIET)
    assert polled is not None and polled.node is nodes[2]
    assert counts(swept) == [0, 0, 2] and nodes[1] not in swept
    swept.remove(nodes[2])  # in the hands of whoever looks
    swept.settle(polled, clock.now, 1)
    assert counts(swept) == [0, 0, 1]
    swept.remove(nodes[3])
    assert swept.take(Tier.QUIET) is None
    assert counts(swept) == [0, 0, 0] and [swept.cost(tier) for tier in Tier] == [0, 0, 0]


def test_one_that_comes_back_has_one_turn(swept: Swept, clock: Clock, nodes: list[Node]) -> None:
    """Also before the first turn; whether it wants a watch may change meanwhile, and is counted once."""
    swept.add(nodes[0], wanting=True)
    swept.remove(nodes[0])
    swept.add(nodes[0])
    swept.add(nodes[0], wanting=True)
    swept.add(nodes[1])
    swept.arrange(clock.now)
    assert (swept.wanting, swept.first_wanting()) == (1, (nodes[0], 1))
    swept.remove(nodes[0])
    swept.add(nodes[0], wanting=True)
    swept.add(nodes[0])
    swept.arrange(clock.now)
    assert (swept.wanting, swept.first_wanting(), counts(swept)) == (0, (None, 0), [0, 0, 2])
    taken = [swept.take(Tier.QUIET), swept.take(Tier.QUIET)]
    assert [polled.node for polled in taken if polled] == [nodes[1], nodes[0]] and swept.take(Tier.QUIET) is None


def test_a_tier_that_was_empty_begins_anew(swept: Swept, clock: Clock, nodes: list[Node]) -> None:
    """Its interval counts from its first directory."""
    swept.add(nodes[0])
    first = clock.now
    clock.now += S
    swept.add(nodes[1])
    assert swept.since(Tier.QUIET) == first
    swept.remove(nodes[0])
    swept.remove(nodes[1])
    clock.now += S
    swept.add(nodes[2])
    assert swept.since(Tier.QUIET) == clock.now
