"""The request `explain`: what each group was told of a path, or owes about it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from harness_serve import Bench, BenchMaker

PATH = b"/r/\xffa"


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench(attempts_max=2)


def rows(bench: Bench, path: bytes = PATH) -> list[dict[str, Any]]:
    reply = bench.ask("explain", path_b64=b64encode(path).decode())
    assert reply["ok"], reply
    found: list[dict[str, Any]] = reply["rows"]
    return found


def standing(bench: Bench, path: bytes = PATH, group: str = "g") -> dict[str, Any]:
    """Of the path's one row with a group."""
    (row,) = rows(bench, path)
    (found,) = (one for one in row["groups"] if one["name"] == group)
    return {key: value for key, value in found.items() if key != "name"}


def test_a_change_is_followed_through_a_group(bench: Bench) -> None:
    """From pending over the lease, a failure, and being set aside, to the ack; asking changes nothing of it."""
    assert rows(bench) == []
    bench.index.put(PATH)
    bench.ask("create", group="g", from_="start")
    (row,) = rows(bench)
    assert (row["is_directory"], row["exists"], row["tick"]) == (False, True, 1)
    assert standing(bench) == {"standing": "pending"}
    batch = bench.pull(worker="w", lease_ms=10_000)
    assert batch is not None
    assert standing(bench) == {"standing": "leased", "worker": "w", "attempt": 1, "ends_in_s": 10.0}
    bench.ask("nack", group="g", batch=batch["id"], reason="no", retry_ms=5_000)
    assert standing(bench) == {"standing": "retrying", "failures": 1, "reason": "no", "due_in_s": 5.0}
    bench.advance(6)
    batch = bench.pull()
    assert batch is not None
    bench.ask("nack", group="g", batch=batch["id"], reason="never")
    assert standing(bench) == {"standing": "set aside", "attempts": 2, "reason": "never"}
    bench.ask("retry", group="g")
    bench.drain()
    assert standing(bench) == {"standing": "acknowledged"}


def test_a_later_state_waits_for_the_lease_of_an_earlier_one(bench: Bench) -> None:
    """Whether the group has come to it yet or not; also when the service was started again in the meantime."""
    bench.index.put(PATH)
    batch = bench.pull()
    assert batch is not None
    bench.index.put(PATH, size=2)
    assert standing(bench) == {"standing": "held"}
    assert bench.pull() is None
    assert standing(bench) == {"standing": "held"}
    bench.restart()
    assert standing(bench) == {"standing": "held"}
    bench.ack(batch)
    assert standing(bench) == {"standing": "pending"}


def test_a_deletion_is_owed_only_to_who_was_told_of_the_path(bench: Bench) -> None:
    """A group that has acknowledged the path is told; one that has not come to it is not, and one that begins later neither."""
    bench.index.put(PATH)
    bench.drain("told")
    bench.ask("create", group="behind", from_="start")
    bench.index.remove(PATH)
    bench.ask("create", group="later", from_="now")
    assert rows(bench)[0]["exists"] is False
    assert standing(bench, group="told") == {"standing": "pending"}
    assert standing(bench, group="behind") == {"standing": "untold"}
    assert standing(bench, group="later")["standing"] == "before"
    for group in ("told", "behind", "later"):
        bench.drain(group)
    assert standing(bench, group="told") == {"standing": "acknowledged"}
    assert standing(bench, group="behind") == {"standing": "untold"}


def test_a_group_owes_nothing_of_before_it_began_or_was_moved_to(bench: Bench) -> None:
    """It says from where on it tells."""
    bench.index.put(PATH)
    bench.index.put(b"/r/b")
    bench.ask("create", group="now", from_="now")
    assert standing(bench, group="now") == {"standing": "before", "position": 2}
    bench.ask("create", group="moved", from_="start")
    bench.ask("seek", group="moved", tick=1)
    assert standing(bench, group="moved") == {"standing": "before", "position": 1}
    assert standing(bench, b"/r/b", group="moved") == {"standing": "pending"}


def test_a_group_that_has_not_begun_or_begins_afresh_says_so(bench: Bench) -> None:
    """Neither has a position that could be compared with the row."""
    bench.index.put(PATH)
    bench.engine.is_ready = False
    bench.ask("create", group="g")
    assert standing(bench) == {"standing": "waiting"}
    bench.engine.is_ready = True
    bench.commit()
    bench.ask("reset", group="g")
    assert standing(bench) == {"standing": "fresh", "reason": "somebody asked for it"}


def test_a_path_that_was_a_file_and_is_a_directory_has_two_rows(bench: Bench) -> None:
    """Each with its own standing."""
    bench.index.put(b"/r/x")
    bench.drain()
    bench.index.remove(b"/r/x")
    bench.index.put(b"/r/x", directory=True)
    found = [(row["is_directory"], row["exists"], row["groups"][0]["standing"]) for row in rows(bench, b"/r/x")]
    assert found == [(False, False, "pending"), (True, True, "pending")]


@pytest.mark.parametrize("path", [b"", b"r/a", b"/r/../a", b"/r//a", b"/r/"])
def test_what_is_no_exact_path_is_refused(bench: Bench, path: bytes) -> None:
    """As for `look`; and text that is no base64."""
    assert bench.ask("explain", path_b64=b64encode(path).decode())["error"] == "bad_field"
    assert bench.ask("explain", path_b64="/r/a")["error"] == "bad_field"
