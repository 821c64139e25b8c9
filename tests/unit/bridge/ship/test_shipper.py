"""What `ship` does beside its batches."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shardwatch.bridge.jetstream.access import Access
from shardwatch.bridge.jetstream.server_connection import AwayError
from shardwatch.bridge.protocol.generations import ShipOptions, Target
from shardwatch.bridge.ship import shipper
from shardwatch.bridge.ship.shipper import Shipper


async def test_what_is_old_is_removed_although_it_could_not_be_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a cluster elects a leader nobody answers, and the connection lasts; the reason is told once."""
    monkeypatch.setattr(shipper, "BEAT_S", 0.001)
    told: list[str] = []
    tried = 0
    removed = asyncio.Event()

    async def tidy() -> None:
        nonlocal tried
        tried += 1
        if tried <= 3:
            raise AwayError("no answer within 15 s", "nothing: it is tried again")
        removed.set()

    options = ShipOptions(Target("s", "p", "one", "g"), 1)
    ship = Shipper(cast("Any", None), cast("Any", None), cast("Any", None), Access(("nats://h:1",), None), options, told.append)
    broker = SimpleNamespace(connection=SimpleNamespace(do_without=lambda subject: None))
    tidying = asyncio.ensure_future(ship._tidy(cast("Any", broker), cast("Any", SimpleNamespace(tidy=tidy))))
    try:
        await asyncio.wait_for(removed.wait(), 60)
    finally:
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
    assert [line.partition(" (")[0] for line in told] == ["old deletions stay in the stream for now"]
