"""The children of a directory: few are in a list, many in a dictionary, and no user sees which."""

from __future__ import annotations

import random

import pytest

from shardwatch.shard.tree import children
from shardwatch.shard.tree.children import LISTED_MAX
from shardwatch.shard.tree.nodes import Node, Top


@pytest.mark.parametrize("seed", range(3))
def test_they_are_found_by_name_whatever_came_and_went(seed: int) -> None:
    """Compared with a plain dictionary, across the number at which the container is exchanged."""
    drawn = random.Random(seed)
    names = [b"%x" % drawn.randrange(1 << 20) for _ in range(2 * LISTED_MAX)]
    top = Top(b"/r", 0)
    expected: dict[bytes, Node] = {}
    for turn in range(6):
        for name in drawn.sample(names, len(names)):
            node = top.child(name)
            assert node is expected.get(name)
            if node is None and drawn.random() < (0.9, 0.1)[turn % 2]:
                expected[name] = top.adopt(name)
            elif node is not None and drawn.random() < (0.1, 0.9)[turn % 2]:
                assert node.cut() == [expected.pop(name)]
        assert {node.name: node for node in top.each_child()} == expected
        assert top.knows_any(list(expected)[:1]) == bool(expected) and not top.knows_any([b"no name"])


def test_few_are_in_a_list_and_many_in_a_dictionary() -> None:
    """A list of 256 is gone through in a moment, and one of 60,000 would be moved for each that is added."""
    held: list[Node] | dict[bytes, Node] | None = None
    nodes = [Top(b"%d" % number, 0) for number in range(LISTED_MAX + 1)]
    for number, node in enumerate(nodes):
        held = children.add(held, node)
        assert isinstance(held, list if number < LISTED_MAX else dict)
    for node in nodes:
        assert held is not None
        held = children.remove(held, node)
    assert held is None and list(children.each(held)) == []


def test_a_dead_directory_takes_no_child() -> None:
    """Who holds a node that was cut can't bring it back by mistake."""
    dead = Top(b"/r", 0).adopt(b"a")
    dead.cut()
    with pytest.raises(TypeError):
        dead.adopt(b"b")
    assert not dead.alive and dead.child(b"b") is None
