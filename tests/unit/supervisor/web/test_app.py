"""What the page asks of a service, however many ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S
from starlette.types import Message

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


def test_searches_leave_room_for_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than asyncio has threads, none of which gets on: health is told all the same, and then they are answered."""
    going_on = threading.Event()

    def find(*arguments: object, **named: object) -> Iterator[FoundFile]:
        going_on.wait(GUARD_S)
        yield FoundFile("/t/1", 1, 0, 1, 0.0)

    monkeypatch.setattr(app, "find", find)
    served = app.make_app(Layout(tmp_path / "none"))

    async def ask(path: str) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await served({"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}, receive, send)
        return int(sent[0]["status"])

    async def all_at_once() -> None:
        searches = [asyncio.create_task(ask("/api/find")) for _ in range(40)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(ask("/healthz"), GUARD_S / 2) == 503
            assert not any(search.done() for search in searches)
        finally:
            going_on.set()
            assert set(await asyncio.gather(*searches)) == {200}

    asyncio.run(all_at_once())
