"""Paths that were set aside, as the requests `dead`, `retry` and `discard` treat them: listed with what is known of their last
failure, handed out again, or acknowledged."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness_serve import Bench, BenchMaker, short

from shardwatch.aggregator.groups import tables
from shardwatch.aggregator.protocol.bounds import DEAD_LETTERS_MAX, OUTPUT_BYTES_MAX, REASON_CHARS_MAX


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench(attempts_max=1, leases_max=1000)


def b64(path: bytes) -> str:
    return b64encode(path).decode()


def fail(bench: Bench, group: str = "g", **fields: Any) -> None:
    """Everything that is pending fails, each path by itself."""
    while (batch := bench.pull(group, max=1)) is not None:
        bench.ask("nack", group=group, batch=batch["id"], **fields)


def dead(bench: Bench, **fields: Any) -> list[dict[str, Any]]:
    """All that the group has set aside, in as many answers as it takes."""
    found = []
    while True:
        reply = bench.ask("dead", group="g", **fields)
        found += reply["dead"]
        if reply["after_b64"] is None:
            return found
        fields["after_b64"] = reply["after_b64"]


def paths(bench: Bench, **fields: Any) -> list[str]:
    return [letter["path"] for letter in dead(bench, **fields)]


def test_what_is_known_of_a_failure_outlives_a_kill(bench: Bench) -> None:
    """The kind, the reason, the attempts, the time and the end of the output; the output is given to who asks for it."""
    bench.index.put(b"/r/bad")
    fail(bench, reason="exit code 3", output="line 7: no such thing\n")
    bench.crash()
    letter = {
        "path": "/r/bad", "is_directory": False, "event_type": "created", "attempts": 1, "reason": "exit code 3",
        "failed_at": bench.wall + bench.now, "tick": 1,
    }  # fmt: skip
    assert dead(bench) == [letter]
    assert dead(bench, output=True) == [{**letter, "output": "line 7: no such thing\n"}]


@pytest.mark.parametrize("kind", ["created", "modified", "deleted"])
def test_the_kind_is_what_the_group_was_told(bench: Bench, kind: str) -> None:
    """Whatever becomes of the file afterwards."""
    bench.index.put(b"/r/a")
    if kind != "created":
        assert len(bench.drain()) == 1
    if kind == "modified":
        bench.index.put(b"/r/a", size=2)
    if kind == "deleted":
        bench.index.remove(b"/r/a")
    fail(bench)
    assert [letter["event_type"] for letter in dead(bench)] == [kind]


def test_a_path_whose_worker_is_gone_has_its_reason_and_no_output(bench: Bench) -> None:
    """Nobody has said what it had written."""
    bench.index.put(b"/r/a")
    assert bench.pull(worker="w") is not None
    bench.advance(bench.settings.lease_ms / 1000 + 1)
    (letter,) = dead(bench, output=True)
    assert (letter["reason"], letter["output"]) == ("its lease expired at worker w", "")


def test_a_long_output_is_cut_at_its_beginning_and_a_long_reason_at_its_end(bench: Bench) -> None:
    """No character is torn."""
    bench.index.put(b"/r/a")
    fail(bench, reason="r" * 1000, output="ü" * OUTPUT_BYTES_MAX + "e")
    (letter,) = dead(bench, output=True)
    assert letter["output"] == "ü" * (OUTPUT_BYTES_MAX // 2 - 1) + "e"
    assert letter["reason"] == "r" * REASON_CHARS_MAX


def test_the_output_of_so_many_paths_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the path that was set aside first is forgotten first, and the path itself never. Other groups have their own."""
    monkeypatch.setattr(tables, "OUTPUTS_MAX", 2)
    bench.index.put(b"/r/other")
    fail(bench, "h", output="of another group")
    bench.ask("discard", group="g")
    for name in (b"d", b"c", b"b", b"a"):
        bench.index.put(b"/r/" + name)
        fail(bench, output=name.decode())
    outputs = {letter["path"]: letter["output"] for letter in dead(bench, output=True)}
    assert {path: output for path, output in outputs.items() if output} == {"/r/b": "b", "/r/a": "a"}
    assert len(outputs) == 5
    (other,) = bench.ask("dead", group="h", output=True)["dead"][-1:]
    assert other["output"] == "of another group"


def test_many_are_listed_in_parts(bench: Bench) -> None:
    """Each once, in the order of their paths; `max` makes the parts smaller, never larger."""
    for n in range(DEAD_LETTERS_MAX + 5):
        bench.index.put(b"/r/%03d" % n)
    fail(bench)
    first = bench.ask("dead", group="g", max=10**6)
    assert len(first["dead"]) == DEAD_LETTERS_MAX
    everything = [f"/r/{n:03}" for n in range(DEAD_LETTERS_MAX + 5)]
    assert paths(bench) == paths(bench, max=7) == everything


NAMES = (b"/r/a", b"/r/a-b", b"/r/a/x", b"/r/a/y/z", b"/r/ab", b"/r/\xff")


def test_a_path_stands_for_itself_and_what_is_below_it(bench: Bench) -> None:
    """And for no other whose name begins alike; names that are not UTF-8 are given exactly."""
    for name in NAMES:
        bench.index.put(name)
    fail(bench)
    assert paths(bench, path_b64=b64(b"/r/a")) == paths(bench, path_b64=b64(b"/r/a"), max=1) == ["/r/a", "/r/a/x", "/r/a/y/z"]
    assert paths(bench, path_b64=b64(b"/r/a/y/z")) == ["/r/a/y/z"]
    assert len(paths(bench, path_b64=b64(b"/"))) == len(paths(bench, path_b64=b64(b"/r"))) == len(NAMES)
    (odd,) = dead(bench, path_b64=b64(b"/r/\xff"))
    assert (odd["path"], odd["path_b64"]) == ("/r/\ufffd", b64(b"/r/\xff"))
    assert bench.ask("retry", group="g", paths_b64=[b64(b"/r/a"), b64(b"/r/\xff"), b64(b"/r/none")])["paths"] == 4
    assert paths(bench) == ["/r/a-b", "/r/ab"]
    assert bench.ask("discard", group="g", paths_b64=[b64(b"/")])["paths"] == 2
    assert bench.ask("discard", group="g", paths_b64=[])["paths"] == 0


def test_what_is_tried_again_has_fresh_attempts(tmp_path: Path) -> None:
    """As if it had never failed, also over a kill; and it may be set aside again, with what was said then."""
    bench = Bench(tmp_path / "groups.db", attempts_max=2)
    bench.index.put(b"/r/bad")
    for said in ("first", "second"):
        for attempt in (1, 2):
            batch = bench.pull()
            assert batch is not None
            assert batch["attempt"] == attempt
            bench.ask("nack", group="g", batch=batch["id"], reason=said, retry_ms=0)
        assert [(letter["reason"], letter["attempts"]) for letter in dead(bench)] == [(said, 2)]
        assert bench.ask("retry", group="g", paths_b64=[b64(b"/r/bad")])["paths"] == 1
        assert dead(bench) == []
        bench.crash()
    assert short(bench.drain()) == [("created", "/r/bad")]
    bench.store.abandon()


def test_what_is_dropped_is_done_until_it_changes(bench: Bench) -> None:
    """Like anything that is acknowledged, also over a kill; a deletion that is dropped is not told again when it is back."""
    bench.index.put(b"/r/a")
    bench.index.put(b"/r/gone")
    assert len(bench.drain()) == 2
    bench.index.put(b"/r/a", size=2)
    bench.index.remove(b"/r/gone")
    fail(bench)
    assert bench.ask("discard", group="g")["paths"] == 2
    bench.crash()
    assert dead(bench) == [] and bench.drain() == []
    assert bench.ask("groups")["groups"][0]["parked_paths"] == 0
    bench.index.put(b"/r/a", size=3)
    bench.index.put(b"/r/gone")
    assert short(bench.drain()) == [("modified", "/r/a"), ("created", "/r/gone")]


@pytest.mark.parametrize(
    "fields",
    [{"path_b64": "/"}, {"path_b64": b64(b"r")}, {"path_b64": b64(b"/r/../x")}, {"after_b64": "?"}, {"max": 0}],
    ids="-".join,
)
def test_questions_that_are_none(bench: Bench, fields: dict[str, Any]) -> None:
    """They are refused, as other requests are."""
    bench.pull()
    assert bench.ask("dead", group="g", **fields)["error"] == "bad_field"
    assert bench.ask("retry", group="g", paths_b64=[b64(b"r")])["error"] == "bad_field"
    assert bench.ask("dead", group="none")["error"] == "unknown_group"


def test_what_an_earlier_version_has_set_aside_stays(bench: Bench) -> None:
    """Its kind, time and output are not known; it is tried again like any other."""
    bench.index.put(b"/r/bad")
    fail(bench, reason="no")
    bench.store.close()
    with closing(sqlite3.connect(bench.path)) as db, db:
        db.execute("DROP INDEX outputs")
        for column in ("kind", "at", "output"):
            db.execute(f"ALTER TABLE parked DROP COLUMN {column}")
        db.execute("ALTER TABLE units DROP COLUMN once")
        db.execute("PRAGMA user_version=2")
    bench.open()
    (letter,) = dead(bench, output=True)
    assert (letter["path"], letter["reason"]) == ("/r/bad", "no")
    assert (letter["event_type"], letter["failed_at"], letter["output"]) == (None, None, "")
    assert bench.ask("retry", group="g")["paths"] == 1
    fail(bench, output="by now")
    assert [letter["output"] for letter in dead(bench, output=True)] == ["by now"]
