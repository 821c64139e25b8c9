"""Pulls that come again because the reply to them was lost: they are handed what the first was handed."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from harness_serve import Bench, BenchMaker, short


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    """Three files, one to a batch."""
    return make_bench(3, batch_size_max=1, lease_ms=600_000, attempts_max=2)


def pulled(bench: Bench, **fields: Any) -> dict[str, Any]:
    """The batch of a pull that hands something out."""
    batch = bench.pull(**fields)
    assert batch is not None
    return batch


def paths(batch: dict[str, Any]) -> list[str]:
    return [path for _, path in short(batch["events"])]


@pytest.mark.parametrize("crash", [True, False])
def test_a_pull_that_comes_again_is_handed_the_same(bench: Bench, crash: bool) -> None:
    """At once, on a new connection, and also after a crash of the service. It is another batch, and the first is over."""
    first = pulled(bench, worker="w", once=7)
    if crash:
        bench.crash()
    bench.peer = b"another"
    again = pulled(bench, worker="w", once=7)
    assert (paths(again), again["attempt"]) == (["/r/0"], 1)
    refused = bench.ack(first)
    assert (refused["error"], "came again" in refused["message"]) == ("lease_expired", True)
    assert bench.ack(again)["ok"]
    assert [event["path"] for event in bench.drain()] == ["/r/1", "/r/2"]


def test_one_of_the_same_connection_is_not_taken_back(bench: Bench) -> None:
    """The reply to the first comes before that to the second."""
    first = pulled(bench, once=7)
    assert paths(pulled(bench, once=7)) == ["/r/1"]
    assert bench.ack(first)["ok"]


@pytest.mark.parametrize("other", [{"worker": "w", "once": 8}, {"worker": "v", "once": 7}, {"worker": "w"}])
def test_another_pull_is_handed_something_else(bench: Bench, other: dict[str, Any]) -> None:
    """Of another number or another worker."""
    first = pulled(bench, worker="w", once=7)
    bench.peer = b"another"
    assert paths(pulled(bench, **other)) == ["/r/1"]
    assert bench.ack(first)["ok"]


def test_what_is_over_does_not_come_again(bench: Bench) -> None:
    """Whatever became of it."""
    first = pulled(bench, once=7)
    assert bench.ack(first)["ok"]
    second = pulled(bench, once=8)
    bench.ask("nack", group="g", batch=second["id"], retry_ms=1000)
    bench.peer = b"another"
    assert paths(pulled(bench, once=7)) == ["/r/2"]
    assert bench.pull(once=8) is None
    bench.advance(2)
    assert pulled(bench, once=8)["attempt"] == 2
    bench.ask("reset", group="g")
    assert pulled(bench, once=8)["events"][0]["type"] == "fresh"
    bench.peer = b"a third"
    assert pulled(bench, once=8)["events"][0]["type"] == "fresh"


def test_what_was_pulled_ahead_and_has_begun_comes_again(bench: Bench) -> None:
    """The worker has heard nothing of it: neither the reply to its pull, nor that to the request with which it has begun."""
    first = pulled(bench, worker="w", once=7)
    pulled(bench, worker="w", once=8, ahead=True)
    assert bench.ask("ack", group="g", batch=first["id"], begin=True)["begun"] is not None
    bench.crash()
    bench.peer = b"another"
    assert paths(pulled(bench, worker="w", once=8, ack=first["id"])) == ["/r/1"]


def test_who_has_waited_gets_what_came_free(bench: Bench) -> None:
    """A pull that comes again stands behind those who wait."""
    for number in range(3):
        pulled(bench, once=1 + number)
    waits = bench.send("pull", group="g", worker="v", wait_ms=60_000)
    bench.peer = b"another"
    assert bench.ask("pull", group="g", once=1)["batch"] is None
    assert paths(bench.replies.pop(waits)["batch"]) == ["/r/0"]


def test_a_commit_that_fails_and_is_there_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk without room for SQLite's other files: the worker is refused, and a start finds its batch on lease."""
    bench.pull(peek=True)
    commit = bench.store.commit

    def refused() -> None:
        commit()
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "commit", refused)
        assert bench.ask("pull", group="g", once=7)["error"] == "storage"
    bench.crash()
    assert [lease["paths"] for lease in bench.group()["leases"]] == [1]
    assert paths(pulled(bench, once=7)) == ["/r/0"]


@pytest.mark.parametrize("wrong", [0, -1, 2**53, "7", 1.5])
def test_what_is_no_number_is_refused(bench: Bench, wrong: object) -> None:
    """Up to the largest whole number that JavaScript has."""
    assert bench.ask("pull", group="g", once=wrong)["error"] == "bad_field"
    assert bench.ask("pull", group="g", from_="start", once=2**53 - 1)["batch"] is not None
