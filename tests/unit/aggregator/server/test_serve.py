"""The extract socket's requests without a socket: replies, long polls, wrong messages, restarts, a disk that refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_serve import Bench, BenchMaker, short
from hypothesis import given
from hypothesis import strategies as st
from told_index import ToldIndex

from shardwatch.aggregator.groups.unit_numbers import NUMBERS_RESERVED
from shardwatch.aggregator.protocol.bounds import REQUEST_BYTES_MAX
from shardwatch.aggregator.server import barriers, pulls, roster


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench(lease_ms=3000, leases_max=2)


@pytest.fixture
def bench_with_files(bench: Bench) -> Bench:
    for n in range(3):
        bench.index.put(b"/r/%d" % n, size=n + 1)
    return bench


def test_the_first_pull_makes_the_group(bench_with_files: Bench) -> None:
    """It says whether the group was made or found; a later `from` is ignored."""
    reply = bench_with_files.ask("pull", group="g", from_="start")
    assert (reply["created"], reply["existed"]) == (True, False)
    assert short(reply["batch"]["events"]) == [("created", "/r/0"), ("created", "/r/1"), ("created", "/r/2")]
    assert bench_with_files.ack(reply["batch"])["repeated"] is False
    again = bench_with_files.ask("pull", group="g", from_="start")
    assert (again["created"], again["existed"], again["batch"], again["why"]) == (False, True, None, "empty")


def test_a_group_can_be_made_before_its_first_pull(bench_with_files: Bench) -> None:
    """It begins then, and not at the pull; made again it stays where it is; its name is checked."""
    bench = bench_with_files
    assert bench.ask("create", group="now") | {"id": 0} == {"v": 1, "id": 0, "ok": True, "created": True, "existed": False}
    assert bench.ask("create", group="all", from_="start")["created"]
    bench.index.put(b"/r/later")
    reply = bench.ask("create", group="now", from_="start")
    assert (reply["created"], reply["existed"]) == (False, True)
    bench.crash()
    assert short(bench.drain("now")) == [("created", "/r/later")]
    assert [path for _, path in short(bench.drain("all"))] == ["/r/0", "/r/1", "/r/2", "/r/later"]
    assert bench.ask("create", group=" x")["error"] == "bad_group"
    assert bench.ask("create", group="x", from_="yesterday")["error"] == "bad_field"


def test_a_group_that_is_made_before_the_service_is_ready_begins_then(bench_with_files: Bench) -> None:
    """As with a pull: what the first scan finds is not told to it."""
    bench = bench_with_files
    bench.engine.is_ready = False
    bench.ask("create", group="g")
    bench.index.put(b"/r/scanned")
    bench.engine.is_ready = True
    bench.commit()
    bench.index.put(b"/r/later")
    assert short(bench.drain("g")) == [("created", "/r/later")]


def test_an_event_has_the_fields_of_watch(bench: Bench) -> None:
    """Exactly those that `watch --json` promises; of a deleted path size and time are null."""
    bench.index.put(b"/r/a", size=7)
    batch = bench.pull(json=True)
    assert batch is not None
    assert batch["events"] == [
        {
            "type": "event", "event_type": "created", "path": "/r/a", "is_directory": False, "size": 7, "mtime_ns": 7000,
            "tick": 1, "observed_at": 1.0,
        }
    ]  # fmt: skip
    bench.ack(batch)
    bench.index.remove(b"/r/a")
    gone = bench.pull()
    assert gone is not None
    assert (gone["events"][0]["size"], gone["events"][0]["mtime_ns"]) == (None, None)


def test_a_parked_pull_is_served_at_the_commit(bench: Bench) -> None:
    """A worker that waits is answered as soon as anything is pending, once."""
    number = bench.send("pull", group="g", from_="start", wait_ms=5000)
    assert number not in bench.replies
    bench.index.put(b"/r/a")
    bench.commit()
    assert short(bench.replies[number]["batch"]["events"]) == [("created", "/r/a")]
    bench.advance(10)


def test_a_wait_ends_with_a_null_batch(bench: Bench) -> None:
    """After wait_ms the answer is no batch, and why."""
    number = bench.send("pull", group="g", from_="start", wait_ms=2000)
    assert bench.server.next_due() <= 2.0
    bench.advance(1.9)
    assert number not in bench.replies
    bench.advance(0.2)
    assert (bench.replies[number]["batch"], bench.replies[number]["why"]) == (None, "empty")


def test_waiting_workers_are_served_in_turn(bench: Bench) -> None:
    """First come, first served; one that asks later does not overtake."""
    first = bench.send("pull", group="g", from_="start", wait_ms=5000, max=1)
    second = bench.send("pull", group="g", wait_ms=5000, max=1)
    bench.index.put(b"/r/a")
    bench.commit()
    assert first in bench.replies and second not in bench.replies
    bench.index.put(b"/r/b")
    bench.commit()
    assert short(bench.replies[second]["batch"]["events"]) == [("created", "/r/b")]


def test_an_ack_serves_who_waits_for_a_lease(bench_with_files: Bench) -> None:
    """At leases_max pulls wait, and the next ack lets one through in the same turn."""
    bench = bench_with_files
    batches = [bench.pull(max=1), bench.pull(max=1)]
    waiting = bench.send("pull", group="g", wait_ms=5000, max=1)
    assert bench.ask("pull", group="g")["why"] in ("leases", "empty")
    assert waiting not in bench.replies
    assert batches[0] is not None
    bench.ack(batches[0])
    assert short(bench.replies[waiting]["batch"]["events"]) == [("created", "/r/2")]


def test_an_expired_lease_goes_to_the_worker_that_waits(bench_with_files: Bench) -> None:
    """A worker killed before its ack: its batch goes to the other one by itself."""
    bench = bench_with_files
    lost = bench.pull(worker="dead")
    waiting = bench.send("pull", group="g", wait_ms=10_000, worker="alive")
    bench.advance(2.5)
    assert waiting not in bench.replies
    bench.advance(1)
    batch = bench.replies[waiting]["batch"]
    assert (len(batch["events"]), batch["attempt"]) == (3, 2)
    assert lost is not None
    refused = bench.ack(lost)
    assert (refused["ok"], refused["error"]) == (False, "lease_expired")
    assert "expired" in refused["message"] and refused["remedy"]


def test_a_late_ack_leaves_nothing_behind(bench_with_files: Bench) -> None:
    """The ack that finds its lease over makes the expiry durable, and serves who waits."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    waiting = bench.send("pull", group="g", wait_ms=10_000)
    bench.now += 3.1
    assert bench.ack(batch)["error"] == "lease_expired"
    assert bench.replies[waiting]["batch"]["attempt"] == 2
    bench.crash()
    assert "expired" in bench.ack(batch)["message"]


def test_a_nack_comes_back_after_its_pause(bench_with_files: Bench) -> None:
    """retry_ms overrides the pause; the reply says how long it is."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    reply = bench.ask("nack", group="g", batch=batch["id"], reason="boom", retry_ms=700)
    assert reply["retry_ms"] == 700
    waiting = bench.send("pull", group="g", wait_ms=5000)
    bench.advance(0.6)
    assert waiting not in bench.replies
    bench.advance(0.2)
    assert bench.replies[waiting]["batch"]["attempt"] == 2


def test_nothing_due_means_no_hurry(bench_with_files: Bench) -> None:
    """A unit that is due and that nobody pulls does not make the loop spin."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    bench.ask("nack", group="g", batch=batch["id"], retry_ms=0)
    bench.advance(1)
    assert bench.server.next_due() > 0.5


def test_a_poison_path_is_shown(tmp_path: Path) -> None:
    """`groups` and `status` list what was set aside, with the reason and the attempts; `retry` brings it back."""
    bench = Bench(tmp_path / "groups.db", attempts_max=2)
    bench.index.put(b"/r/bad")
    for _ in range(2):
        batch = bench.pull()
        assert batch is not None
        bench.ask("nack", group="g", batch=batch["id"], reason="no JSON", retry_ms=0)
    assert bench.pull() is None
    bench.crash()
    parked = bench.ask("status")["status"]["groups"][0]["parked"]
    assert parked == [{"path": "/r/bad", "is_directory": False, "attempts": 2, "reason": "no JSON", "tick": 1}]
    assert bench.ask("retry", group="g")["paths"] == 1
    assert len(bench.drain()) == 1
    bench.store.abandon()


def test_an_ack_after_a_crash_is_accepted(bench_with_files: Bench) -> None:
    """Leases are durable: the worker's ack counts with the restarted service, and says `repeated` if it comes twice."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    bench.crash()
    assert bench.pull() is None
    assert bench.ack(batch)["repeated"] is False
    bench.crash()
    assert bench.ack(batch)["repeated"] is True
    assert bench.pull() is None


def test_leases_fence_across_a_crash(bench_with_files: Bench) -> None:
    """A path on lease before the crash is on lease after it, also when it has changed since."""
    bench = bench_with_files
    batch = bench.pull()
    bench.index.put(b"/r/0", size=9)
    bench.crash()
    bench.index.put(b"/r/new")
    other = bench.pull()
    assert batch is not None and other is not None
    assert short(other["events"]) == [("created", "/r/new")]
    bench.ack(batch)
    assert short(bench.drain()) == [("modified", "/r/0")]


def test_a_reboot_frees_all_leases(bench_with_files: Bench) -> None:
    """No worker survives a start of the machine; it is no failure of the batch. After a clean end nothing else changes."""
    bench = bench_with_files
    bench.pull()
    bench.boot = "boot-2"
    bench.restart()
    batch = bench.pull()
    assert batch is not None
    assert (batch["attempt"], len(batch["events"])) == (1, 3)


def test_lost_power_is_fresh_unless_durable(tmp_path: Path) -> None:
    """With durability `process` the last commits may be gone: groups begin afresh; with `power` they go on."""
    for durability, first in (("process", "fresh"), ("power", "created")):
        bench = Bench(tmp_path / f"{durability}.db", durability=durability)
        bench.index.put(b"/r/a")
        bench.pull()
        bench.boot = "boot-2"
        bench.crash()
        assert short(bench.drain())[0][0] == first
        bench.store.abandon()


def test_from_now_begins_with_the_baseline(bench: Bench) -> None:
    """Before the baseline is committed there is no now: what the first scan finds is not news."""
    bench.engine.is_ready = False
    assert bench.ask("pull", group="g")["why"] == "baseline"
    bench.index.put(b"/r/old")
    bench.commit()
    bench.crash()
    assert bench.ask("pull", group="g")["why"] == "baseline"
    bench.engine.is_ready = True
    bench.commit()
    waiting = bench.send("pull", group="g", wait_ms=1000)
    assert waiting not in bench.replies
    bench.index.put(b"/r/new")
    bench.index.put(b"/r/old", size=2)
    bench.commit()
    assert short(bench.replies[waiting]["batch"]["events"]) == [("created", "/r/new"), ("modified", "/r/old")]


def test_a_new_index_is_fresh(bench_with_files: Bench) -> None:
    """The group is told to forget everything, by one event alone; after its ack everything is created."""
    bench = bench_with_files
    bench.drain()
    bench.index = ToldIndex()
    bench.index.put(b"/r/9")
    bench.restart()
    batch = bench.pull()
    assert batch is not None
    assert batch["events"] == [{"type": "fresh", "tick": 1, "reason": "the index was built anew"}]
    assert bench.ask("pull", group="g")["why"] == "fresh"
    bench.ack(batch)
    assert short(bench.drain()) == [("created", "/r/9")]


@pytest.mark.parametrize("op", ["pull", "create"])
def test_a_group_that_is_made_may_begin_afresh(bench_with_files: Bench, op: str) -> None:
    """The notice is as durable as the group: it is there if the service is killed right after the reply, until it is
    acknowledged. A group that exists goes on where it is."""
    bench = bench_with_files
    assert bench.ask(op, group="g", from_="fresh")["created"]
    bench.crash()
    bench.advance(bench.settings.lease_ms / 1000 + 1)
    batch = bench.pull(from_="fresh")
    assert batch is not None
    assert batch["events"] == [{"type": "fresh", "tick": bench.index.tick, "reason": "the group is new"}]
    bench.ack(batch)
    assert {kind for kind, _ in short(bench.drain(from_="fresh"))} == {"created"}
    assert bench.drain(from_="fresh") == []


def test_a_reset_holds_for_a_group_that_waits_too(bench: Bench) -> None:
    """It was to begin once the first scan is done; now every file is owed to it, from the notice on."""
    bench.engine.is_ready = False
    bench.ask("create", group="g")
    assert bench.group("g")["state"] == "waiting"
    bench.ask("reset", group="g")
    bench.index.put(b"/r/1")
    batch = bench.pull()
    assert batch is not None and batch["events"][0]["type"] == "fresh"
    bench.ack(batch)
    assert short(bench.drain()) == [("created", "/r/1")]


def test_other_priorities_lose_nothing(bench_with_files: Bench) -> None:
    """Rows may have changed lanes: the group goes on from its lowest cursor, and deletions are still told."""
    bench = bench_with_files
    bench.drain()
    bench.settings = msgspec.structs.replace(bench.settings, priorities={"*.x": 3})
    bench.index.remove(b"/r/0")
    bench.restart()
    assert short(bench.drain()) == [("deleted", "/r/0")]


def test_an_abandoned_group_begins_afresh(bench_with_files: Bench) -> None:
    """After retention_days it is a stub that holds nothing back; who comes back is told."""
    bench = bench_with_files
    bench.drain()
    bench.drain("other")
    bench.now += 8 * 86_400
    bench.drain("other")
    bench.advance(61)
    assert bench.group("g")["state"] == "expired"
    assert any("'g'" in note for note in bench.ask("status")["status"]["notes"])
    bench.index.remove(b"/r/1")
    bench.drain("other")
    assert bench.index.collect(bench.server.passed()) == 1
    bench.crash()
    assert short(bench.drain()) == [("fresh", ""), ("created", "/r/0"), ("created", "/r/2")]


def test_a_clock_that_is_set_abandons_nobody(bench_with_files: Bench) -> None:
    """A jump of the wall clock is no disuse."""
    bench = bench_with_files
    bench.drain()
    bench.wall += 30 * 86_400
    bench.advance(61)
    assert bench.group("g")["state"] == "active"


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_moves_no_lease(bench_with_files: Bench, jump: int) -> None:
    """An hour forward or back: a lease lasts as long as it would, and its batch comes again then."""
    bench = bench_with_files
    lease_s = bench.settings.lease_ms / 1000
    assert bench.pull() is not None
    bench.wall += jump
    bench.advance(lease_s - 2)
    assert bench.group("g")["leased"] == 3
    bench.wall -= 2 * jump
    bench.advance(1)
    assert bench.group("g")["leased"] == 3
    bench.advance(2)
    assert bench.group("g")["leased"] == 0
    assert len(bench.drain()) == 3


def test_a_stall_of_ours_costs_no_lease(bench_with_files: Bench) -> None:
    """After a stop of the service itself its workers get the time back."""
    bench = bench_with_files
    batch = bench.pull()
    bench.now += 600
    bench.take(bench.server.tick())
    assert batch is not None
    assert bench.ack(batch)["ok"]


def test_extend_release_seek_and_drop(bench_with_files: Bench) -> None:
    """The rest of a lease's and a group's life."""
    bench = bench_with_files
    batch = bench.pull(worker="w")
    assert batch is not None
    assert bench.ask("extend", group="g", batch=batch["id"], lease_ms=60_000)["lease_ms"] == 60_000
    bench.advance(10)
    bench.crash()
    assert bench.group()["leased"] == 3
    assert bench.ask("release", group="g", worker="w")["released"] == 1
    assert len(bench.drain()) == 3
    assert bench.ask("seek", group="g", tick="start") | {"id": 0, "v": 0} == {
        "id": 0, "v": 0, "ok": True, "tick": 0, "fresh": False,
    }  # fmt: skip
    assert len(bench.drain()) == 3
    assert bench.ask("seek", group="g", tick=10**6)["error"] == "bad_field"
    waiting = bench.send("pull", group="g", wait_ms=5000)
    assert bench.ask("drop", group="g")["ok"]
    assert bench.replies[waiting]["error"] == "unknown_group"
    assert bench.ask("groups")["groups"] == []
    assert bench.ask("ack", group="g", batch=batch["id"])["error"] == "unknown_group"
    bench.pull()
    assert "another" in bench.ask("ack", group="g", batch=batch["id"])["message"]
    bench.crash()
    assert len(bench.ask("groups")["groups"]) == 1


def test_groups_lists_what_matters(bench_with_files: Bench) -> None:
    """Backlog, leases and their workers."""
    bench = bench_with_files
    bench.pull(max=1, worker="me")
    group = bench.group()
    assert (group["name"], group["state"], group["backlog"], group["leased"]) == ("g", "active", 2, 1)
    assert group["leases"][0]["worker"] == "me"


def test_groups_say_how_old_the_oldest_change_is(bench_with_files: Bench) -> None:
    """Of those that no worker was handed yet. The looks were made at seconds 1, 2 and 3."""
    bench = bench_with_files
    bench.wall = 10.0 - bench.now
    bench.ask("create", group="g", from_="start")
    bench.ask("create", group="behind", from_="start")
    assert bench.group()["oldest_pending_s"] == 9.0
    first = bench.pull(max=1)
    assert bench.group()["oldest_pending_s"] == 8.0
    assert first is not None and bench.ack(first)["ok"]
    bench.drain()
    ages = {group["name"]: group["oldest_pending_s"] for group in bench.ask("groups")["groups"]}
    assert ages == {"g": None, "behind": 9.0}
    bench.wall = -bench.now  # the clock was set back
    assert {group["oldest_pending_s"] for group in bench.ask("groups")["groups"]} == {None, 0.0}


def test_a_file_that_changes_all_the_time_hides_no_older_change(bench: Bench) -> None:
    """It keeps its place at the head, and is always new by its last change. A look is made each second, and noted each minute."""
    looks = 0

    def look(path: bytes, size: int) -> None:
        nonlocal looks
        looks += 1
        bench.index.put(path, size=size)

    bench.index.wall_ns = lambda: looks * 1_000_000_000
    look(b"/r/before", 1)
    bench.ask("create", group="g", from_="start")
    bench.drain()
    look(b"/r/hot", 1)
    look(b"/r/waits", 1)
    for size in range(200):
        look(b"/r/hot", size + 2)
    bench.wall = looks - bench.now
    group = bench.group()
    assert group["backlog"] == 2
    assert 140 <= group["oldest_pending_s"] <= 201


def test_nothing_is_pending_for_a_group_that_waits_for_the_first_look(bench: Bench) -> None:
    """What is there by then does not concern it, so it is not behind with it."""
    bench.index.put(b"/r/a")
    bench.engine.is_ready = False
    bench.ask("create", group="g")
    group = bench.group()
    assert (group["state"], group["backlog"], group["oldest_pending_s"]) == ("waiting", 0, None)


def test_a_receiver_that_is_gone_frees_its_batch(bench_with_files: Bench) -> None:
    """A reply that could not be sent: the batch goes to the next worker at once, as if never pulled."""
    bench = bench_with_files
    request = msgspec.json.encode({"v": 1, "id": 1, "op": "pull", "group": "g", "from": "start"})
    (reply,) = bench.server.handle([b"gone"], request)
    assert reply.lease is not None
    assert msgspec.json.decode(reply.body)["batch"]["id"] == reply.lease.batch
    bench.server.undelivered(reply.lease)
    batch = bench.pull()
    assert batch is not None
    assert (batch["attempt"], len(batch["events"])) == (1, 3)


def test_only_a_reply_that_hands_out_a_batch_carries_a_lease(bench_with_files: Bench) -> None:
    """Not a peek, nor an ack, which names a batch too."""
    bench = bench_with_files
    for body in ({"op": "pull", "group": "g", "from": "start", "peek": True}, {"op": "hello"}, {"op": "groups"}):
        assert [reply.lease for reply in bench.server.handle([b"peer"], msgspec.json.encode(body))] == [None]
    batch = bench.pull()
    assert batch is not None
    ack = msgspec.json.encode({"op": "ack", "group": "g", "batch": batch["id"]})
    assert [reply.lease for reply in bench.server.handle([b"peer"], ack)] == [None]


def test_a_receiver_that_is_gone_frees_no_batch_of_a_later_group(bench_with_files: Bench) -> None:
    """The group was dropped and made anew, and its first batch has the same number."""
    bench = bench_with_files
    request = msgspec.json.encode({"v": 1, "id": 1, "op": "pull", "group": "g", "from": "start"})
    (reply,) = bench.server.handle([b"gone"], request)
    assert reply.lease is not None
    assert bench.ask("drop", group="g")["ok"]
    batch = bench.pull()
    assert batch is not None
    bench.server.departed([b"gone"], [reply.lease])
    assert bench.pull() is None
    assert bench.ack(batch)["ok"]


def test_sync_is_answered_when_it_is_done(bench: Bench) -> None:
    """Also with the subtrees that could not be looked at, and when the engine never answers."""
    good, bad, silent = (bench.send("sync", timeout_ms=1000) for _ in range(3))
    assert good not in bench.replies
    bench.engine.syncs[0] = {"ok": True}
    bench.engine.syncs[1] = {"ok": False, "error": "a shard is dead", "subtrees": ["/r"]}
    bench.commit()
    assert bench.replies[good]["ok"]
    assert (bench.replies[bad]["error"], bench.replies[bad]["subtrees"]) == ("sync_failed", ["/r"])
    bench.advance(4)
    assert bench.replies[silent]["error"] == "sync_failed"
    assert bench.engine.forgotten == [0, 1, 2]


def test_a_sync_whose_connection_is_gone_is_forgotten(bench: Bench) -> None:
    """The engine would keep its outcome for good."""
    bench.send("sync")
    bench.peer = b"other"
    bench.send("sync")
    bench.server.departed([b"other"], [])
    assert bench.engine.forgotten == [1]


def test_ready_waits_for_the_baseline(bench: Bench) -> None:
    """At once if it is there; after wait_ms the progress instead."""
    assert bench.ask("ready")["ready"]["backend"] == "fake"
    bench.engine.is_ready = False
    assert bench.ask("ready")["progress"] == {"files": 0}
    late, waits = bench.send("ready", wait_ms=500), bench.send("ready", wait_ms=5000)
    bench.advance(1)
    assert bench.replies[late]["ready"] is None
    bench.engine.is_ready = True
    bench.commit()
    assert bench.replies[waits]["ready"]["files"] == 1


def test_hello_says_whom_one_talks_to(bench: Bench) -> None:
    """Version, incarnation, tick and limits."""
    hello = bench.ask("hello", json=True)
    assert (hello["server"], hello["incarnation"]) == ("shardwatch", bench.index.incarnation)
    assert (hello["tick"], hello["ready"]) == (0, True)


def test_who_waits_is_told_that_the_service_stops(bench: Bench) -> None:
    """A clean end answers every parked request."""
    waiting = [bench.send("pull", group="g", wait_ms=9000), bench.send("sync")]
    bench.restart()
    assert [bench.replies[n]["error"] for n in waiting] == ["stopping"] * 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_request"),
        (b"\xc1", "bad_request"),
        (b"{", "bad_request"),
        (b"[1]", "bad_request"),
        (b"\x93\x01\x02\x03", "bad_request"),
        (b"{" * 100_000, "bad_request"),
        (b"\x91" * 100_000, "bad_request"),
        (b"x" * (REQUEST_BYTES_MAX + 1), "too_large"),
        (b"{}", "unknown_op"),
        (b'{"op": "fly"}', "unknown_op"),
        (b'{"op": 7}', "unknown_op"),
        (b'{"v": 2, "op": "hello"}', "version"),
        (b'{"op": "pull"}', "bad_field"),
        (b'{"op": "pull", "group": 7}', "bad_field"),
        (b'{"op": "pull", "group": "g", "max": 0}', "bad_field"),
        (b'{"op": "pull", "group": "g", "max": true}', "bad_field"),
        (b'{"op": "pull", "group": "g", "from": "yesterday"}', "bad_field"),
        (b'{"op": "pull", "group": ""}', "bad_group"),
        (b'{"op": "pull", "group": " g"}', "bad_group"),
        (b'{"op": "pull", "group": "a\\nb"}', "bad_group"),
        (b'{"op": "pull", "group": "' + b"x" * 201 + b'"}', "bad_group"),
        (b'{"op": "ack", "group": "nobody", "batch": "x-1"}', "unknown_group"),
        (b'{"op": "release", "group": "g"}', "unknown_group"),
        (b'{"op": "seek", "group": "g", "tick": -1}', "bad_field"),
    ],
)
def test_a_wrong_message_gets_an_error_reply(bench: Bench, body: bytes, code: str) -> None:
    """A stable code, a message and a remedy, in the encoding of the request; never silence, never a crash."""
    ((envelope, reply, _),) = bench.server.handle([b"peer", b""], body)
    assert envelope == [b"peer", b""]
    decode = msgspec.json.decode if body[:1] in (b"{", b"[") else msgspec.msgpack.decode
    found = decode(reply)
    assert (found["v"], found["ok"], found["error"]) == (1, False, code)
    assert found["message"] and found["remedy"]
    assert bench.ask("groups")["groups"] == []


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        ("ack", {"batch": "nonsense"}, "bad_field"),
        ("ack", {"batch": "x-²"}, "bad_field"),
        ("ack", {"batch": "other-1"}, "lease_expired"),
        ("release", {}, "bad_field"),
        ("release", {"batch": "x-1", "worker": "w"}, "bad_field"),
    ],
)
def test_a_wrong_batch_is_refused(bench_with_files: Bench, op: str, fields: dict[str, Any], code: str) -> None:
    """Ids that no pull gave."""
    bench_with_files.pull()
    assert bench_with_files.ask(op, group="g", **fields)["error"] == code


def test_ids_that_were_never_given_are_refused(bench_with_files: Bench) -> None:
    """An invented number is no repeated ack; a nack of an acked batch says that it is acked."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    token = batch["id"].partition("-")[0]
    for number in (0, 99):
        assert bench.ask("ack", group="g", batch=f"{token}-{number}")["error"] == "lease_expired"
    bench.ack(batch)
    assert bench.ask("nack", group="g", batch=batch["id"])["error"] == "already_acked"


leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | st.binary()
shallow = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text(max_size=5), leaves, max_size=3)
values = shallow | st.lists(shallow, max_size=3) | st.dictionaries(st.text(max_size=5), shallow, max_size=3)
fields = st.sampled_from(["v", "id", "op", "group", "batch", "max", "wait_ms", "from", "peek", "worker", "tick", "reason"])
ops = st.sampled_from(["pull", "ack", "nack", "extend", "release", "seek", "groups", "drop", "status", "ready", "hello"])


@given(raw=st.binary(max_size=50) | st.binary(max_size=50).map(lambda b: b"{" + b), more=st.dictionaries(fields, values), op=ops)
def test_whatever_comes_gets_one_reply(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, more: dict[str, Any], op: str
) -> None:
    """Random bytes, and well-formed maps with random fields."""
    bench = Bench(tmp_path_factory.mktemp("any") / "groups.db")
    try:
        bodies = [raw]
        for encode in (msgspec.json.encode, msgspec.msgpack.encode):
            for message in ({"op": op, **more}, {**more, "op": op, "group": "g", "v": 1}):
                try:
                    bodies.append(encode(message))
                except (ValueError, TypeError, OverflowError):
                    continue
        for body in bodies:
            out = bench.server.handle([b"p"], body) or bench.server.close()
            assert len(out) == 1
    finally:
        bench.store.abandon()


def test_what_waits_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests than may wait are refused, as are more groups; stubs make room. Pulls that wait don't hold up a sync."""
    for part in (pulls, barriers):
        monkeypatch.setattr(part, "WAITING_MAX", 2)
    monkeypatch.setattr(roster, "GROUPS_MAX", 2)
    for op in ("pull", "sync"):
        for _ in range(2):
            bench.send(op, group="a", wait_ms=9000)
        assert bench.ask(op, group="a", wait_ms=9000)["error"] == "busy"
    bench.ask("pull", group="b")
    assert bench.ask("pull", group="c")["error"] == "groups_full"
    bench.now += 8 * 86_400
    bench.ask("pull", group="a", peek=True)
    bench.advance(61)
    assert bench.ask("pull", group="c")["ok"]
    assert [g["name"] for g in bench.ask("groups")["groups"]] == ["a", "c"]


def test_a_disk_that_refuses_gives_nothing_away(bench_with_files: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be made durable is not handed out; nothing is lost, and the service goes on when there is room again."""
    bench = bench_with_files
    batch = bench.pull(max=1)
    assert batch is not None

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "commit", full)
        assert bench.ask("pull", group="g")["error"] == "storage"
        assert bench.ask("pull", group="h", from_="start")["error"] == "storage"
        assert bench.ack(batch)["error"] == "storage"
        assert bench.ask("drop", group="g")["error"] == "storage"
    assert bench.ack(batch)["ok"]
    assert short(bench.drain()) == [("created", "/r/1"), ("created", "/r/2")]
    assert [g["name"] for g in bench.ask("groups")["groups"]] == ["g"]


def test_a_lease_ends_in_time_after_a_disk_that_refused(bench_with_files: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group was read from disk again, and who waits gets the batch when its lease is over."""
    bench = bench_with_files
    batch = bench.pull()
    assert batch is not None
    waiting = bench.send("pull", group="g", wait_ms=60_000)

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "commit", full)
        assert bench.ack(batch)["error"] == "storage"
    bench.advance(3.1)
    assert bench.replies.pop(waiting)["batch"]["attempt"] == 2


def test_several_requests_share_one_commit(bench_with_files: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """`handle_many` commits once for all of them."""
    bench = bench_with_files
    commits: list[int] = []
    real = bench.store.commit

    def commit() -> None:
        commits.append(1)
        real()

    monkeypatch.setattr(bench.store, "commit", commit)
    body = msgspec.json.encode({"op": "pull", "group": "g", "from": "start", "max": 1})
    assert len(bench.server.handle_many([([b"a"], body), ([b"b"], body)])) == 2
    assert len(commits) == 1


def test_a_peek_makes_the_group_and_moves_nothing(bench_with_files: Bench) -> None:
    """It shows what the next pull gets, also to one that waits."""
    bench = bench_with_files
    seen = bench.ask("pull", group="g", from_="start", peek=True)
    assert (seen["created"], seen["batch"]["id"], len(seen["batch"]["events"])) == (True, None, 3)
    assert bench.group()["leased"] == 0
    assert len(bench.drain()) == 3
    waiting = bench.send("pull", group="g", peek=True, wait_ms=5000)
    pulling = bench.send("pull", group="g", wait_ms=5000)
    bench.index.put(b"/r/new")
    bench.commit()
    assert bench.replies[waiting]["batch"]["events"] == bench.replies[pulling]["batch"]["events"]


def test_no_batch_gets_the_name_of_an_earlier_one(bench: Bench) -> None:
    """Numbers are reserved many at a time. An ack of what was given before a restart means no later batch."""
    names: list[str] = []
    for again in (bench.crash, bench.restart, bench.crash):
        for n in range(NUMBERS_RESERVED // 2 + 2):
            bench.index.put(b"/r/a%d" % n, size=len(names) + 1)
            batch = bench.pull()
            assert batch is not None
            names.append(batch["id"])
            assert bench.ack(batch)["ok"]
        again()
    assert len(set(names)) == len(names)
    assert bench.ask("ack", group="g", batch=names[-1])["repeated"]


@pytest.mark.parametrize("json", [False, True])
def test_events_are_the_same_in_either_encoding(tmp_path: Path, json: bool) -> None:
    """Also of a path that is no text, between others."""
    bench = Bench(tmp_path / "groups.db")
    for name in (b"a", b"b", b"c", b"d", b"odd\xff", b"e", b"f", b"g", b"h"):
        bench.index.put(b"/r/" + name)
    batch = bench.pull(json=json)
    assert batch is not None
    assert short(batch["events"]) == [("created", f"/r/{name}") for name in ("a", "b", "c", "d", "odd\ufffd", "e", "f", "g", "h")]
    assert {event["size"] for event in batch["events"]} == {batch["events"][0]["size"]}
