"""Mirrors follow what is watched now: a real service that is started again with other roots and filters."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from running import running, settings_for

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.planning.named import with_files


class Mirror:
    """A group that pulls when it is told to, across lives of the service."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.paths: set[Path] = set()
        self.kinds: list[str] = []

    def follow(self, settings: Settings, **checks: Any) -> None:
        """Starts a service with these settings, and applies all that is pending after a sync."""
        with running(self._state_dir, settings) as service:
            if checks.get("kill"):
                service.kill("aggregator")
            service.client.sync(60, patience_s=20)
            with ExtractClient(self._state_dir) as client:
                while (batch := client.pull("mirror", from_="start", wait_s=0.0, patience_s=20)) is not None:
                    for event in batch.events:
                        self.kinds.append(event.event_type)
                        path = Path(event.path)
                        if event.event_type == "deleted":
                            self.paths.remove(path)
                        else:
                            self.paths.add(path)
                    batch.ack()


def test_roots_and_filters_that_change(tmp_path: Path, state_dir: Path) -> None:
    """A narrower filter, a root that is taken out and comes back with another file; a kill in between."""
    tmp_path = Path(os.path.realpath(tmp_path))
    one, two = tmp_path / "one", tmp_path / "two"
    for root in (one, two):
        (root / "sub").mkdir(parents=True)
        for name in ("a.json", "b.json", "sub/c.json"):
            (root / name).write_text("{}")
    mirror = Mirror(state_dir)
    mirror.follow(settings_for(one, two))
    assert mirror.paths == {root / name for root in (one, two) for name in ("a.json", "b.json", "sub/c.json")}
    settings = settings_for(one, two)
    mirror.follow(settings_for(one, two, exclude=(*settings.exclude, "b.json")))
    assert mirror.paths == {root / name for root in (one, two) for name in ("a.json", "sub/c.json")}
    mirror.follow(settings_for(one), kill=True)
    assert mirror.paths == {one / name for name in ("a.json", "b.json", "sub/c.json")}
    (two / "a.json").unlink()
    (two / "new.json").write_text("{}")
    mirror.follow(settings_for(one, two, recursive=False))
    assert mirror.paths == {one / "a.json", one / "b.json", two / "b.json", two / "new.json"}
    assert "modified" not in mirror.kinds


def test_a_root_around_the_former_one(tmp_path: Path, state_dir: Path) -> None:
    """Nothing of what stays is told again; what went away meanwhile is told as deleted."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    for name in ("a/one/x.json", "a/one/sub/y.json", "two/z.json", "other.json"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("{}")
    mirror = Mirror(state_dir)
    mirror.follow(settings_for(tree / "a/one", tree / "two"))
    shutil.rmtree(tree / "two")
    mirror.follow(settings_for(tree))
    assert mirror.paths == {tree / "a/one/x.json", tree / "a/one/sub/y.json", tree / "other.json"}
    assert sorted(mirror.kinds) == ["created"] * 4 + ["deleted"]


@pytest.mark.parametrize(
    ("named", "options"),
    [("out", {"exclude": ("out/",)}), ("out/deep/sub/x.json", {"exclude": ("out/",)}), ("out/deep/sub", {"recursive": False})],
)
def test_a_root_in_what_the_patterns_leave_out(tmp_path: Path, state_dir: Path, named: str, options: dict[str, Any]) -> None:
    """It is named, so it is watched. When it is not named any more and the patterns let it in, nothing in it is told again."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    for name in ("out/y.json", "out/deep/sub/x.json", "other.json"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("{}")
    mirror = Mirror(state_dir)
    mirror.follow(with_files(settings_for(tree, tree / named, **options)))
    known = set(mirror.paths)
    assert (tree / "other.json") in known and len(known) > 1
    mirror.follow(with_files(settings_for(tree)))
    assert mirror.paths == {tree / name for name in ("out/y.json", "out/deep/sub/x.json", "other.json")}
    assert mirror.kinds == ["created"] * 3, "each was told once"


def test_directories_that_are_no_events_any_more(tmp_path: Path, state_dir: Path) -> None:
    """They leave the mirror when `directories` is switched off, and what is in them stays; they come again with it."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/c.json").write_text("{}")
    mirror = Mirror(state_dir)
    mirror.follow(settings_for(tree, directories=True))
    assert mirror.paths == {tree / "sub", tree / "sub/c.json"}
    mirror.follow(settings_for(tree), kill=True)
    assert mirror.paths == {tree / "sub/c.json"}
    mirror.follow(settings_for(tree, directories=True))
    assert mirror.paths == {tree / "sub", tree / "sub/c.json"}
    assert mirror.kinds == ["created", "created", "deleted", "created"]


def test_what_is_left_out_is_forgotten(tmp_path: Path, state_dir: Path) -> None:
    """`forget_left_out`, and a group that is reset: it begins afresh."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    tree.mkdir()
    for name in ("a.json", "b.json"):
        (tree / name).write_text("{}")
    mirror = Mirror(state_dir)
    mirror.follow(settings_for(tree))
    narrow = settings_for(tree, exclude=(*settings_for(tree).exclude, "b.json"), forget_left_out=True)
    mirror.follow(narrow)
    assert mirror.paths == {tree / "a.json", tree / "b.json"}
    with running(state_dir, narrow) as service:
        service.client.reset("mirror")
        batch = service.client.pull("mirror", wait_s=20)
        assert batch is not None and batch.fresh is not None
        batch.ack()
    mirror.paths.clear()
    mirror.follow(narrow)
    assert mirror.paths == {tree / "a.json"}
