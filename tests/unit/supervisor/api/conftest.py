"""What tests of `RealtimeFileWatcher` without a service stand on: a source of the test's own (tests/api_bench.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_bench import Bench

from shardwatch.supervisor.api import handover, watcher


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A watcher that is not started, with a state directory that is kept."""
    bench = Bench(state_dir=tmp_path / "state")
    yield bench
    await bench.watcher.stop_monitoring()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory to watch."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler refused is handed over again at once, so that no test waits; and what is pending at a stop is waited for,
    however busy the machine is."""
    monkeypatch.setattr(handover, "RETRY_S", 0.001)
    monkeypatch.setattr(handover, "RETRY_S_MAX", 0.01)
    monkeypatch.setattr(watcher, "STOP_HAND_OVER_S", 60.0)
