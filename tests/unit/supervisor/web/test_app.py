"""What the page asks of a service, however many ask."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.search.find import FoundFile
from shardwatch.supervisor.service import status_now
from shardwatch.supervisor.service.checkup import Checkup
from shardwatch.supervisor.service.health import Health
from shardwatch.supervisor.web import app, observer
from shardwatch.supervisor.web.observer import Observer


def test_all_who_ask_at_once_share_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another one is made once the answer is old."""
    looks = 0

    def examine(layout: Layout) -> Checkup:
        nonlocal looks
        looks += 1
        return Checkup([], None, [], "", Health("down", ()))

    monkeypatch.setattr(status_now, "running", lambda layout: True)
    monkeypatch.setattr(status_now, "examine", examine)
    watched = Observer(Layout(tmp_path))

    async def ask() -> None:
        found = await asyncio.gather(*(watched.status() for _ in range(50)))
        assert all(one is found[0] for one in found)

    asyncio.run(ask())
    assert looks == 1
    monkeypatch.setattr(observer, "FRESH_S", -1.0)
    assert asyncio.run(watched.status())["health"] == "down"
    assert looks == 2


def test_a_search_returns_the_latest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is the one that changed last, and one more than are shown says that there are others."""
    files = [FoundFile(f"/t/{tick}", 1, 0, tick, 0.0) for tick in (3, *range(10, app.FOUND_MAX + 20), 5)]
    monkeypatch.setattr(app, "find", lambda *arguments, **named: iter(files))
    found = app._latest(Layout(tmp_path), "*", 10.0)
    assert len(found) == app.FOUND_MAX + 1
    assert [file["tick"] for file in found] == sorted((file.tick for file in files), reverse=True)[: len(found)]
