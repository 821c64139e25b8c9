"""Looks at names whose debounce time is over: what they turn out to be decides, not what the hint was about."""

from __future__ import annotations

import shutil
from collections import deque

import pytest
from shard_scene import ShardScene

from shardwatch.shard.backend.base import Hints
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.due_looks import DueLooks
from shardwatch.shard.territory import looking
from shardwatch.shard.tree.nodes import Node


@pytest.mark.parametrize("listed", [False, True])
def test_a_name_that_turns_out_to_be_a_directory_is_entered(
    scene: ShardScene, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """And one that was a directory, and is none, is left; whatever the hint was about."""
    if listed:
        monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 0)
    scene.put("x.json/deep/f.json", "a/y.json/f.json")
    shutil.rmtree(scene.tree / "a/b")
    scene.put("a/b")
    scene.shard.backend.drain()
    scene.shard.backend.take()
    hints = Hints()
    hints.names = {scene.node(): {b"x.json"}, scene.node("a"): {b"y.json", b"b"}}
    scene.shard.watcher.absorb(hints)
    scene.rests()
    scene.put("x.json/deep/g.json", "a/y.json/g.json")
    scene.rests()


def test_more_names_than_are_looked_at_one_by_one_are_listed(scene: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No less exact: new directories are entered, deletions seen."""
    monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 2)
    scene.put("a/1.json", "a/2.json", "a/3.json", "a/new/f.json")
    (scene.tree / "a/f.json").unlink()
    scene.equal()


def test_names_stay_debounced_until_it_is_their_turn(scene: ShardScene) -> None:
    """There each is kept once, however often it changes. Whoever takes over what waits has them, too."""
    scene.put("x.json/f.json")
    debounce: Debounce[Node] = Debounce(0, 0)
    arrivals = scene.shard.watcher.arrivals
    looks = DueLooks(scene.shard.territory, debounce, arrivals)
    root, a = scene.node(), scene.node("a")
    looks.take_due(0)
    assert not looks and not looks.step()
    debounce.add(0, {root: {b"f.json", b"x.json"}})
    looks.take_due(0)
    debounce.add(0, {a: {b"f.json"}})
    looks.take_due(0)
    assert (len(looks), len(debounce)) == (1, 1)
    begun = len(arrivals)
    while looks.step():
        pass
    assert len(arrivals) == begun + 1, "the directory is entered by others"
    debounce.add(0, {a: {b"f.json"}})
    looks.take_due(0)
    debounce.add(0, {root: {b"f.json"}})
    assert looks.take() == ([], deque([(a, {b"f.json"}), (root, {b"f.json"})]))
    assert not looks and not debounce
    scene.equal()
