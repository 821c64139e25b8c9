"""One run at a time, always for the latest state: what becomes of a change while it goes on."""

from __future__ import annotations

import pytest

from shardwatch.supervisor.runs.change import Change, Taken
from shardwatch.supervisor.runs.command import Command, Input, Run
from shardwatch.supervisor.runs.instructions import Acknowledge, Signal, Stop
from shardwatch.supervisor.runs.latest import Latest, OnBusy

KINDS = ("created", "modified", "deleted", "moved")


def latest(on_busy: OnBusy, *argv: bytes, paths: int = 10, kinds: tuple[str, ...] = KINDS) -> Latest:
    return Latest(Command(argv or (b"x",), Input.ARGS, paths, 10_000, "g"), kinds, on_busy)


def batch(name: str, *paths: bytes, kind: str = "modified") -> Taken:
    return Taken(name, 1, 30.0, tuple(Change(path, kind, tick) for tick, path in enumerate(paths, 1)))


def next_of(made: Latest) -> Run:
    run = made.next()
    assert run is not None
    return run


def paths_of(run: Run) -> list[bytes]:
    return [change.path for change in run.changes]


def test_a_server_is_restarted() -> None:
    """It is ended when something changes, the next one begins when it has ended, and for all that has changed until then."""
    made = latest(OnBusy.RESTART)
    made.begin()
    first = next_of(made)
    assert first.changes == ()
    assert made.next() is None
    assert made.take(batch("a", b"/a")) == [Acknowledge("a", None), Stop(first)]
    assert made.take(batch("b", b"/b")) == [Acknowledge("b", None)]
    assert made.next() is None
    assert made.ended(first, "ended by SIGTERM") == []
    second = next_of(made)
    assert paths_of(second) == [b"/a", b"/b"]
    assert made.ended(second, "") == []
    assert made.next() is None


def test_what_an_ended_run_was_for_the_next_one_is_for() -> None:
    """If runs are told their paths, nobody else would be told of these."""
    made = latest(OnBusy.RESTART, b"x", b"{}")
    made.take(batch("a", b"/a", b"/b"))
    first = next_of(made)
    made.take(batch("b", b"/b", b"/c"))
    made.ended(first, "ended by SIGTERM")
    assert paths_of(next_of(made)) == [b"/a", b"/b", b"/c"]


def test_a_run_that_is_told_no_paths_is_for_all_of_them() -> None:
    """However many: a second run for the rest would restart what has just begun, or never come."""
    made = latest(OnBusy.RESTART, paths=1)
    made.take(batch("a", b"/a", b"/b", b"/c"))
    assert paths_of(next_of(made)) == [b"/a", b"/b", b"/c"]


def test_a_run_that_is_told_paths_has_a_limit() -> None:
    """The rest waits for the next one."""
    made = latest(OnBusy.DROP, b"x", b"{}", paths=2)
    made.take(batch("a", b"/a", b"/b", b"/c"))
    first = next_of(made)
    assert paths_of(first) == [b"/a", b"/b"]
    made.ended(first, "")
    assert paths_of(next_of(made)) == [b"/c"]


@pytest.mark.parametrize("on_busy", [OnBusy.DROP, OnBusy.SIGNAL])
def test_a_run_that_goes_on_is_left_alone_or_told(on_busy: OnBusy) -> None:
    """And no run follows for what has changed meanwhile."""
    made = latest(on_busy)
    made.take(batch("a", b"/a"))
    run = next_of(made)
    other = batch("b", b"/b")
    told = [Signal(run, other.changes)] if on_busy is OnBusy.SIGNAL else []
    assert made.take(other) == [Acknowledge("b", None), *told]
    made.ended(run, "")
    assert made.next() is None


def test_kinds_that_nobody_asked_for_are_done() -> None:
    """They neither begin a run nor end one."""
    made = latest(OnBusy.RESTART, kinds=("created",))
    assert made.take(batch("a", b"/a")) == [Acknowledge("a", None)]
    assert made.next() is None


def test_it_hears_of_every_change_at_once_and_holds_no_lease() -> None:
    """Also while a run goes on."""
    made = latest(OnBusy.RESTART)
    made.take(batch("a", b"/a"))
    next_of(made)
    assert made.is_hungry(ahead=False)
    assert made.batches() == []
    assert made.lost("a") == []


def test_what_is_put_off_counts_later() -> None:
    """It does not end the run that goes on until it is resumed; what changes beside it does."""
    made = latest(OnBusy.RESTART)
    made.begin()
    first = next_of(made)
    assert made.take(batch("a", b"/log"), late=[1]) == [Acknowledge("a", None)]
    assert made.resume("a") == [Stop(first)]
    made.ended(first, "ended by SIGTERM")
    second = next_of(made)
    assert paths_of(second) == [b"/log"]
    assert made.take(batch("b", b"/log", b"/a"), late=[1]) == [Acknowledge("b", None), Stop(second)]
    made.ended(second, "ended by SIGTERM")
    assert paths_of(next_of(made)) == [b"/a"]


def test_what_is_dropped_is_not_put_off() -> None:
    """It came while a run went on."""
    made = latest(OnBusy.DROP)
    made.take(batch("a", b"/a"))
    run = next_of(made)
    made.take(batch("b", b"/a"), late=[1])
    made.ended(run, "")
    assert made.resume("b") == []
    assert made.next() is None


def moved(name: str, former: bytes, path: bytes) -> Taken:
    return Taken(name, 1, 30.0, (Change(path, "moved", 1, former),))


def test_a_later_change_does_not_hide_the_former_name_of_a_file() -> None:
    """The run for a move was ended, and the file has changed since: the next run is told of the name that is gone, too."""
    made = latest(OnBusy.RESTART, b"x", b"{}")
    made.take(moved("a", b"/a", b"/b"))
    first = next_of(made)
    made.take(batch("b", b"/b"))
    made.ended(first, "ended by SIGTERM")
    second = next_of(made)
    assert [change.paths() for change in second.changes] == [(b"/b", b"/a"), (b"/b",)]
    made.take(moved("c", b"/a", b"/b"))
    made.ended(second, "ended by SIGTERM")
    assert [change.paths() for change in next_of(made).changes] == [(b"/b",), (b"/b", b"/a")]
