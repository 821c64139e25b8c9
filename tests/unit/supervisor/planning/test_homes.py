"""Which filesystem a root is waited for on: kept while it is away, and learned when it comes after planning."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, read_plan, write_plan
from shardwatch.supervisor.planning import homes
from shardwatch.supervisor.planning.homes import note_mounts, planned_homes, with_mounts

DATA, HOME = b"/data/tree", b"/home/tree"
BARE = [(b"/", "ext4")]
FULL = [*BARE, (b"/data", "xfs")]


def plan(homes: tuple[tuple[bytes, bytes], ...] = (), later: tuple[tuple[bytes, bytes], ...] = ()) -> Plan:
    return Plan(3, (Anchor(DATA, "s0", DATA), Anchor(HOME, "s0", HOME)), homes=homes, later=later)


def test_a_first_plan_takes_what_is_there() -> None:
    """And without a table of mounts nothing is known, so nothing is waited for."""
    assert planned_homes((DATA, HOME), FULL, None) == (((DATA, b"/data"), (HOME, b"/")), ())
    assert planned_homes((DATA,), [], None) == (((DATA, b""),), ())


def test_what_no_root_may_lie_on_is_no_home() -> None:
    """proc that hides a root, when the plan is made or later: the root lies where it lies without it."""
    hidden = [*FULL, (DATA, "proc"), (b"/home", "sysfs")]
    assert planned_homes((DATA, HOME), hidden, None) == (((DATA, b"/data"), (HOME, b"/")), ())
    old = plan(((DATA, b"/data"),))
    assert with_mounts(old, (DATA, HOME), hidden).homes == ((DATA, b"/data"), (HOME, b"/"))
    assert with_mounts(old, (DATA, HOME), hidden).later == ()


def test_a_new_plan_while_a_disk_is_away_waits_for_it() -> None:
    """A changed setting is no reason to take an empty mount point for the root."""
    old = plan(((DATA, b"/data"), (HOME, b"/")))
    assert planned_homes((DATA, HOME, b"/new"), BARE, old) == (((DATA, b"/data"), (HOME, b"/"), (b"/new", b"/")), ())
    assert planned_homes((HOME,), BARE, old) == (((HOME, b"/"),), ())
    assert planned_homes((DATA,), [], old) == (((DATA, b""),), ())


def test_a_new_plan_waits_for_what_came_later_too() -> None:
    """While it is away; if it is there, it is where the root lies."""
    old = plan(((DATA, b"/"),), ((DATA, b"/data"),))
    assert planned_homes((DATA,), BARE, old) == (((DATA, b"/"),), ((DATA, b"/data"),))
    assert planned_homes((DATA,), FULL, old) == (((DATA, b"/data"),), ())


def test_what_is_mounted_after_planning_is_noted() -> None:
    """Once; and it stays noted when it is away."""
    old = plan(((DATA, b"/"), (HOME, b"/")))
    assert with_mounts(old, (DATA, HOME), BARE) is old
    new = with_mounts(old, (DATA, HOME), FULL)
    assert (new.generation, new.anchors, new.homes, new.later) == (3, old.anchors, old.homes, ((DATA, b"/data"),))
    assert with_mounts(new, (DATA, HOME), FULL) is new
    assert with_mounts(new, (DATA, HOME), BARE) is new
    assert with_mounts(new, (DATA, HOME), [*FULL, (DATA, "nfs")]).later == ((DATA, DATA),)


def test_a_plan_of_an_older_version_learns_its_homes() -> None:
    """It was kept over an upgrade, and never told where its roots lay."""
    assert with_mounts(plan(), (DATA, HOME), FULL).homes == ((DATA, b"/data"), (HOME, b"/"))


def test_noting_is_on_disk_where_that_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no reason to leave."""
    layout = Layout(tmp_path)
    old = plan(((DATA, b"/"),))
    write_plan(layout.plan, old)
    monkeypatch.setattr(homes, "read_mounts", lambda: iter(FULL))
    new = note_mounts(layout, old, (DATA,))
    assert new.later == ((DATA, b"/data"),)
    assert read_plan(layout.plan) == new

    def full(path: Path, plan: Plan) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(homes, "write_plan", full)
    assert note_mounts(layout, old, (DATA,)) is old
