"""How a running shard gets from plan to plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.passing import heirs, in_advance
from shardwatch.shard.contract.state.planfile import Anchor, Plan, PlanFile, write_plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.process.succession import Coming, PlanOverError, Succession

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


def test_what_is_to_come_is_told_to_whom_it_is_given(path: Path) -> None:
    """As long as the plan in force names the next one. It is nobody else's business, nor that of a stand-in, or of a shard that
    would have to be started again."""
    it, other = succession(path), succession(path, "s1")
    stand_in = succession(path, fixed=True)
    follows = succession(path, settings=replace(SETTINGS, follow_symlinks=True))
    for one in (it, other, stand_in, follows):
        assert one.look(5) is None and one.coming() == Coming()
    write_plan(path, replace(OLD, next=NEW))
    for one in (it, other, stand_in, follows):
        assert one.look(5) is None
    assert it.coming() == Coming(6, NEW.anchors[2:], frozenset((b"/r", b"/r/a", b"/q")))
    assert it.coming() is it.coming()
    assert other.coming() == stand_in.coming() == follows.coming() == Coming()
    write_plan(path, OLD)
    assert it.look(5) is None and it.coming() == Coming()


def test_what_nobody_has_or_the_shard_itself_is_not_taken_on_in_advance() -> None:
    """Nobody tells of a new root until it has an owner; and what a shard has, it watches."""
    new = replace(NEW, anchors=(*NEW.anchors, Anchor(b"/r/own", "s0", b"/r", since=6), Anchor(b"/p", "s0", b"/p", since=6)))
    assert [anchor.path for anchor in in_advance("s0", OLD, new, SETTINGS)] == [b"/q"]
    assert heirs(OLD, new, SETTINGS) == ["s0"] and heirs(OLD, OLD, SETTINGS) == []
