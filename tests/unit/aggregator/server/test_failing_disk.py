"""What becomes of requests when a disk fails while they are carried out: each is answered, once, and nothing is said that is not
so. Until then its worker would wait as long as for a service that hangs.
"""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn

import pytest
from harness_serve import Bench, BenchMaker

from shardwatch.aggregator.protocol.messages import RefusedError

FULL = RefusedError("storage", "the disk is full", "free some space")


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    """Three files, one to a batch."""
    return make_bench(3, batch_size_max=1)


def fail(*_: Any, **__: Any) -> NoReturn:
    raise sqlite3.OperationalError("disk I/O error")


def answers(bench: Bench) -> list[str]:
    """What those who have not been answered are told when the databases are let go of."""
    bench.take(bench.server.close(FULL))
    return [reply.get("error", "ok") for _, reply in sorted(bench.replies.items())]


def test_who_asks_when_the_index_can_not_be_read_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what waited before, and what was answered in the same turn."""
    bench.send("pull", group="new", wait_ms=60_000)
    monkeypatch.setattr(bench.index, "pending", fail)
    with pytest.raises(sqlite3.OperationalError):
        bench.send("pull", group="g", from_="start")
    assert answers(bench) == ["storage"] * 2


def test_who_has_pulled_ahead_is_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a pull is carried out in a turn of its own, where somebody else is answered in its own."""
    bench.pull()
    requests = [bench.body("hello"), bench.body("pull", group="g", ahead=True)]
    bench.take(bench.server.handle_many(requests))
    assert [reply["ok"] for reply in bench.replies.values()] == [True]
    monkeypatch.setattr(bench.index, "pending", fail)
    with pytest.raises(sqlite3.OperationalError):
        bench.server.tick()
    assert answers(bench) == ["ok", "storage"]


def test_who_waits_already_is_answered_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync is begun, and the plan that it goes by can't be taken over."""
    monkeypatch.setattr(bench.engine, "begin_sync", fail)
    with pytest.raises(sqlite3.OperationalError):
        bench.send("sync")
    assert answers(bench) == ["storage"]


def test_nobody_hears_of_a_group_that_the_index_does_not_know(bench: Bench) -> None:
    """Of what is committed by then the worker hears when it asks again."""
    bench.keep = fail
    number = bench.send("pull", group="g", from_="start", once=1)
    assert bench.replies.pop(number)["error"] == "storage"
    assert isinstance(bench.server.failed, sqlite3.OperationalError)
    bench.keep = lambda: None
    bench.crash()
    again = bench.pull(once=1)
    assert again is not None and again["events"][0]["path"] == "/r/0"


@pytest.mark.parametrize("paths", [1, 2])
def test_what_was_done_by_half_is_not_stored(make_bench: BenchMaker, monkeypatch: pytest.MonkeyPatch, paths: int) -> None:
    """A path has failed as often as is allowed, alone or as one of a batch, and its row can't be read: it is not handed out again
    by then, and not set aside yet. If that were stored, nobody would ever be told of it again."""
    bench = make_bench(paths, batch_size_max=paths, attempts_max=1)
    batch = bench.pull()
    assert batch is not None
    first = batch["events"][0]
    failed: dict[str, Any] = {"group": "g", "batch": batch["id"]} | ({"ticks": [first["tick"]]} if paths > 1 else {})
    with monkeypatch.context() as patch:
        patch.setattr(bench.index, "rows_at", fail)
        with pytest.raises(sqlite3.OperationalError):
            bench.send("nack", **failed)
    assert answers(bench) == ["storage"]
    bench.replies.clear()
    bench.crash()
    assert bench.ask("nack", **failed)["ok"]
    assert [path["path"] for path in bench.group()["parked"]] == [first["path"]]
