"""How a running shard gets from plan to plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.planfile import Anchor, Plan, PlanFile, write_plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.process.succession import PlanOverError, Succession

SETTINGS = Settings(roots=(b"/r", b"/q"), include=("*",), exclude=())
OLD = Plan(5, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/a", "s1", b"/r"), Anchor(b"/q", "s1", b"/q")))
NEW = Plan(6, (*(replace(anchor, since=5) for anchor in OLD.anchors[:2]), Anchor(b"/q", "s0", b"/q", since=6)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_plan(tmp_path / "plan.json", OLD)
    return tmp_path / "plan.json"


def succession(path: Path, shard: str = "s0", settings: Settings = SETTINGS, *, fixed: bool = False) -> Succession:
    return Succession(shard, OLD, PlanFile(path), settings, fixed=fixed)


def test_the_next_plan_is_told_until_it_is_gone_by(path: Path) -> None:
    """Then the one after that is compared with it."""
    it = succession(path)
    assert it.look(5) is None
    write_plan(path, NEW)
    for _ in range(2):
        found = it.look(5)
        assert found is not None and found[0] == NEW and [anchor.path for anchor in found[1].taken] == [b"/q"]
    assert it.look(6) is None
    third = replace(NEW, generation=7)
    write_plan(path, third)
    found = it.look(6)
    assert found is not None and found[0] == third and not found[1]


def test_who_has_to_be_started_again(path: Path) -> None:
    """A stand-in for any plan; and whoever is given what its settings do not let it take on while it runs."""
    write_plan(path, NEW)
    for one in (
        succession(path, fixed=True),
        succession(path, settings=replace(SETTINGS, follow_symlinks=True)),
    ):
        with pytest.raises(PlanOverError):
            one.look(5)
    write_plan(path, replace(NEW, anchors=(NEW.anchors[0], NEW.anchors[1])))
    found = succession(path, settings=replace(SETTINGS, follow_symlinks=True)).look(5)
    assert found is not None and not found[1], "nothing changes for it"


def test_both_plans_are_known_until_the_next_one_is_gone_by(path: Path) -> None:
    """Then it is that one alone."""
    it = succession(path)
    assert it.plans == (OLD, OLD)
    write_plan(path, NEW)
    it.look(5)
    assert it.plans == (OLD, NEW)
    it.look(6)
    assert it.plans == (NEW, NEW)
