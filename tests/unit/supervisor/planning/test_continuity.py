"""What goes on with the next plan, and is not looked at again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.planfile import Anchor, Plan, part_change
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.planning.continuity import continued, go_on

R = b"/r"
SETTINGS = Settings(roots=(R,), include=("*",), exclude=())


def plan(generation: int, **shards: list[bytes]) -> Plan:
    anchors = tuple(Anchor(path, shard, R) for shard, paths in shards.items() for path in paths)
    return Plan(generation, anchors)


def since(old: Plan, new: Plan) -> dict[bytes, int]:
    return {anchor.path: anchor.since for anchor in continued(old, new).anchors}


def test_what_stays_is_had_since_then() -> None:
    """Through several plans; what is given away and comes back is new again."""
    first = plan(5, s0=[R], s1=[b"/r/a"])
    second = continued(first, plan(6, s0=[R], s1=[b"/r/a", b"/r/b"]))
    assert {anchor.path: anchor.since for anchor in second.anchors} == {R: 5, b"/r/a": 5, b"/r/b": 6}
    assert since(second, plan(7, s0=[R, b"/r/b"], s1=[b"/r/a"])) == {R: 5, b"/r/a": 5, b"/r/b": 7}
    assert (second.owed("s0"), second.owed("s1"), second.owed("s2")) == (5, 6, 0)


def test_what_was_below_an_anchor_that_is_no_more_is_given_to_the_one_above() -> None:
    """That one's shard has to look there, and its words of before do not count."""
    old = plan(5, s0=[R], s1=[b"/r/a", b"/r/a/x"], s2=[b"/r/b"])
    assert since(old, plan(6, s0=[R], s1=[b"/r/a"], s2=[b"/r/b"])) == {R: 5, b"/r/a": 6, b"/r/b": 5}
    assert since(old, plan(6, s1=[b"/r/a"])) == {b"/r/a": 6}, "what fell out of all roots is given to nobody"


@pytest.mark.parametrize("other", [{"shard": "s1"}, {"root": b"/r/a"}, {"backend": "polling"}])
def test_whatever_else_is_another_is_new(other: dict[str, Any]) -> None:
    """Another owner, root or backend."""
    old = Plan(5, (Anchor(R, "s0", R), Anchor(b"/r/a", "s0", R)))
    new = Plan(6, (old.anchors[0], replace(old.anchors[1], **other)))
    assert since(old, new) == {R: 5, b"/r/a": 6}


def test_how_a_shard_goes_on() -> None:
    """It lets go, takes on, or both; what its neighbours do among themselves is nothing to it."""
    old = plan(5, s0=[R], s1=[b"/r/a", b"/r/b"], s2=[b"/r/c"])
    new = continued(old, plan(6, s0=[R], s1=[b"/r/a"], s2=[b"/r/b", b"/r/c", b"/r/d/x"]))
    found = {shard: part_change(shard, old, new) for shard in new.shards()}
    assert found["s0"] == ((), (), (new.anchors[4],)), "what lies below its anchor is cut"
    assert found["s1"] is not None and [anchor.path for anchor in found["s1"].left] == [b"/r/b"] and not found["s1"].taken
    assert found["s2"] is not None and [anchor.path for anchor in found["s2"].taken] == [b"/r/b", b"/r/d/x"]
    third = continued(new, plan(7, s0=[R], s1=[b"/r/a"], s2=[b"/r/b", b"/r/c", b"/r/d/x"], s3=[b"/r/e"]))
    assert not part_change("s1", new, third)


def test_who_can_not_go_on() -> None:
    """Who keeps nothing, was given more below an anchor, or is told of an older plan."""
    old = plan(5, s0=[R], s1=[b"/r/a", b"/r/a/x"])
    assert part_change("s2", old, continued(old, plan(6, s0=[R], s2=[b"/r/a"]))) is None
    assert part_change("s1", old, continued(old, plan(6, s0=[R], s1=[b"/r/a"]))) is None
    assert part_change("s0", old, plan(6, s0=[R])) is None, "a plan that goes on with nothing"
    assert part_change("s0", old, continued(old, plan(4, s0=[R], s1=[b"/r/a", b"/r/a/x"]))) is None


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ({}, {"roots": (R, b"/s")}, True),
        ({}, {"shards": 3}, True),
        ({}, {"settle_ms": 7}, True),
        ({}, {"exclude": ("x",)}, False),
        ({}, {"backend": "polling"}, False),
        ({}, {"files": (b"/r/f",)}, False),
        ({}, {"hold_for_vcs": True}, False),
        ({"ignore_files": True}, {"roots": (R, b"/s")}, False),
        ({"follow_symlinks": True}, {"roots": (R, b"/s")}, False),
        ({"hold_for_vcs": True}, {"roots": (R, b"/s")}, False),
        ({"hold_for_vcs": True}, {"shards": 3}, True),
    ],
)
def test_with_which_settings_shards_go_on(before: dict[str, Any], after: dict[str, Any], goes_on: bool) -> None:
    """With other roots, unless more depends on them; with no other filters."""
    running = replace(SETTINGS, **before)
    assert go_on(running, replace(running, **after)) is goes_on
