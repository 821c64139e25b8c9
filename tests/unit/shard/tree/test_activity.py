"""Who gives up a watch when another directory needs it more: whoever has been quiet for longest."""

from __future__ import annotations

from shardwatch.shard.tree.activity import QUIET_NS, Activity
from shardwatch.shard.tree.nodes import Node, Top

S = 10**9


class Tree:
    """Some watched directories below an anchor, and what has been noted of them."""

    def __init__(self, count: int) -> None:
        self.top = Top(b"/r", 0)
        self.top.wd = 1
        self.gathered = 0
        self.nodes = [self.add(b"d%d" % n) for n in range(count)]
        self.activity = Activity(self.watched)

    def add(self, name: bytes) -> Node:
        node = self.top.adopt(name)
        node.wd = 2
        return node

    def watched(self) -> list[Node]:
        self.gathered += 1
        return [self.top, *self.nodes]


def test_nobody_gives_up_a_watch_before_anything_is_known() -> None:
    """A minute after hints are noted, at the earliest."""
    tree = Tree(2)
    assert tree.activity.quietest(10**15) is None
    tree.activity.begin(5 * S)
    tree.activity.begin(QUIET_NS)  # it goes on
    assert tree.activity.quietest(5 * S + QUIET_NS - 1) is None
    assert tree.activity.quietest(5 * S + QUIET_NS) in tree.nodes


def test_those_without_a_hint_come_first_then_the_least_recent() -> None:
    """Never the anchor's own directory, and none twice; what had a hint lately keeps its watch."""
    tree = Tree(4)
    activity, nodes = tree.activity, tree.nodes
    activity.begin(0)
    activity.note([nodes[0]], 1 * S)
    activity.note([nodes[1], nodes[2]], 2 * S)
    activity.note([nodes[0]], 3 * S)
    now = 2 * S + QUIET_NS
    found = [activity.quietest(now) for _ in range(4)]
    assert found == [nodes[3], nodes[1], nodes[2], None]
    assert tree.gathered == 1
    assert activity.quietest(3 * S + QUIET_NS) is nodes[0]


def test_what_is_gone_or_lost_its_watch_is_passed_over() -> None:
    """And forgotten. A directory that got its watch later is found a minute later."""
    tree = Tree(3)
    activity, nodes = tree.activity, tree.nodes
    activity.begin(0)
    activity.note(nodes[:2], 1)
    nodes[0].cut()
    nodes[1].wd = -1
    nodes[2].wd = -1
    assert activity.quietest(QUIET_NS + 1) is None
    tree.nodes.append(tree.add(b"late"))
    assert activity.quietest(QUIET_NS + 2) is None
    assert activity.quietest(3 * QUIET_NS) is tree.nodes[-1]
    assert tree.gathered == 2


def test_when_nobody_needs_it_nothing_is_kept() -> None:
    """It begins anew with the next shortage."""
    tree = Tree(1)
    tree.activity.begin(0)
    tree.activity.note(tree.nodes, 1)
    tree.activity.end()
    tree.activity.end()
    assert tree.activity.quietest(9 * QUIET_NS) is None
    tree.activity.begin(9 * QUIET_NS)
    assert tree.activity.quietest(10 * QUIET_NS) is tree.nodes[0]
