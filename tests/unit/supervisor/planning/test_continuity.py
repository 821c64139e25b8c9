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


def following(old: Plan, new: Plan, *, before: Settings = SETTINGS, after: Settings = SETTINGS) -> Plan:
    return continued(old, new, before, after)


def since(old: Plan, new: Plan, **settings: Settings) -> dict[bytes, int]:
    return {anchor.path: anchor.since for anchor in following(old, new, **settings).anchors}


def test_what_stays_is_had_since_then() -> None:
    """Through several plans; what is given away and comes back is new again."""
    first = plan(5, s0=[R], s1=[b"/r/a"])
    second = following(first, plan(6, s0=[R], s1=[b"/r/a", b"/r/b"]))
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
    new = following(old, plan(6, s0=[R], s1=[b"/r/a"], s2=[b"/r/b", b"/r/c", b"/r/d/x"]))
    found = {shard: part_change(shard, old, new) for shard in new.shards()}
    assert found["s0"] == ((), (), (new.anchors[4],)), "what lies below its anchor is cut"
    assert found["s1"] is not None and [anchor.path for anchor in found["s1"].left] == [b"/r/b"] and not found["s1"].taken
    assert found["s2"] is not None and [anchor.path for anchor in found["s2"].taken] == [b"/r/b", b"/r/d/x"]
    third = following(new, plan(7, s0=[R], s1=[b"/r/a"], s2=[b"/r/b", b"/r/c", b"/r/d/x"], s3=[b"/r/e"]))
    assert not part_change("s1", new, third)


def test_who_can_not_go_on() -> None:
    """Who keeps nothing, was given more below an anchor, or is told of an older plan."""
    old = plan(5, s0=[R], s1=[b"/r/a", b"/r/a/x"])
    assert part_change("s2", old, following(old, plan(6, s0=[R], s2=[b"/r/a"]))) is None
    assert part_change("s1", old, following(old, plan(6, s0=[R], s1=[b"/r/a"]))) is None
    assert part_change("s0", old, plan(6, s0=[R])) is None, "a plan that goes on with nothing"
    assert part_change("s0", old, following(old, plan(4, s0=[R], s1=[b"/r/a", b"/r/a/x"]))) is None


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ({}, {"roots": (R, b"/s")}, True),
        ({}, {"shards": 3}, True),
        ({}, {"settle_ms": 7}, True),
        ({}, {"exclude": ("x",)}, False),
        ({}, {"backend": "polling"}, False),
        ({}, {"files": (b"/s/f",)}, True),
        ({}, {"hold_for_vcs": True}, False),
        ({}, {"ignore_files": True}, False),
        ({"ignore_files": True}, {"git_excludes": b"/x"}, False),
        ({"ignore_files": True}, {"roots": (R, b"/s")}, True),
        ({"follow_symlinks": True}, {"roots": (R, b"/s")}, True),
        ({"hold_for_vcs": True}, {"roots": (R, b"/s")}, True),
        ({"hold_for_vcs": True}, {"shards": 3}, True),
    ],
)
def test_with_which_settings_anything_goes_on(before: dict[str, Any], after: dict[str, Any], goes_on: bool) -> None:
    """With other roots; with no other filters."""
    running = replace(SETTINGS, **before)
    assert go_on(running, replace(running, **after)) is goes_on
    assert (since(plan(5, s0=[R]), plan(6, s0=[R]), before=running, after=replace(running, **after))[R] == 5) is goes_on


def grown(old: dict[str, Any], new: dict[str, Any], **options: Any) -> set[bytes]:
    """The anchors where a shard has to look again, though it is the same one: /r and /s, in the roots of their names, and /r/a in
    /r. `old`, `new`: fields of the settings."""
    anchors = (Anchor(R, "s0", R), Anchor(b"/r/a", "s1", R), Anchor(b"/s", "s1", b"/s"))
    before = replace(SETTINGS, roots=(R, b"/s"), **options)
    found = since(Plan(5, anchors), Plan(6, anchors), before=replace(before, **old), after=replace(before, **new))
    return {path for path, generation in found.items() if generation == 6}


def test_roots_concern_the_anchors_that_lie_in_them() -> None:
    """All of them, if ignore files above have come to count, or count no more; nobody otherwise, whatever else is asked for."""
    more, outer = {"roots": (R, b"/s", b"/t")}, {"roots": (R, b"/s", b"/")}
    for options in ({}, {"ignore_files": True}, {"follow_symlinks": True}, {"hold_for_vcs": True}):
        assert grown({}, more, **options) == set()
        assert grown(more, {}, **options) == set()
    assert grown({}, outer) == set()
    assert grown({}, outer, ignore_files=True) == {R, b"/r/a", b"/s"}, "what is written in / leaves out files in /r now"
    assert grown({}, {**outer, "only": (b"/",)}, ignore_files=True) == set(), "it is there for a single file"


def test_single_files_concern_the_anchor_below_which_they_lie() -> None:
    """A file that is named; one that is not any more; a directory that is watched for single files alone, and was watched."""
    assert grown({}, {"files": (b"/r/f", b"/t/f")}) == {R}
    assert grown({"files": (b"/r/a/b/f",)}, {}) == {b"/r/a"}
    assert grown({"files": (b"/r/a/f", b"/s/f")}, {"files": (b"/s/f", b"/r/a/f")}) == set()
    assert grown({}, {"only": (b"/s",)}) == {b"/s"}
    assert grown({"files": (b"/s/f",), "only": (b"/s",)}, {"files": (b"/s/f", b"/s/g"), "only": (b"/s",)}) == {b"/s"}


def test_a_single_file_goes_with_the_anchor_that_is_cut_out() -> None:
    """Who loses it with a part of its subtree is not concerned: that is not looked at again."""
    settings = replace(SETTINGS, files=(b"/r/a/f",))
    old, new = plan(5, s0=[R]), plan(6, s0=[R], s1=[b"/r/a"])
    assert since(old, new, before=settings, after=settings) == {R: 5, b"/r/a": 6}


def test_a_shard_takes_on_again_what_is_watched_in_another_way() -> None:
    """It lets it go, and looks at nothing else of what it has."""
    old = Plan(5, (Anchor(R, "s0", R), Anchor(b"/s", "s0", b"/s"), Anchor(b"/t", "s1", b"/t")))
    named = replace(SETTINGS, files=(b"/s/f",))
    new = following(old, replace(old, generation=6), after=named)
    change = part_change("s0", old, new)
    assert change is not None and ([a.path for a in change.left], [a.path for a in change.taken]) == ([b"/s"], [b"/s"])
    assert not part_change("s1", old, new) and part_change("s1", old, new) is not None
