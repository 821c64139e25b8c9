"""The request `wait`: answered once a group has acknowledged everything that had changed before."""

from __future__ import annotations

import pytest
from harness_serve import Bench, BenchMaker


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench(attempts_max=1)


def wait(bench: Bench, group: str = "g", timeout_ms: int = 60_000) -> int:
    """Sends a wait whose sync is answered; its id."""
    number = bench.send("wait", group=group, timeout_ms=timeout_ms)
    bench.engine.syncs = {token: {"ok": True} for token in bench.engine.syncs}
    bench.advance(0.1)
    return number


def test_a_wait_is_answered_with_the_last_ack(bench: Bench) -> None:
    """Not while something is pending, on lease, to be tried again, or held behind an earlier state of its path."""
    bench.index.put(b"/r/a")
    bench.index.put(b"/r/b")
    first = bench.pull(max=1)
    bench.index.put(b"/r/a", size=2)
    number = wait(bench)
    second = bench.pull()
    assert first is not None and second is not None
    bench.ack(second)
    assert number not in bench.replies
    bench.ack(first)
    assert number not in bench.replies  # the later state of a waits still
    third = bench.pull()
    assert third is not None
    bench.ask("release", group="g", batch=third["id"])
    assert number not in bench.replies
    bench.drain()
    assert bench.replies.pop(number) == {"v": 1, "id": number, "ok": True, "tick": 3}


def test_what_changes_later_is_not_waited_for(bench: Bench) -> None:
    """A wait that comes when nothing is owed is answered at once; one does not wait for what another one does."""
    bench.index.put(b"/r/a")
    bench.drain()
    number = wait(bench)
    assert bench.replies.pop(number)["tick"] == 1
    bench.index.put(b"/r/b")
    earlier = wait(bench)
    bench.index.put(b"/r/c")
    later = wait(bench)
    batch = bench.pull(max=1)
    assert batch is not None
    bench.ack(batch)
    assert (earlier in bench.replies, later in bench.replies) == (True, False)
    bench.drain()
    assert bench.replies[later]["tick"] == 3


def test_what_goes_before_it_is_handed_out_is_not_owed(bench: Bench) -> None:
    """It leaves the index, or stays there for another group only: no pull of this group is needed."""
    bench.ask("create", group="g", from_="start")
    bench.index.put(b"/r/a")
    bench.drain("other")
    number = wait(bench)
    assert number not in bench.replies
    bench.index.remove(b"/r/a")
    bench.commit()
    assert bench.replies[number]["ok"]


def test_a_path_that_is_set_aside_is_not_acknowledged(bench: Bench) -> None:
    """The wait fails, and says how many there are; not because of one that was set aside later."""
    bench.index.put(b"/r/a")
    batch = bench.pull()
    assert batch is not None
    number = wait(bench)
    bench.ask("nack", group="g", batch=batch["id"], reason="no")
    reply = bench.replies[number]
    assert (reply["ok"], reply["error"], reply["set_aside"], reply["tick"]) == (False, "not_acknowledged", 1, 1)
    bench.ask("retry", group="g")
    bench.drain()
    assert bench.replies[wait(bench)]["ok"]


def test_a_wait_ends_after_its_time(bench: Bench) -> None:
    """Whatever the group does then; also when the sync before it takes longer, or fails."""
    bench.index.put(b"/r/a")
    bench.ask("create", group="g", from_="start")
    number = wait(bench, timeout_ms=5_000)
    bench.advance(4)
    assert number not in bench.replies
    bench.advance(2)
    assert bench.replies[number]["error"] == "not_acknowledged"
    bench.drain()
    unanswered = bench.send("wait", group="g", timeout_ms=1_000)
    failed = bench.send("wait", group="g")
    bench.engine.syncs[max(bench.engine.syncs)] = {"ok": False, "message": "no", "subtrees": ["/r"]}
    bench.advance(4)
    assert [bench.replies[one]["error"] for one in (unanswered, failed)] == ["sync_failed", "sync_failed"]


def test_a_group_that_is_dropped_or_begins_afresh_or_is_not_there(bench: Bench) -> None:
    """The first ends the wait, the second has to be acknowledged with everything that follows, the third is refused at once."""
    assert bench.ask("wait", group="none")["error"] == "unknown_group"
    bench.index.put(b"/r/a")
    bench.drain()
    bench.ask("reset", group="g")
    number = wait(bench)
    batch = bench.pull()
    assert batch is not None
    bench.ack(batch)
    assert number not in bench.replies
    bench.drain()
    assert bench.replies[number]["ok"]
    bench.index.put(b"/r/b")
    number = wait(bench)
    bench.ask("drop", group="g")
    assert bench.replies[number]["error"] == "unknown_group"


def test_the_end_of_the_service_and_of_a_connection_end_the_wait(bench: Bench) -> None:
    """With `stopping`; and without an answer to nobody."""
    bench.index.put(b"/r/a")
    bench.ask("create", group="g", from_="start")
    number = wait(bench)
    assert bench.server._counts()["waiting_requests"] == 1
    bench.server.departed([b"peer"], [])
    assert bench.server._counts()["waiting_requests"] == 0
    bench.drain()
    assert number not in bench.replies
    bench.index.put(b"/r/b")
    number = wait(bench)
    bench.restart()
    assert bench.replies[number]["error"] == "stopping"
