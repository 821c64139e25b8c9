"""A first start on a disk of which nothing is cached: read from both ends at once, and complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import cold_disk
from running import running, settings_for, walk

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.supervisor.planning.read_ahead import blocks_read, read_ahead

pytestmark = [pytest.mark.root, pytest.mark.needs("mkfs.ext4")]


def plant(at: Path) -> None:
    """2,000 files in 200 directories below 10."""
    for number in range(200):
        home = at / f"tree/p{number // 20}/m{number % 20}"
        home.mkdir(parents=True)
        for name in range(10):
            (home / f"f{name}.json").write_text("{}")


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Path]:
    with cold_disk(tmp_path / "disk", plant) as disk:
        yield disk / "tree"


def test_what_was_read_ahead_is_cached(cold: Path) -> None:
    """The kernel's own count of blocks that had to be read tells."""
    settings = settings_for(cold)
    before = blocks_read()
    assert read_ahead(settings) == 211
    between = blocks_read()
    assert between > before
    assert len(walk(cold, settings)) == 2000
    # Hardly any: what Python itself loads on the way may lie on a disk as well.
    assert blocks_read() - between < (between - before) / 10


def test_a_first_start_on_a_cold_disk(cold: Path, state_dir: Path, no_leaks: None) -> None:
    """Every file is known, and nobody is left over who reads."""
    paths: set[str] = set()
    with running(state_dir, settings_for(cold)), ExtractClient(state_dir) as client:
        batch = client.pull("all", from_="start")
        while batch is not None:
            paths.update(event.path for event in batch.events)
            batch.ack()
            batch = client.pull("all")
    assert len(paths) == 2000
