"""In which roots a shard looks for lock files, from plan to plan."""

from __future__ import annotations

from msgspec.structs import replace

from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.process.lock_roots import LockRoots

SETTINGS = Settings(roots=(b"/r", b"/q"), include=("*",), exclude=(), hold_for_vcs=True)
OLD = Plan(5, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/a", "s1", b"/r"), Anchor(b"/q", "s1", b"/q")))
NEW = Plan(6, (Anchor(b"/r", "s1", b"/r"), Anchor(b"/q", "s0", b"/q")))


def test_every_shard_of_a_root_looks_there() -> None:
    """Also one that has only a part of it; and none where nothing is held."""
    assert LockRoots("s0", SETTINGS, OLD).of(OLD) == [b"/r"]
    assert LockRoots("s1", SETTINGS, OLD).of(OLD) == [b"/r", b"/q"]
    assert LockRoots("s1", replace(SETTINGS, hold_for_vcs=False), OLD).of(OLD) == []


def test_both_plans_count_until_the_shard_has_gone_on() -> None:
    """It still tells of what changes under the one before. What is known is not told again."""
    roots = LockRoots("s0", SETTINGS, OLD)
    assert roots.changed(OLD, OLD) is None
    assert roots.changed(OLD, NEW) == [b"/r", b"/q"]
    assert roots.changed(OLD, NEW) is None
    assert roots.changed(NEW, NEW) == [b"/q"]
