"""One service for all scenarios of a module that leave the service itself alone; a directory of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scene import Scene, playing


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A running service with one shard, an empty root, and a consumer that applies everything."""
    with playing(tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture
def at(scene: Scene, request: pytest.FixtureRequest) -> Path:
    """An empty directory in the root of the scene, for this test alone; what was there before is told already."""
    directory: Path = scene.root / request.node.name[:40]
    directory.mkdir()
    scene.settled()
    return directory
