"""Batches that are pulled ahead: kept for a worker that is busy, until it begins them or somebody else can use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_serve import Bench, BenchMaker, short

from shardwatch.aggregator.server import ahead as ahead_of_serve


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    """Six files in three batches of two."""
    return make_bench(6, batch_size_max=2, lease_ms=10_000, attempts_max=2)


def ahead(bench: Bench, **fields: Any) -> dict[str, Any]:
    """A batch that was pulled ahead by a worker that has another one."""
    reply = bench.ask("pull", group="g", ahead=True, **fields)
    assert reply["batch"] is not None, reply
    batch: dict[str, Any] = reply["batch"]
    return batch


def begin(bench: Bench, batch: dict[str, Any]) -> str:
    """What the service says to a worker that begins it: "ok", or an error."""
    reply = bench.ask("extend", group="g", batch=batch["id"])
    return "ok" if reply["ok"] else reply["error"]


def taken(bench: Bench, **fields: Any) -> list[tuple[str, str]]:
    """What a pull is handed."""
    batch = bench.pull(**fields)
    return [] if batch is None else short(batch["events"])


def test_what_is_pulled_ahead_is_kept_while_there_is_more(bench: Bench) -> None:
    """Others get what follows, and it is on lease once it is begun; it is said in the reply and in `groups`."""
    first = bench.pull()
    kept = ahead(bench)
    assert first is not None and "ahead" not in first
    assert (short(kept["events"]), kept["ahead"], kept["more"]) == ([("created", "/r/2"), ("created", "/r/3")], True, True)
    assert [lease.get("ahead") for lease in bench.group()["leases"]] == [None, True]
    assert taken(bench) == [("created", "/r/4"), ("created", "/r/5")]
    assert begin(bench, kept) == "ok"
    assert [lease.get("ahead") for lease in bench.group()["leases"]] == [None, None, None]
    assert taken(bench) == []
    assert bench.ack(kept)["ok"]


def test_a_worker_that_is_free_gets_it(bench: Bench) -> None:
    """As its first attempt, once nothing else is left; whoever pulled it ahead can't begin it then."""
    bench.pull()
    kept = ahead(bench)
    bench.pull()
    stolen = bench.pull()
    assert stolen is not None
    assert (short(stolen["events"]), stolen["attempt"]) == (short(kept["events"]), 1)
    assert begin(bench, kept) == "lease_expired"
    assert not bench.ack(kept)["ok"]
    assert bench.ask("pull", group="g", ahead=True)["why"] == "empty"
    assert bench.ack(stolen)["ok"]


def test_a_worker_is_free_also_where_no_more_leases_may_be(tmp_path: Path) -> None:
    """What is only kept does not keep others from working."""
    bench = Bench(tmp_path / "groups.db", batch_size_max=1, leases_max=2)
    for number in range(3):
        bench.index.put(b"/r/%d" % number)
    bench.pull()
    kept = ahead(bench)
    assert bench.ask("pull", group="g", ahead=True)["why"] == "leases"
    assert taken(bench) == [("created", "/r/1")]
    assert begin(bench, kept) == "lease_expired"


def test_a_pull_that_waits_comes_first(tmp_path: Path) -> None:
    """Nothing is kept while somebody else waits, and a pull ahead never waits itself."""
    bench = Bench(tmp_path / "groups.db")
    bench.index.put(b"/r/0")
    bench.pull()
    waits = bench.send("pull", group="g", wait_ms=60_000)
    assert bench.ask("pull", group="g", ahead=True, wait_ms=60_000)["why"] == "turn"
    bench.index.put(b"/r/1")
    bench.commit()
    assert short(bench.replies[waits]["batch"]["events"]) == [("created", "/r/1")]


def test_the_end_of_its_lease_is_no_failure(bench: Bench) -> None:
    """However often: whoever never began it did not fail at it."""
    bench.pull(peek=True)
    for _ in range(3):
        kept = ahead(bench)
        assert kept["attempt"] == 1
        bench.advance(11)
        assert begin(bench, kept) == "lease_expired"
    assert [batch["attempt"] for _ in range(3) if (batch := bench.pull())] == [1, 1, 1]


def test_its_time_begins_when_it_is_begun(bench: Bench) -> None:
    """And from then on the end of the lease counts."""
    bench.pull(peek=True)
    kept = ahead(bench)
    bench.advance(9)
    assert begin(bench, kept) == "ok"
    bench.advance(9)
    assert begin(bench, kept) == "ok"
    bench.advance(11)
    again = bench.pull()
    assert again is not None
    assert (short(again["events"]), again["attempt"]) == (short(kept["events"]), 2)


@pytest.mark.parametrize("begun", [False, True])
def test_a_worker_that_goes_away(bench: Bench, begun: bool) -> None:
    """What it has not begun is free at once, and not before its lease ends if it has."""
    bench.pull(peek=True)
    kept = ahead(bench)
    if begun:
        assert begin(bench, kept) == "ok"
    bench.server.departed([b"somebody else"], [])
    assert [lease["batch"] for lease in bench.group()["leases"]] == [kept["id"]]
    bench.server.departed([b"peer"], [])
    bench.server.departed([b"peer"], [])
    assert len(bench.group()["leases"]) == begun
    assert taken(bench) == [("created", f"/r/{n}") for n in ((2, 3) if begun else (0, 1))]


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_restart_of_the_service(bench: Bench, clean: bool, begun: bool) -> None:
    """What was begun is on lease still. What was not is handed out at once, to anybody, and can't be begun."""
    bench.pull(peek=True)
    kept = ahead(bench)
    if begun:
        assert begin(bench, kept) == "ok"
    bench.server.registry.shift(1.0)  # as after a stall: all leases end later
    bench.server.handle([b"peer", b"0"], b"{}")
    for _ in range(2):
        if clean:
            bench.restart()
        else:
            bench.crash()
    if begun:
        assert taken(bench) == [("created", "/r/2"), ("created", "/r/3")]
        assert bench.ack(kept)["ok"]
        return
    assert begin(bench, kept) == "lease_expired"
    refused = bench.ack(kept)
    assert "the service was restarted" in refused["message"]
    again = bench.pull()
    assert again is not None
    assert (short(again["events"]), again["attempt"]) == (short(kept["events"]), 1)
    assert not bench.ack(kept)["ok"]


def test_a_hold_takes_it_back(bench: Bench) -> None:
    """Nobody begins anything while batches are held back; what completes the hold is marked when it comes again."""
    bench.pull(peek=True)
    kept = ahead(bench)
    assert bench.ask("hold", name="make", lease_ms=60_000)["ok"]
    assert begin(bench, kept) == "lease_expired"
    assert bench.ask("pull", group="g", ahead=True)["why"] == "held"
    assert bench.ask("unhold", name="make")["ok"]
    bench.advance(0.01)
    bench.engine.syncs = {token: {"ok": True} for token in bench.engine.syncs}
    bench.advance(0.01)
    assert [bench.pull() is not None for _ in range(2)] == [True, True]
    last = ahead(bench)
    assert last["settled"]
    stolen = bench.pull()
    assert stolen is not None and stolen["settled"]


def test_a_lock_takes_it_back(bench: Bench) -> None:
    """Also a hold that nobody asked for."""
    bench.pull(peek=True)
    kept = ahead(bench)
    bench.engine.held_locks = {b"/r/.git/index.lock"}
    bench.advance(0.01)
    assert begin(bench, kept) == "lease_expired"


def test_what_must_be_forgotten_is_not_pulled_ahead(bench: Bench) -> None:
    """A reset revokes what is kept, and the notice goes to a worker that asks for something to do."""
    bench.pull(peek=True)
    kept = ahead(bench)
    assert bench.ask("reset", group="g")["ok"]
    assert begin(bench, kept) == "lease_expired"
    assert bench.ask("pull", group="g", ahead=True)["why"] == "fresh"
    assert taken(bench) == [("fresh", "")]


def test_no_group_is_made_by_it(bench: Bench) -> None:
    """One that is gone is made anew by a pull that is told so; a peek is a peek."""
    assert bench.ask("pull", group="g", ahead=True)["error"] == "unknown_group"
    bench.pull()
    assert bench.ask("pull", group="g", ahead=True, peek=True)["batch"]["id"] is None
    kept = ahead(bench)
    assert bench.ask("drop", group="g")["ok"]
    assert begin(bench, kept) == "unknown_group"


def test_whoever_says_something_of_it_has_begun_it(bench: Bench) -> None:
    """An acknowledgement of some rows, and a failure of some; what is done is never handed out again, also after a crash."""
    bench.pull(peek=True)
    kept = ahead(bench)
    assert bench.ask("ack", group="g", batch=kept["id"], ticks=[kept["events"][0]["tick"]])["ok"]
    bench.server.departed([b"peer"], [])
    bench.crash()
    assert taken(bench) == [("created", "/r/2"), ("created", "/r/3")]
    assert bench.ack(kept)["ok"]
    other = ahead(bench)
    assert bench.ask("nack", group="g", batch=other["id"], ticks=[other["events"][0]["tick"]], retry_ms=0)["ok"]
    assert taken(bench) == [("created", "/r/4")]
    assert bench.ask("release", group="g", batch=other["id"])["released"] == 1


def test_a_change_waits_for_what_is_kept(bench: Bench) -> None:
    """A path is at one worker at a time: its next state comes when this one is done, or in its place if it is given back."""
    bench.pull(peek=True)
    kept = ahead(bench)
    bench.index.put(b"/r/0", size=2)
    bench.commit()
    rest = [event for _ in range(2) for event in taken(bench)]
    assert ("modified", "/r/0") not in rest and len(rest) == 4
    assert taken(bench) == [("created", "/r/1")]  # what was kept, without the row that has moved on
    assert taken(bench) == [("modified", "/r/0")]
    assert begin(bench, kept) == "lease_expired"


def test_a_worker_releases_all_that_it_has(bench: Bench) -> None:
    """By its name, what is kept for it too."""
    bench.pull(worker="w")
    ahead(bench, worker="w")
    assert bench.ask("release", group="g", worker="w")["released"] == 2


def together(bench: Bench, *requests: dict[str, Any]) -> list[int]:
    """Sends requests that come at the same time; the ids of those that are answered in the same turn."""
    bench.replies.clear()
    bodies = []
    for request in requests:
        bench.number += 1
        bodies.append(([b"peer", b"%d" % bench.number], msgspec.msgpack.encode({"id": bench.number, "group": "g", **request})))
    first = bench.number - len(requests) + 1
    bench.take(bench.server.handle_many(bodies))
    return [number - first for number in bench.replies]


AHEAD = {"op": "pull", "ahead": True}


def test_who_else_asks_is_answered_before_a_batch_is_made_ahead(bench: Bench) -> None:
    """In the turn after that it is made, before anything else: it may be begun in that turn. Alone it is made at once."""
    first = bench.pull()
    assert first is not None
    assert together(bench, AHEAD) == [0]
    assert together(bench, {"op": "ack", "batch": first["id"], "begin": True}, AHEAD) == [0]
    begun = bench.replies[bench.number - 1]["begun"]
    assert begun is not None and bench.server.next_due() == 0.0
    assert together(bench, {"op": "ack", "batch": begun, "begin": True}, AHEAD) == [-1, 0]
    assert bench.replies[bench.number - 2]["batch"]["id"] == bench.replies[bench.number - 1]["begun"]
    bench.commit()
    assert bench.replies[bench.number]["why"] == "empty"
    assert bench.server.next_due() > 0.0


def test_what_is_put_off_is_bounded_and_forgotten_with_its_connection(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound it is made at once; at the end, and without its group, it is refused."""
    monkeypatch.setattr(ahead_of_serve, "LATER_MAX", 1)
    bench.pull(peek=True)
    assert together(bench, {"op": "hello"}, AHEAD, AHEAD) == [0, 2]
    bench.server.departed([b"peer"], [])
    bench.take(bench.server.tick())
    assert len(bench.replies) == 2
    assert together(bench, {"op": "drop"}, AHEAD) == [0]
    bench.take(bench.server.tick())
    assert bench.replies[bench.number]["error"] == "unknown_group"
    assert together(bench, {"op": "hello"}, AHEAD) == [0]
    bench.take(bench.server.close())
    assert bench.replies[bench.number]["error"] == "stopping"
