"""The request `seek` with a time: a group is moved back to what it had been handed then, or a little before."""

from __future__ import annotations

from typing import Any

import pytest
from harness_serve import Bench, BenchMaker, short

#: A minute, and the present of these tests, seconds since 1970.
MINUTE = 60
NOW = 1_700_000_000


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    bench = make_bench()
    set_clock(bench, NOW)
    return bench


def set_clock(bench: Bench, now: float) -> None:
    """The clock by which times are noted."""
    bench.index.wall_ns = lambda: round(now * 10**9)


def test_what_changed_since_a_time_is_handed_out_again(bench: Bench) -> None:
    """And nothing of before, where a note was made in between; also over a restart."""
    for minute, name in enumerate((b"a", b"b", b"c")):
        set_clock(bench, NOW + minute * MINUTE)
        bench.index.put(b"/r/" + name)
    set_clock(bench, NOW + 10 * MINUTE)
    assert len(bench.drain()) == 3
    bench.restart()
    reply = bench.ask("seek", group="g", at=NOW + MINUTE + 0.5)
    assert (reply["ok"], reply["tick"], reply["fresh"]) == (True, 2, False)
    assert short(bench.drain()) == [("modified", "/r/c")]
    assert bench.ask("seek", group="g", at=NOW)["tick"] == 1
    assert short(bench.drain()) == [("modified", "/r/b"), ("modified", "/r/c")]
    assert bench.ask("seek", group="g", at=NOW + 9 * MINUTE)["tick"] == 3
    assert bench.drain() == []


def test_a_time_before_the_first_note_is_refused_with_the_remedy(bench: Bench) -> None:
    """It names the first time that is noted, for people and for programs; also where there is none."""
    bench.ask("create", group="g", from_="start")
    reply = bench.ask("seek", group="g", at=NOW)
    assert (reply["error"], reply["first"], "no time is noted yet" in reply["message"]) == ("bad_field", None, True)
    bench.index.put(b"/r/a")
    bench.drain()
    reply = bench.ask("seek", group="g", at=NOW - 1)
    assert (reply["error"], reply["first"]) == ("bad_field", NOW)
    assert "2023-11-14 22:13:20+00:00" in reply["message"] and "`start`" in reply["remedy"]
    assert bench.drain() == []


def test_a_time_never_moves_a_group_forward(bench: Bench) -> None:
    """What is pending stays pending. A group to which nothing is owed stays where it is, although later ticks are noted."""
    bench.index.put(b"/r/a")
    bench.drain()
    set_clock(bench, NOW + 5 * MINUTE)
    bench.index.put(b"/r/b")
    set_clock(bench, NOW + 8 * MINUTE)
    assert "has not come to that time" in bench.ask("seek", group="g", at=NOW + 7 * MINUTE)["message"]
    bench.drain("other")
    bench.index.remove(b"/r/b")  # which the group was never told of
    set_clock(bench, NOW + 9 * MINUTE)
    assert bench.ask("seek", group="g", at=NOW + 8.5 * MINUTE)["tick"] == 1
    assert bench.drain() == []


def test_a_time_before_deletions_that_are_forgotten_is_fresh(bench: Bench) -> None:
    """As with a tick."""
    bench.index.put(b"/r/a")
    bench.index.put(b"/r/b")
    bench.drain()
    set_clock(bench, NOW + 5 * MINUTE)
    bench.index.remove(b"/r/a")
    bench.drain()
    bench.index.collect(bench.server.passed())
    set_clock(bench, NOW + 10 * MINUTE)
    assert bench.ask("seek", group="g", at=NOW + MINUTE)["fresh"] is True


@pytest.mark.parametrize("fields", [{}, {"tick": 1, "at": 1.0}, {"at": -1.0}, {"at": float("nan")}, {"at": "noon"}])
def test_either_a_tick_or_a_time(bench: Bench, fields: dict[str, Any]) -> None:
    """Anything else is refused."""
    bench.ask("create", group="g")
    assert bench.ask("seek", group="g", **fields)["error"] == "bad_field"


@pytest.mark.parametrize("at", [1e308, float("inf"), 10**18])
def test_a_time_that_no_clock_shows_harms_nothing(bench: Bench, at: float) -> None:
    """It is later than everything."""
    bench.index.put(b"/r/a")
    bench.drain()
    set_clock(bench, NOW + 1)
    assert bench.ask("seek", group="g", at=at)["ok"]
    assert bench.drain() == []
