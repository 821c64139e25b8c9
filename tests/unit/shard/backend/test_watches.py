"""Watch descriptors against a dictionary that does the same, and against its memory."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.backend.watches import Watches
from shardwatch.shard.tree.nodes import Top

NODE = Top(b"/r", 0)
WDS = st.integers(1, 300) | st.integers(2**31 - 70, 2**31 - 1)


@given(st.lists(st.tuples(WDS, st.booleans()), max_size=200))
def test_the_same_as_a_dictionary(steps: list[tuple[int, bool]]) -> None:
    model: dict[int, Top] = {}
    watches = Watches()
    for wd, held in steps:
        if held:
            node = Top(b"/%d" % wd, 0)
            watches[wd] = model[wd] = node
        elif wd in model:
            del watches[wd]
            del model[wd]
        else:
            with pytest.raises(KeyError):
                del watches[wd]
        assert len(watches) == len(model)
        assert watches.get(wd) is model.get(wd)
        assert (wd in watches) == (wd in model)
    assert all(watches.get(wd) is node for wd, node in model.items())


def test_what_was_forgotten_takes_no_room() -> None:
    """A kernel that has counted up to a million holds ten watches."""
    watches = Watches()
    for wd in range(1, 1_000_000):
        watches[wd] = NODE
        if wd > 10:
            del watches[wd - 10]
    assert len(watches) == 10
    assert len(watches._blocks) <= 2


def test_less_than_a_dictionary() -> None:
    watches = Watches()
    plain = {}
    for wd in range(1, 100_001):
        watches[wd] = plain[wd] = NODE
    size = sys.getsizeof(watches._blocks) + sum(sys.getsizeof(block) for block in watches._blocks.values())
    assert size < sys.getsizeof(plain) / 3
