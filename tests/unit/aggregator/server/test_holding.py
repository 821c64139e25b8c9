"""Batches that are held back, through requests: what a pull says, what goes on meanwhile, and which batch is the last."""

from __future__ import annotations

from typing import Any

import pytest
from harness_serve import Bench, BenchMaker, short

LOCK = b"/r/.git/index.lock"


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench(lease_ms=3000, leases_max=8, batch_size_max=2, hold_ms_max=10_000)


def change(bench: Bench, *names: str) -> None:
    for name in names:
        bench.index.put(b"/r/" + name.encode(), size=bench.index.tick + 1)
    bench.commit()


def synced(bench: Bench) -> None:
    """Every sync that was begun is answered, and noticed."""
    bench.advance(0.02)
    for token in bench.engine.syncs:
        bench.engine.syncs[token] = {"ok": True}
    bench.advance(0.02)


def why(bench: Bench, **fields: Any) -> str:
    reply = bench.ask("pull", group="g", **fields)
    assert reply["batch"] is None
    return str(reply["why"])


@pytest.fixture
def begun(bench: Bench) -> Bench:
    """A bench whose group `g` has nothing pending."""
    assert bench.pull() is None
    return bench


def test_nothing_comes_while_it_is_held_then_all_of_it(begun: Bench) -> None:
    """In contiguous batches, of which the last says so; later ones do not."""
    reply = begun.ask("hold", name="make", lease_ms=5000)
    assert (reply["ok"], reply["name"], reply["lease_ms"], reply["spent"], reply["hold_ms_max"]) == (
        True, "make", 5000, False, 10_000,
    )  # fmt: skip
    change(begun, "a", "b", "c")
    assert why(begun) == "held" and why(begun, peek=True) == "held"
    assert begun.ask("unhold", name="make")["released"]
    assert why(begun) == "held", "what happened under it may not have been looked at"
    change(begun, "d", "e")
    synced(begun)
    change(begun, "later")
    batches = [begun.pull() for _ in range(3)]
    assert begun.pull() is None
    assert [(short(b["events"]), b.get("settled")) for b in batches if b] == [
        ([("created", "/r/a"), ("created", "/r/b")], None),
        ([("created", "/r/c"), ("created", "/r/d")], None),
        ([("created", "/r/e"), ("created", "/r/later")], True),
    ]


def test_a_pull_that_waits_is_served_at_the_end(begun: Bench) -> None:
    """It waits through the hold; one whose time is up is told that batches are held back."""
    begun.ask("hold", name="make", lease_ms=5000)
    short_wait = begun.send("pull", group="g", wait_ms=1000)
    long_wait = begun.send("pull", group="g", wait_ms=60_000)
    change(begun, "a")
    begun.advance(1.1)
    assert begun.replies.pop(short_wait)["why"] == "held"
    begun.ask("unhold", name="make")
    synced(begun)
    batch = begun.replies.pop(long_wait)["batch"]
    assert short(batch["events"]) == [("created", "/r/a")] and batch["settled"]


def test_leases_go_on_while_it_is_held(bench: Bench) -> None:
    """Acks, nacks and syncs are answered; what fails meanwhile comes after the hold, and the last batch waits for it."""
    change(bench, "a", "b", "c")
    first, second = bench.pull(), bench.pull()
    assert first and second
    bench.ask("hold", name="make", lease_ms=60_000)
    assert bench.ack(first)["ok"]
    assert bench.ask("extend", group="g", batch=second["id"])["ok"]
    assert bench.ask("nack", group="g", batch=second["id"], retry_ms=0)["ok"]
    assert why(bench) == "held"
    sync = bench.send("sync")
    change(bench, "d")
    synced(bench)
    assert bench.replies.pop(sync)["ok"]
    bench.ask("unhold", name="make")
    synced(bench)
    again, new = bench.pull(), bench.pull()
    assert again and new
    assert (again["attempt"], again.get("settled")) == (2, None)
    assert new["settled"] is True


def test_the_last_batch_is_said_again_when_it_failed(begun: Bench) -> None:
    """Its worker died: who gets it next must hear it too. Once it is acked, nobody does."""
    begun.ask("hold", name="make", lease_ms=60_000)
    change(begun, "a")
    begun.ask("unhold", name="make")
    synced(begun)
    batch = begun.pull()
    assert batch and batch["settled"]
    change(begun, "b")
    beside = begun.pull()
    assert beside and "settled" not in beside
    begun.advance(3.1)
    again = [begun.pull(), begun.pull()]
    assert [(short(b["events"]), b.get("settled")) for b in again if b] == [
        ([("created", "/r/a")], True), ([("created", "/r/b")], None),
    ]  # fmt: skip
    for b in again:
        assert b and begun.ack(b)["ok"]
    change(begun, "c")
    late = begun.pull()
    assert late and "settled" not in late


def test_a_path_on_lease_belongs_to_the_last_batch(bench: Bench) -> None:
    """It changed under the hold, and comes when its lease ends: then, and not before, all is handed out."""
    change(bench, "a")
    leased = bench.pull()
    bench.ask("hold", name="make", lease_ms=60_000)
    change(bench, "a", "b")
    bench.ask("unhold", name="make")
    synced(bench)
    first = bench.pull()
    assert leased and first and short(first["events"]) == [("created", "/r/b")] and "settled" not in first
    bench.ack(leased)
    last = bench.pull()
    assert last and short(last["events"]) == [("modified", "/r/a")] and last["settled"]


def test_a_hold_under_which_nothing_happened_marks_nothing(begun: Bench) -> None:
    """The next change is no part of it."""
    begun.ask("hold", name="make", lease_ms=5000)
    begun.ask("unhold", name="make")
    synced(begun)
    change(begun, "a")
    batch = begun.pull()
    assert batch and "settled" not in batch


def test_what_came_and_went_marks_nothing_either(begun: Bench) -> None:
    """The pull that finds nothing says as much."""
    begun.ask("hold", name="make", lease_ms=5000)
    change(begun, "a")
    begun.index.remove(b"/r/a")
    begun.commit()
    begun.ask("unhold", name="make")
    synced(begun)
    assert why(begun) == "empty"
    change(begun, "b")
    batch = begun.pull()
    assert batch and "settled" not in batch


def test_a_dead_holder_lets_go(begun: Bench) -> None:
    """Its lease ends."""
    begun.ask("hold", name="make", lease_ms=1000)
    change(begun, "a")
    begun.advance(0.9)
    assert why(begun) == "held"
    begun.advance(0.2)
    synced(begun)
    batch = begun.pull()
    assert batch and batch["settled"]


def test_a_lock_file_holds(begun: Bench) -> None:
    """As soon as a shard has said that it is there, in the very commit that brings the first change."""
    begun.engine.held_locks = {LOCK}
    waiting = begun.send("pull", group="g", wait_ms=60_000)
    change(begun, "a")
    assert waiting not in begun.replies and why(begun) == "held"
    begun.engine.held_locks = set()
    change(begun, "b")
    synced(begun)
    batch = begun.replies.pop(waiting)["batch"]
    assert short(batch["events"]) == [("created", "/r/a"), ("created", "/r/b")] and batch["settled"]


def test_the_cap(begun: Bench) -> None:
    """Batches flow although the lock is there, and status says so; its end is told nevertheless."""
    begun.engine.held_locks = {LOCK}
    change(begun, "a")
    waiting = begun.send("pull", group="g", wait_ms=60_000)
    begun.advance(9.9)
    assert waiting not in begun.replies
    begun.advance(0.2)
    batch = begun.replies.pop(waiting)["batch"]
    assert batch and "settled" not in batch
    status = begun.ask("status")["status"]
    assert (status["held"], [h["spent"] for h in status["holds"]]) == (False, [True])
    assert begun.ask("hold", name="late", lease_ms=1000)["spent"] is False
    assert why(begun) == "held"


def test_a_sync_that_nobody_answers_ends_nothing_by_itself(begun: Bench) -> None:
    """Its failure does: a shard that hangs must not hold batches back."""
    begun.ask("hold", name="make", lease_ms=60_000)
    change(begun, "a")
    begun.ask("unhold", name="make")
    begun.advance(0.02)
    assert why(begun) == "held"
    begun.engine.syncs = {token: {"ok": False, "error": "no answer from s0"} for token in begun.engine.syncs}
    begun.advance(0.02)
    assert begun.pull()


def test_groups_and_status_say_who_holds(begun: Bench) -> None:
    """By name, with its age and its end."""
    begun.ask("hold", name="make", lease_ms=5000)
    begun.advance(2)
    hold = {"name": "make", "kind": "lease", "held_s": 2.0, "ends_in_s": 3.0, "spent": False}
    for found in (begun.ask("groups"), begun.ask("status")["status"]):
        assert (found["held"], found["holds"]) == (True, [hold])


def test_who_waits_for_the_baseline_is_not_told_of_a_last_batch(bench: Bench) -> None:
    """A group from now begins after all that."""
    bench.engine.is_ready = False
    assert bench.pull("now", from_="now") is None
    bench.ask("hold", name="make", lease_ms=5000)
    change(bench, "a")
    bench.ask("unhold", name="make")
    synced(bench)
    bench.engine.is_ready = True
    bench.commit()
    change(bench, "b")
    batch = bench.pull("now")
    assert batch and short(batch["events"]) == [("created", "/r/b")] and "settled" not in batch


def test_fresh_comes_before_the_last_batch(bench: Bench) -> None:
    """A group that must forget everything has nothing of it yet."""
    change(bench, "a")
    assert bench.ask("drop", group="x")["error"] == "unknown_group"
    batch = bench.pull()
    assert batch and bench.ack(batch)["ok"]
    assert bench.ask("reset", group="g")["ok"]
    bench.ask("hold", name="make", lease_ms=5000)
    change(bench, "b")
    assert why(bench) == "held"
    bench.ask("unhold", name="make")
    synced(bench)
    fresh = bench.pull()
    assert fresh and short(fresh["events"]) == [("fresh", "")] and "settled" not in fresh
    bench.ack(fresh)
    rest = bench.pull()
    assert rest and len(rest["events"]) == 2 and rest["settled"]


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": " x"}, {"name": "a\nb"}, {"name": "x", "lease_ms": 0}, {}])
def test_holds_that_are_refused(bench: Bench, fields: dict[str, Any]) -> None:
    """Names are what a person can read and type back."""
    assert bench.ask("hold", **({"lease_ms": 1000} | fields))["error"] == "bad_field"


def test_too_many_holds_are_refused(bench: Bench) -> None:
    """`busy` passes by itself."""
    for n in range(100):
        assert bench.ask("hold", name=str(n), lease_ms=1000)["ok"]
    assert bench.ask("hold", name="more", lease_ms=1000)["error"] == "busy"
    bench.advance(1.1)
    assert bench.ask("hold", name="more", lease_ms=1000)["ok"]


def test_an_unknown_hold_is_over_already(bench: Bench) -> None:
    """A repeated request is none to complain about."""
    assert bench.ask("unhold", name="x")["released"] is False
