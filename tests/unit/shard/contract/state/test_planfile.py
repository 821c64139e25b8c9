"""Who owns which directory, and the file that says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shardwatch.shard.contract.state.directory import write_private
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan, PlanFile, read_plan, write_plan


def anchor(path: bytes, shard: str = "s0") -> Anchor:
    return Anchor(path, shard, b"/r")


def test_a_directory_belongs_to_the_nearest_anchor_above_it() -> None:
    """Rule 1: of every path one shard has the word, so the last of its words is the latest fact."""
    owners = Owners([anchor(b"/r", "s0"), anchor(b"/r/a", "s1"), anchor(b"/r/a/b/c", "s2")])

    def owner(path: bytes) -> str | None:
        found = owners.of(path)
        return found.shard if found else None

    assert owner(b"/r") == "s0"
    assert owner(b"/r/ab") == "s0"
    assert owner(b"/r/a") == "s1"
    assert owner(b"/r/a/b") == "s1"
    assert owner(b"/r/a/b/c/d/e") == "s2"
    assert owner(b"/elsewhere") is None
    assert owner(b"/") is None


def test_the_root_of_all_can_be_an_anchor() -> None:
    """Everything is below it."""
    owners = Owners([anchor(b"/"), anchor(b"/r", "s1")])
    top = owners.of(b"/usr/lib")
    assert top is not None
    assert top.path == b"/"
    assert [a.path for a in owners.below(b"/")] == [b"/r"]


def test_below_names_the_anchors_inside_only() -> None:
    """Neither the directory itself nor neighbours whose names begin alike."""
    paths = [b"/r", b"/r/a", b"/r/a-b", b"/r/a/x", b"/r/a/x/y", b"/r/ab", b"/r/a\xff"]
    owners = Owners([anchor(p) for p in paths])
    assert [a.path for a in owners.below(b"/r/a")] == [b"/r/a/x", b"/r/a/x/y"]
    assert owners.below(b"/r/a/x/y") == []
    assert {a.path for a in owners.below(b"/r")} == set(paths) - {b"/r"}


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    """Exact bytes, whatever is in the names."""
    odd = b"/r/\xff\n\x01"
    plan = Plan(3, (anchor(b"/r"), anchor(odd, "s1"), anchor(b"/r/c", "s1")), key="k", watches={"s0": 10})
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    assert plan.shards() == ["s0", "s1"]
    assert [a.path for a in plan.of("s1")] == [odd, b"/r/c"]
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_no_plan_is_none_and_a_damaged_one_an_error(tmp_path: Path) -> None:
    """A shard that starts too early waits; one that finds nonsense says so."""
    assert read_plan(tmp_path / "plan.json") is None
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(msgspec.ValidationError):
        read_plan(tmp_path / "plan.json")


def test_another_plan_on_disk_is_noticed(tmp_path: Path) -> None:
    """By whoever runs with the one before; what is removed, damaged or written again with its generation is none."""
    path = tmp_path / "plan.json"
    file = PlanFile(path)
    assert file.read() is None
    write_plan(path, Plan(7, ()))
    assert file.read() == Plan(7, ())
    assert file.read() is file.read(), "it is read once"
    assert file.other_than(7) is None
    path.unlink()
    assert file.other_than(7) is None
    write_plan(path, Plan(7, (), "the same, with mounts noted"))
    assert file.other_than(7) is None
    write_private(path, b"{")
    assert file.other_than(7) is None
    with pytest.raises(msgspec.DecodeError):
        file.read()
    write_plan(path, Plan(3, ()))
    assert file.other_than(7) == Plan(3, ()), "a lower one too"
    assert file.other_than(3) is None
