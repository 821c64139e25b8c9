"""What the blocking driver does at the end of its process."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import pytest

from shardwatch.aggregator.client import blocking_driver
from shardwatch.aggregator.client.absence import Absence
from shardwatch.aggregator.client.blocking_driver import BlockingDriver
from shardwatch.aggregator.client.conversation import Conversation, Flow


def test_all_clients_of_a_process_that_ends_have_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is away: each has what the ones before have left of it, and what comes after that is not begun."""
    now: list[float] = [100.0]
    left: list[float] = []

    def ending(patience_s: float) -> Flow[None]:
        left.append(patience_s)
        now[0] += 3.0
        yield from ()

    monkeypatch.setattr(blocking_driver, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(blocking_driver, "ACK_PATIENCE_S", 5.0)
    monkeypatch.setattr(blocking_driver, "_drivers", weakref.WeakSet())
    endpoint = "ipc:///nowhere"
    drivers = [BlockingDriver(Conversation(endpoint, 1.0, Absence(endpoint)), lambda: [ending]) for _ in range(3)]
    blocking_driver._end_with_process()
    for driver in drivers:
        driver.close()
    assert left == [5.0, 2.0]
