"""Scenarios of clocks and cursors: only what is new, an explicit word where that can't be told, never stale."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from running import running, settings_for
from scene import Scene, write

from shardwatch.aggregator.client.blocking import Batch, ExtractClient
from shardwatch.aggregator.index.index import Index

pytestmark = pytest.mark.xdist_group("scenarios_groups")


def paths(client: ExtractClient, group: str, below: Path) -> set[str]:
    """Everything that is pending for a group, acked; relative paths."""
    found: set[str] = set()
    for batch in client.batches(group, follow=False):
        assert batch.fresh is None
        found |= {str(Path(event.path).relative_to(below)) for event in batch.events}
        batch.ack()
    return found


def test_scenario_35_since_a_clock(scene: Scene, at: Path) -> None:
    """A group made now, and one that seeks to a tick: mkdir bar and a file in it are all that either is handed."""
    client = scene.service.client
    for n in range(20):
        write(at / "old" / f"f{n}.json")
    client.sync()
    assert client.pull("since", from_="now") is None
    tick = client.status()["tick"]
    write(at / "bar" / "file.json")
    client.sync()
    assert paths(client, "since", at) == {"bar/file.json"}
    assert client.seek("since", tick)
    assert paths(client, "since", at) == {"bar/file.json"}


def test_scenario_36_foreign_and_aged_cursors(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """A cursor of another index, and one from before the deletions that are kept: `fresh`, alone, then every file."""
    root = tmp_path / "root"
    names = {"a.json", "b.json", "c.json"}
    for name in (*names, "gone.json"):
        write(root / name)
    settings = settings_for(root, settle_ms=20)

    def refreshed(client: ExtractClient) -> str:
        batch = client.pull("g", wait_s=30)
        assert isinstance(batch, Batch) and batch.fresh is not None and batch.events == []
        batch.ack()
        assert paths(client, "g", root) == names
        return batch.fresh.reason

    with running(state_dir, settings) as service:
        assert service.client.pull("g", from_="start") is not None
        service.client.release("g")
        assert paths(service.client, "g", root) == {*names, "gone.json"}
        (root / "gone.json").unlink()
        service.client.sync()
        assert paths(service.client, "g", root) == {"gone.json"}
        index = service.layout.index_db
        tick = service.client.status()["tick"]
    aged = Index(index)  # what the service does by itself after `replay_s`
    assert aged.tombstones.collect({0: tick}, time.time_ns() + 1) == 1
    aged.close()
    with running(state_dir, settings) as service:
        assert paths(service.client, "g", root) == set()
        assert not service.client.seek("g", 1)
        assert refreshed(service.client) == "it went back beyond the deletions that are kept"
    for path in index.parent.glob(index.name + "*"):
        path.unlink()
    with running(state_dir, settings) as service:
        assert refreshed(service.client) == "the index was built anew"


def test_scenario_37_never_stale(scene: Scene, at: Path) -> None:
    """1,000 times: write, sync, pull. What was written before the sync is in the batch, without any further wait."""
    client = scene.service.client
    client.sync()
    assert client.pull("stale", from_="now") is None
    for n in range(1_000):
        path = write(at / f"f{n % 10}.json", "x" * n)
        client.sync()
        batch = client.pull("stale")
        assert batch is not None, f"nothing at the {n}th time"
        assert [(os.fsencode(e.path), e.size) for e in batch.events] == [(os.fsencode(path), n)]
        batch.ack()
