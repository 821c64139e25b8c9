"""The directories a shard knows."""

from __future__ import annotations

import pytest

from shardwatch.shard.tree import nodes as tree
from shardwatch.shard.tree.nodes import Node, Top


@pytest.fixture
def root() -> Node:
    """/r with a/b/c and d."""
    root = Top(b"/r", 3)
    root.adopt(b"a").adopt(b"b").adopt(b"c")
    root.adopt(b"d")
    return root


def test_a_path_is_spelled_by_walking_up(root: Node) -> None:
    """No node keeps its path."""
    c = root.find(b"a/b/c")
    assert c is not None
    assert c.path() == b"/r/a/b/c"
    assert root.path() == b"/r"
    assert c.anchor == 3


def test_the_root_of_all_has_one_slash() -> None:
    """An anchor may be / itself."""
    top = Top(b"/", 0)
    assert top.path() == b"/"
    assert top.adopt(b"etc").adopt(b"x").path() == b"/etc/x"


def test_find_and_child(root: Node) -> None:
    """What is not known is None, at any depth."""
    assert root.find(b"") is root
    assert root.child(b"a") is root.find(b"a")
    assert root.child(b"nothing") is None
    assert root.find(b"nothing/at/all") is None
    d = root.child(b"d")
    assert d is not None
    assert d.child(b"x") is None


def test_subtree_names_each_node_once(root: Node) -> None:
    """Itself included."""
    assert sorted(n.path() for n in root.subtree()) == [b"/r", b"/r/a", b"/r/a/b", b"/r/a/b/c", b"/r/d"]


def test_cut_takes_a_subtree_out(root: Node) -> None:
    """Its nodes are dead, whoever still holds them; the rest lives."""
    a, c = root.child(b"a"), root.find(b"a/b/c")
    assert a is not None
    assert c is not None
    dead = a.cut()
    assert sorted(n.name for n in dead) == [b"a", b"b", b"c"]
    assert not a.alive
    assert not c.alive
    assert root.alive
    assert root.child(b"a") is None
    assert root.child(b"d") is not None


def test_a_directory_without_children_keeps_no_container(root: Node) -> None:
    """Millions of leaves cost nothing for what they do not have."""
    b, c = root.find(b"a/b"), root.find(b"a/b/c")
    assert b is not None
    assert c is not None
    c.cut()
    assert b.children is None


def test_a_cut_node_does_not_take_its_successor_along(root: Node) -> None:
    """Cutting twice, or after another took the name, changes nothing for the living."""
    a = root.child(b"a")
    assert a is not None
    a.cut()
    successor = root.adopt(b"a")
    a.cut()
    assert root.child(b"a") is successor
    assert successor.alive


def test_an_anchor_can_be_cut(root: Node) -> None:
    """It has no parent."""
    assert len(root.cut()) == 5
    assert not root.alive


def test_a_name_that_repeats_is_kept_once() -> None:
    top = Top(b"/r", 0)
    one = top.adopt(bytes(bytearray(b"a"))).adopt(bytes(bytearray(b"src")))
    other = top.adopt(bytes(bytearray(b"b"))).adopt(bytes(bytearray(b"src")))
    assert one.name is other.name
    for i in range(10_000):
        top.adopt(b"n%d" % i)
    assert len(tree._names) <= tree._NAMES_MAX
