"""`shardwatch root add|remove`: what the roots of a service become, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.sources import Sources
from shardwatch.supervisor.cli.commands.root import changed
from shardwatch.supervisor.config.again import with_changed_roots


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("b")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sources(*roots: str) -> Sources:
    paths = tuple(os.fsencode(Path(root).absolute()) for root in roots)
    return Sources(given=paths, roots=paths)


def roots(of: Sources) -> list[str]:
    assert of.roots is not None
    return [os.fsdecode(root).removeprefix(f"{Path.cwd()}/") for root in of.roots]


def test_roots_are_added_once(here: Path) -> None:
    """Whatever name they are given by."""
    assert roots(changed(sources("a"), "add", [b"b", b"link", os.fsencode(here / "a")])) == ["a", "b"]
    assert roots(changed(sources("a", "link"), "add", [b"b"])) == ["a", "link"]


def test_roots_are_removed_by_any_of_their_names(here: Path) -> None:
    """By the one that they were given, by that to which it leads, and when they are gone."""
    assert roots(changed(sources("a", "link"), "remove", [b"b"])) == ["a"]
    assert roots(changed(sources("a", "link"), "remove", [b"link"])) == ["a"]
    assert roots(changed(sources("a", "gone"), "remove", [b"gone"])) == ["a"]


@pytest.mark.parametrize(
    ("verb", "path", "said"),
    [
        ("add", b"", "PATH is empty"),
        ("remove", b"a/sub", r"a/sub is no root of this service \(its roots are .*/a, .*/b; `exclude` leaves out a part"),
        ("remove", b"nowhere", "is no root of this service"),
    ],
)
def test_what_can_not_be(here: Path, verb: str, path: bytes, said: str) -> None:
    """It is said why, and what there is."""
    with pytest.raises(UsageError, match=said):
        changed(sources("a", "b"), verb, [path])
    with pytest.raises(UsageError, match="no root would be left"):
        changed(sources("a", "b"), "remove", [b"a", b"b"])


def test_roots_that_are_set_elsewhere(here: Path) -> None:
    """Where they are set is named, with what is to be done there."""
    with pytest.raises(UsageError, match=r"add /x to `roots` there, then run `shardwatch reload`"):
        changed(Sources(config_file=b"/etc/sw.toml"), "add", [b"/x"])
    with pytest.raises(UsageError, match=r"set in /etc/sw.toml .take /x out of `roots` there"):
        changed(Sources(config_file=b"/etc/sw.toml"), "remove", [b"/x"])
    with pytest.raises(UsageError, match=r"change SHARDWATCH_ROOTS where it is set"):
        changed(Sources(config_file=b"/etc/sw.toml", variables={"SHARDWATCH_ROOTS": b"/a"}), "add", [b"/x"])


def test_they_are_remembered_for_the_same_paths(here: Path) -> None:
    """A start with others decides anew."""
    before = changed(sources("a"), "add", [b"b"])
    assert roots(with_changed_roots(sources("a"), before)) == ["a", "b"]
    assert roots(with_changed_roots(sources("a", "b"), before)) == ["a", "b"]
    assert roots(with_changed_roots(sources("b"), before)) == ["b"]
    assert roots(with_changed_roots(sources("a"), None)) == ["a"]
    assert with_changed_roots(Sources(config_file=b"/x"), before) == Sources(config_file=b"/x")
