"""Which changes go to one run, and what it is told of them."""

from __future__ import annotations

import json

import pytest

from shardwatch.supervisor.config.names import RUN_VARIABLES
from shardwatch.supervisor.runs.change import Change, taken
from shardwatch.supervisor.runs.command import Command, Input, Run, inherited

A, B, C = (Change(path, "created", tick, line=b"{}") for tick, path in enumerate((b"/a", b"/b", b"/c"), 1))


def command(*argv: bytes, given: Input = Input.ARGS, paths: int = 10, room: int = 10_000) -> Command:
    return Command(argv, given, paths, room, "g")


def test_a_place_is_repeated_for_each_path() -> None:
    """Whatever surrounds it is repeated, too; other arguments are as they are."""
    of = command(b"cp", b"--file={}", b"-v", b"{}:{}")
    assert of.arguments([A, B]) == [b"cp", b"--file=/a", b"--file=/b", b"-v", b"/a:/a", b"/b:/b"]


@pytest.mark.parametrize("given", [Input.NUL, Input.JSON, Input.NONE])
def test_braces_are_braces_where_paths_come_otherwise(given: Input) -> None:
    """Only with `--input args` they stand for a path."""
    assert command(b"sh", b"{}", given=given).arguments([A]) == [b"sh", b"{}"]


def test_what_a_run_reads() -> None:
    """Paths with a NUL behind each, or the events as JSON lines; otherwise nothing."""
    assert command(b"x", given=Input.NUL).standard_input([A, B]) == b"/a\0/b\0"
    assert command(b"x", given=Input.JSON).standard_input([A, B]) == b"{}\n{}\n"
    assert command(b"x", b"{}").standard_input([A, B]) == b""


def test_runs_are_filled_by_count() -> None:
    """As many as --batch says, in their order."""
    assert list(command(b"x", b"{}", paths=2).split([A, B, C])) == [(A, B), (C,)]


def test_runs_are_filled_by_bytes() -> None:
    """An argument costs its bytes, its end and a pointer. A path too long for any run has one of its own."""
    fixed = len(b"x") + 9
    each = len(b"/a") + 9
    assert list(command(b"x", b"{}", room=fixed + 2 * each).split([A, B, C])) == [(A, B), (C,)]
    assert list(command(b"x", b"{}", room=fixed + 2 * each - 1).split([A, B, C])) == [(A,), (B,), (C,)]
    assert list(command(b"x", b"{}", room=0).split([A, B])) == [(A,), (B,)]
    assert list(command(b"x", room=fixed).split([A, B])) == [(A, B)]


def test_the_environment_of_a_run() -> None:
    """Its kinds are each named once; the names are those that the configuration knows to be no options."""
    run = Run(3, "b-1", 2, (A, Change(b"/d", "deleted", 4), B))
    environ = command(b"x").environment(run, "token")
    assert tuple(environ) == tuple(name.encode() for name in RUN_VARIABLES)
    assert list(environ.values()) == [b"token.3", b"g", b"b-1", b"2", b"created,deleted"]


def test_runs_in_runs_say_in_which() -> None:
    """Of each process that was started by a run of another one."""
    assert inherited({b"A": b"1"}) == {b"A": b"1"}
    first = inherited({b"SHARDWATCH_RUN": b"outer.3"})
    assert first == {b"SHARDWATCH_RUN": b"outer.3", b"SHARDWATCH_WITHIN": b"outer.3"}
    second = inherited(first | {b"SHARDWATCH_RUN": b"inner.1"})
    assert second[b"SHARDWATCH_WITHIN"] == b"outer.3 inner.1"


def test_a_batch_as_it_travels() -> None:
    """Exact bytes come from base64; a `fresh` event concerns no path."""
    event = {
        "type": "event", "event_type": "moved", "path": "/a\ufffd", "path_b64": "L2H/", "moved_from": "/b", "tick": 7,
    }  # fmt: skip
    batch = taken({"id": "x-1", "attempt": 2, "lease_ms": 1500, "events": [event]})
    (change,) = batch.changes
    assert (change.path, change.moved_from, change.kind, change.tick) == (b"/a\xff", b"/b", "moved", 7)
    assert change.paths() == (b"/a\xff", b"/b")
    assert json.loads(change.line) == event
    assert (batch.batch, batch.attempt, batch.lease_s) == ("x-1", 2, 1.5)
    (fresh,) = taken({"id": "x-1", "attempt": 1, "lease_ms": 1, "events": [{"type": "fresh", "tick": 1}]}).changes
    assert (fresh.kind, fresh.paths(), fresh.line) == ("fresh", (), b'{"type":"fresh","tick":1}')


@pytest.mark.parametrize(("former", "told"), [(True, [b"/old", b"/new"]), (False, [b"/new"])])
def test_what_was_moved_is_told_by_both_paths(former: bool, told: list[bytes]) -> None:
    """The former one first, if deletions are told; it counts as one of the run."""
    of = Command([b"x", b"{}"], Input.ARGS, 1, 10_000, "g", former=former)
    moved = Change(b"/new", "moved", 1, b"/old")
    assert list(of.split([moved, A])) == [(moved,), (A,)]
    assert of.arguments([moved]) == [b"x", *told]
    by_nul = Command([b"x"], Input.NUL, None, 10_000, "g", former=former)
    assert by_nul.standard_input([moved]) == b"".join(path + b"\0" for path in told)


def test_what_concerns_no_path_tells_none() -> None:
    """The kind is in the environment, and the notice itself on standard input with --input json."""
    fresh = Change(b"", "fresh", 1, line=b"{}")
    assert command(b"x", b"{}", b"-v").arguments([fresh]) == [b"x", b"-v"]
    assert command(b"x", given=Input.NUL).standard_input([fresh]) == b""
    assert command(b"x", given=Input.JSON).standard_input([fresh]) == b"{}\n"
    assert command(b"x").environment(Run(1, "b", 1, (fresh,)), "token")[b"SHARDWATCH_KINDS"] == b"fresh"
