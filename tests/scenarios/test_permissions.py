"""A subdirectory that may not be read: said so, its rows stay, everything else goes on, and it comes back by itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rights import unprivileged
from running import Running, consuming, settings_for
from scene import Scene, write
from waiting import eventually

from shardwatch.aggregator.client.replies import RequestError

pytestmark = pytest.mark.xdist_group("scenarios_roots")

def test_scenario_33_unreadable_subdirectory(tmp_path: Path, no_leaks: None) -> None:
    """chmod 0: in doubt, with the path and a remedy; no file of it is called deleted; given back, what changed is told."""
    root = tmp_path / "root"
    closed = root / "closed"
    write(closed / "f.json")
    write(closed / "below" / "g.json")
    write(root / "open" / "h.json")
    scene = unprivileged(lambda: Scene(tmp_path))
    try:
        begin = len(scene.consumer.events)
        closed.chmod(0)
        write(root / "open" / "h.json", "changed")
        with pytest.raises(RequestError, match="can't be read"):
            scene.service.client.sync()
        eventually(lambda: scene.state_of(closed) == "unreadable", 60)
        (doubt,) = scene.service.client.status()["degraded"]
        assert "permission" in doubt["remedy"]
        scene.drained()
        assert {os.fsdecode(path) for _, path in scene.consumer.events[begin:]} == {str(root / "open" / "h.json")}
        assert os.fsencode(closed / "below" / "g.json") in scene.consumer.mirror
        write(closed / "below" / "while-closed.json")
        closed.chmod(0o700)
        eventually(lambda: os.fsencode(closed / "below" / "while-closed.json") in scene.consumer.mirror, 60)
        eventually(lambda: scene.state_of(closed) == "", 60)
        scene.settled()
        write(closed / "below" / "later.json")
        assert scene.story() == {"closed/below/later.json": "created"}
    finally:
        closed.chmod(0o700)
        scene.close()


def test_unreadable_from_the_start(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """A directory that the baseline can't read is no reason not to be ready; what is in it is told when it can be read."""
    root = tmp_path / "root"
    closed = root / "closed"
    write(closed / "f.json")
    write(root / "open" / "h.json")
    closed.chmod(0)
    service = unprivileged(lambda: Running(state_dir, settings_for(root, settle_ms=20)))
    try:
        assert service.ready["files"] == 1
        assert service.client.sync()["left_out"] == [str(closed)]
        closed.chmod(0o700)
        with consuming(state_dir) as consumer:
            eventually(lambda: len(consumer.mirror) == 2, 60)
            service.assert_mirrored(consumer, root)
    finally:
        closed.chmod(0o700)
        service.stop()


def test_unreadable_file_is_a_file(tmp_path: Path, no_leaks: None) -> None:
    """chmod 0 of a file takes nothing from the service, which never opens one: it is `modified`, and followed as before."""
    path = write(tmp_path / "root" / "f.json")
    scene = unprivileged(lambda: Scene(tmp_path))
    try:
        path.chmod(0)
        assert scene.story() == {"f.json": "modified"}
        write(path, "written by one who may")
        assert scene.story() == {"f.json": "modified"}
    finally:
        scene.close()
