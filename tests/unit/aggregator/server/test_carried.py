"""Acknowledgements that a pull carries: done first, told in its reply, and committed with it at the latest; and those with which
what was pulled ahead begins.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_serve import Bench, BenchMaker, short

from shardwatch.aggregator.groups.registry import PUT_OFF_S
from shardwatch.aggregator.protocol.messages import RefusedError
from shardwatch.aggregator.server.call import LeaseName


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    """Three files, one to a batch."""
    return make_bench(3, batch_size_max=1, lease_ms=600_000, attempts_max=2)


def pulled(bench: Bench, **fields: Any) -> dict[str, Any]:
    """The reply to a pull that hands something out."""
    reply = bench.ask("pull", group="g", from_="start", **fields)
    assert reply["ok"] and reply["batch"] is not None, reply
    return reply


def on_lease(bench: Bench) -> list[str]:
    return [lease["batch"] for lease in bench.group()["leases"]]


def test_a_pull_acknowledges_and_hands_out(bench: Bench) -> None:
    """In one request. A request that does not name the field has the reply that it always had."""
    first = pulled(bench)
    assert "acked" not in first
    second = pulled(bench, ack=first["batch"]["id"])
    assert (second["acked"], short(second["batch"]["events"])) == (True, [("created", "/r/1")])
    assert on_lease(bench) == [second["batch"]["id"]]
    assert pulled(bench, ack=first["batch"]["id"])["acked"]  # a repetition is one


def test_a_pull_that_names_none_is_told_that_it_could(bench: Bench) -> None:
    """In every kind of reply; so a client learns what the service knows."""
    assert pulled(bench, ack=None)["acked"] is None
    assert bench.ask("pull", group="g", ack=None, ahead=True)["acked"] is None
    pulled(bench)
    assert bench.ask("pull", group="g", ack=None)["acked"] is None


def test_what_comes_too_late_refuses_nothing(bench: Bench) -> None:
    """The batch is handed out again, and the reply says that it was not acknowledged."""
    first = pulled(bench, lease_ms=1000)["batch"]
    bench.advance(2)
    again = pulled(bench, ack=first["id"])
    assert (again["acked"], short(again["batch"]["events"]), again["batch"]["attempt"]) == (False, [("created", "/r/0")], 2)
    bench.ask("drop", group="g")
    anew = pulled(bench, ack=again["batch"]["id"])
    assert (anew["created"], anew["acked"]) == (True, False)


@pytest.mark.parametrize("wrong", ["no id", 7, "x" * 1000])
def test_what_is_no_id_is_refused(bench: Bench, wrong: object) -> None:
    """And nothing is handed out."""
    pulled(bench)
    assert bench.ask("pull", group="g", ack=wrong)["error"] == "bad_field"
    assert len(on_lease(bench)) == 1


def test_what_has_begun_for_a_worker_that_is_gone_is_free_at_once(bench: Bench) -> None:
    """As what was handed out is, if the reply that says so can't be sent. An ack that begins nothing hands out nothing."""
    first = pulled(bench)["batch"]["id"]
    kept = pulled(bench, ahead=True)["batch"]["id"]
    (reply,) = bench.server.handle(*bench.body("ack", group="g", batch=first, begin=True))
    assert reply.lease == LeaseName("g", kept)
    bench.server.undelivered(reply.lease)
    assert (on_lease(bench), bench.group()["backlog"]) == ([], 2)
    again = pulled(bench)["batch"]
    assert (short(again["events"]), again["attempt"]) == ([("created", "/r/1")], 1)
    for fields in ({}, {"begin": True}):
        (reply,) = bench.server.handle(*bench.body("ack", group="g", batch=again["id"], **fields))
        assert reply.lease is None


def test_what_was_pulled_ahead_begins_with_the_end_of_the_batch_before(bench: Bench) -> None:
    """In one request, which need not name it. A request that does not say so has the reply that it always had."""
    first = pulled(bench)["batch"]["id"]
    kept = pulled(bench, ahead=True)["batch"]["id"]
    reply = bench.ask("ack", group="g", batch=first, begin=True, lease_ms=5000)
    assert (reply["ok"], reply["begun"]) == (True, kept)
    (lease,) = bench.group()["leases"]
    assert (lease["batch"], lease.get("ahead"), lease["ends_in_s"]) == (kept, None, 5.0)
    bench.crash()
    assert on_lease(bench) == [kept]
    reply = bench.ask("ack", group="g", batch=kept, begin=True)
    assert (reply["ok"], reply["begun"]) == (True, None)
    assert "begun" not in bench.ask("ack", group="g", batch=kept)


def test_only_what_was_pulled_ahead_on_the_same_connection_begins(bench: Bench) -> None:
    """And nothing does if the ack is refused."""
    first = pulled(bench)["batch"]["id"]
    kept = pulled(bench, ahead=True)["batch"]["id"]
    body = {"op": "ack", "id": 0, "group": "g", "batch": first, "begin": True}
    (other,) = bench.server.handle([b"another", b"0"], msgspec.msgpack.encode(body))
    assert msgspec.msgpack.decode(other.body)["begun"] is None
    bench.ask("release", group="g", batch=kept)
    kept = pulled(bench, ahead=True)["batch"]["id"]
    assert bench.ask("ack", group="g", batch="x-1", begin=True)["error"] == "lease_expired"
    assert [lease["ahead"] for lease in bench.group()["leases"]] == [True]


def test_a_pull_that_waits_frees_what_others_wait_for(tmp_path: Path) -> None:
    """The next state of a path goes to the worker that has waited longest."""
    bench = Bench(tmp_path / "groups.db")
    bench.index.put(b"/r/0")
    first = pulled(bench)["batch"]["id"]
    bench.index.put(b"/r/0", size=2)
    waits = bench.send("pull", group="g", wait_ms=60_000)
    mine = bench.send("pull", group="g", wait_ms=60_000, ack=first)
    assert short(bench.replies[waits]["batch"]["events"]) == [("modified", "/r/0")]
    assert mine not in bench.replies
    bench.index.put(b"/r/1")
    bench.commit()
    assert (bench.replies[mine]["acked"], short(bench.replies[mine]["batch"]["events"])) == (True, [("created", "/r/1")])


def waiting(bench: Bench) -> str:
    """The last batch, acknowledged with a pull that waits: nobody was told of it."""
    for _ in range(3):
        last: str = pulled(bench)["batch"]["id"]
    assert bench.send("pull", group="g", wait_ms=600_000, ack=last) not in bench.replies
    return last


def test_until_somebody_is_answered_it_may_be_committed_later(bench: Bench) -> None:
    """If the service is killed before, the batch is on lease still, and the worker asks again. It is durable 2 s later."""
    last = waiting(bench)
    bench.crash()
    assert bench.send("pull", group="g", wait_ms=600_000, ack=last) not in bench.replies
    bench.advance(PUT_OFF_S + 1)
    bench.crash()
    assert last not in on_lease(bench)
    assert bench.ask("ack", group="g", batch=last)["repeated"]


@pytest.mark.parametrize("what", ["a reply to anybody", "a change of anything else", "the end of the service"])
def test_it_is_committed_with_whatever_comes_first(bench: Bench, what: str) -> None:
    """What one reply has told, no crash takes back."""
    last = waiting(bench)
    match what:
        case "a reply to anybody":
            bench.ask("hello")
            bench.crash()
        case "a change of anything else":
            bench.send("pull", group="another", wait_ms=600_000)
            bench.crash()
        case _:
            bench.restart()
    assert last not in on_lease(bench)


def test_nobody_is_told_of_it_if_the_disk_refuses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither whoever was answered then nor the pull that waits, and everything is as it was last committed."""
    last = waiting(bench)

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "commit", full)
        assert bench.ask("hello")["error"] == "storage"
        bench.take(bench.server.close(RefusedError("storage", "the disk is full", "free some space")))
    assert [reply["error"] for reply in bench.replies.values()] == ["storage"]
    bench.crash()
    assert last in on_lease(bench)
    assert bench.ask("ack", group="g", batch=last)["ok"]
