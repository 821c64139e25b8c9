"""What tests of a shard stand on: real files and inotify, a disk that refuses on demand, and a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import FaultyDisk
from shard_scene import ShardScene, Table


@pytest.fixture
def make(tmp_path: Path, denied: FaultyDisk) -> Iterator[Callable[..., ShardScene]]:
    """Makes one scene; its engine is closed in the end."""
    made: list[ShardScene] = []

    def scene(**options: Any) -> ShardScene:
        made.append(ShardScene(tmp_path, disk=denied, **options))
        return made[-1]

    yield scene
    for one in made:
        one.engine.close()


@pytest.fixture
def scene(make: Callable[..., ShardScene]) -> ShardScene:
    """One shard, and f.json in the root, in a and in a/b."""
    scene = make()
    scene.put("f.json", "a/f.json", "a/b/f.json")
    scene.equal()
    return scene


@pytest.fixture
def denied() -> FaultyDisk:
    """The disk of every scene; nothing is denied yet."""
    return FaultyDisk()


@pytest.fixture
def nested(make: Callable[..., ShardScene]) -> ShardScene:
    """s1 owns a/x/y, s0 the rest."""
    scene = make(anchors={"": "s0", "a/x/y": "s1"})
    scene.put("f.json", "a/x/f.json", "a/x/y/f.json", "a/x/y/d/f.json")
    scene.equal()
    return scene


@pytest.fixture
def table() -> Table:
    """Read by the shard of `mounted`."""
    return Table()


@pytest.fixture
def mounted(make: Callable[..., ShardScene], table: Table) -> ShardScene:
    """As `scene`, with that table of mounts."""
    scene = make(mounts=table)
    scene.put("f.json", "a/f.json", "a/b/f.json")
    scene.equal()
    return scene
