"""The request `since`: what has changed since a cursor, told exactly, or `fresh` where that is not known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from harness_serve import Bench, BenchMaker, short

Reply = dict[str, Any]


@pytest.fixture
def bench(make_bench: BenchMaker) -> Bench:
    return make_bench()


def since(bench: Bench, cursor: str | None = None, **fields: Any) -> Reply:
    """One answer, which is no error."""
    reply = bench.ask("since", **({} if cursor is None else {"cursor": cursor}), **fields)
    assert reply["ok"], reply
    return reply


def everything(bench: Bench, cursor: str, limit: int = 1000) -> list[Reply]:
    """The events of all pages, and the state of the last one."""
    pages = [since(bench, cursor, max=limit)]
    while pages[-1]["more"]:
        pages.append(since(bench, pages[-1]["cursor"], max=limit))
    assert all("fresh" not in page and len(page["events"]) <= limit for page in pages)
    return [event for page in pages for event in page["events"]]


def is_fresh(bench: Bench, cursor: str) -> bool:
    """Whether the answer is `fresh`; then it has no events, and names a cursor that is good."""
    reply = since(bench, cursor)
    if "fresh" not in reply:
        return False
    assert reply["fresh"] and (reply["events"], reply["more"]) == ([], False)
    assert "fresh" not in since(bench, reply["cursor"])
    return True


def test_the_first_answer_names_a_cursor_and_later_ones_what_has_changed(bench: Bench) -> None:
    """Each path once, in the state that it has now; what came and went in between is not told."""
    bench.index.put(b"/r/old")
    bench.index.put(b"/r/gone", size=3)
    first = since(bench)
    assert (first["events"], first["more"], "fresh" in first) == ([], False, False)
    assert since(bench, first["cursor"])["events"] == []
    bench.index.put(b"/r/new", size=2)
    bench.index.put(b"/r/new", size=7)
    bench.index.remove(b"/r/gone")
    bench.index.put(b"/r/brief")
    bench.index.remove(b"/r/brief")
    reply = since(bench, first["cursor"], json=True)
    assert sorted(short(reply["events"])) == [("deleted", "/r/gone"), ("modified", "/r/new")]
    new = next(event for event in reply["events"] if event["path"] == "/r/new")
    assert (new["type"], new["size"], new["is_directory"]) == ("event", 7, False)
    gone = next(event for event in reply["events"] if event["path"] == "/r/gone")
    assert (gone["size"], gone["mtime_ns"]) == (None, None)
    assert since(bench, reply["cursor"])["events"] == []


def test_what_changes_again_and_again_is_told_each_time(bench: Bench) -> None:
    """Also where no group is there, for whose sake a row would get another tick, and after a crash, which forgets it."""
    bench.index.put(b"/r/a", size=1)
    cursor = since(bench)["cursor"]
    for size in range(2, 8):
        bench.index.put(b"/r/a", size=size)
        reply = since(bench, cursor)
        assert [(e["path"], e["size"]) for e in reply["events"]] == [("/r/a", size)]
        cursor = reply["cursor"]
        (bench.crash if size % 2 else bench.restart)()
    bench.index.remove(b"/r/a")
    assert short(since(bench, cursor)["events"]) == [("deleted", "/r/a")]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_go_on_from_their_cursor_over_all_priorities(bench: Bench, limit: int) -> None:
    """In the order of the changes, each path once, however small the pages are."""
    cursor = since(bench)["cursor"]
    for n in range(10):
        bench.index.put(b"/r/%d" % n, lane=n % 3)
    events = everything(bench, cursor, limit)
    assert [event["path"] for event in events] == [f"/r/{n}" for n in range(10)]
    assert [event["tick"] for event in events] == sorted(event["tick"] for event in events)


def test_an_answer_has_a_thousand_events_at_most(bench: Bench) -> None:
    """Whatever is asked for."""
    cursor = since(bench)["cursor"]
    for n in range(1001):
        bench.index.put(b"/r/%d" % n)
    reply = since(bench, cursor, max=10**6)
    assert (len(reply["events"]), reply["more"]) == (1000, True)
    assert (len(since(bench, reply["cursor"])["events"])) == 1


@pytest.mark.parametrize("seed", range(10))
def test_any_cursor_leads_to_the_present(bench: Bench, seed: int) -> None:
    """Whoever had everything at any earlier cursor, and applies what is told since then, has what is there now."""
    dice = random.Random(seed)
    there: dict[str, int] = {}
    kept: list[tuple[str, dict[str, int]]] = []
    for step in range(300):
        path = f"/r/{dice.randrange(12)}"
        match dice.randrange(12):
            case 0 | 1 | 2 | 3:
                there[path] = step + 1
                bench.index.put(path.encode(), size=step + 1, lane=int(path[3:]) % 2)
            case 4 | 5 | 6 if path in there:
                del there[path]
                bench.index.remove(path.encode())
            case 7 | 8:
                kept.append((since(bench)["cursor"], dict(there)))
            case 9 if kept:
                cursor, mirror = dice.choice(kept)
                mirror = dict(mirror)
                for event in everything(bench, cursor, dice.randrange(1, 5)):
                    if event["event_type"] == "deleted":
                        mirror.pop(event["path"], None)
                    else:
                        mirror[event["path"]] = event["size"]
                assert mirror == there
            case 10 if dice.random() < 0.5:
                number = bench.send("pull", group=dice.choice("gh"), max=3, from_="start")
                bench.take(bench.server.tick())  # where many rows were skipped, the answer comes in a later turn
                batch = bench.replies.get(number, {}).get("batch")
                if batch is not None and dice.random() < 0.7:
                    bench.ack(batch)
            case 11 if dice.random() < 0.3:
                dice.choice([bench.crash, bench.restart])()
    assert kept


def test_a_cursor_that_is_older_than_the_deletions_that_are_kept_is_fresh(bench: Bench) -> None:
    """Only then: a cursor of after the forgotten deletion, and the last one that was given, are good."""
    bench.index.put(b"/r/a")
    bench.index.put(b"/r/b")
    old = since(bench)["cursor"]
    bench.index.remove(b"/r/a")
    later = since(bench)["cursor"]
    assert bench.index.collect(bench.server.passed()) == 1
    assert is_fresh(bench, old)
    bench.index.remove(b"/r/b")
    assert bench.index.collect(dict.fromkeys(bench.index.lanes(), 0)) == 0
    assert short(since(bench, later)["events"]) == [("deleted", "/r/b")]


def test_a_deletion_is_kept_for_the_last_cursor_that_was_given(bench: Bench) -> None:
    """However old it is by the time at which it is asked for: tombstones are forgotten only where every position has passed."""
    bench.index.put(b"/r/a")
    cursor = since(bench)["cursor"]
    bench.index.remove(b"/r/a")
    assert bench.index.collect(bench.server.passed()) == 0
    assert short(since(bench, cursor)["events"]) == [("deleted", "/r/a")]


def test_a_cursor_of_another_index_or_of_lost_positions_is_fresh(bench: Bench) -> None:
    """The index was built anew; groups.db was lost; the settings decide otherwise what is watched; a tick of the future."""
    cursor = since(bench)["cursor"]
    head, _, tick = cursor.rpartition(":")
    assert is_fresh(bench, f"{head}:{int(tick) + 10**6}")
    assert is_fresh(bench, "c:0123456789abcdef-0-0:1")
    assert not is_fresh(bench, cursor)

    bench.settings = bench.settings.__class__(**{**_fields(bench), "exclude": ("*.tmp",)})
    bench.restart()
    assert is_fresh(bench, cursor)
    cursor = since(bench)["cursor"]

    bench.store.abandon()
    bench.path.unlink()
    for beside in ("-wal", "-shm"):
        Path(f"{bench.path}{beside}").unlink(missing_ok=True)
    bench.open()
    assert is_fresh(bench, cursor)
    cursor = since(bench)["cursor"]

    bench.index.become_another()
    bench.restart()
    assert is_fresh(bench, cursor)


def _fields(bench: Bench) -> dict[str, Any]:
    return {name: getattr(bench.settings, name) for name in bench.settings.__struct_fields__}


def test_cursors_that_are_not_used_are_given_up_as_groups_are(bench: Bench) -> None:
    """After retention_days no deletion is kept for them, and `status` says so."""
    cursor = since(bench)["cursor"]
    bench.wall += 8 * 86_400
    bench.server._skew = bench.wall  # the days went by, the clock was not set
    bench.advance(61)
    assert bench.server.passed() == dict.fromkeys(bench.index.lanes(), bench.index.tick)
    assert any(note.startswith("`since` was not used for 7 days") for note in bench.ask("status")["status"]["notes"])
    assert is_fresh(bench, cursor)


def test_a_path_that_came_back_and_went_again_is_told_to_earlier_cursors(bench: Bench) -> None:
    """The deletion that an earlier cursor has not seen is not lost because a later one has, and the path was made anew since."""
    bench.index.put(b"/r/a")
    early = since(bench)["cursor"]
    bench.index.remove(b"/r/a")
    since(bench)
    bench.index.put(b"/r/a")
    bench.index.remove(b"/r/a")
    assert short(since(bench, early)["events"]) == [("deleted", "/r/a")]


def test_what_keeps_the_cursors_is_no_group_of_anybody(bench: Bench) -> None:
    """It is not listed, can't be named, and no hold waits for it."""
    since(bench)
    assert bench.ask("groups")["groups"] == []
    assert bench.ask("drop", group="")["error"] == "bad_group"
    assert bench.ask("pull", group="")["error"] == "bad_group"


@pytest.mark.parametrize(
    "cursor", ["", "c", "c::1", "c:a:", "c:a:-1", "c:a:1e3", "c:a:1 ", "d:a:1", "c:a:" + "9" * 19, "c:\x00:1", "c:a:١"]
)
def test_what_is_no_cursor_is_refused(bench: Bench, cursor: str) -> None:
    """That is a mistake of who asks, and no reason to begin afresh."""
    reply = bench.ask("since", cursor=cursor)
    assert (reply["ok"], reply["error"]) == (False, "bad_field")
    assert "is no cursor" in reply["message"]


def test_other_consumers_are_told_the_same_as_without_it(bench: Bench) -> None:
    """A group that is there beside the cursors gets its events with the kinds and the paths that it would get without them."""

    def told(*, with_cursors: bool) -> list[tuple[str, str]]:
        path = bench.path.with_name(f"groups-{with_cursors}.db")
        other = Bench(path)
        events: list[tuple[str, str]] = []
        for n in range(6):
            if with_cursors:
                since(other)
            other.index.put(b"/r/a", size=n + 1)
            other.index.put(b"/r/%d" % n)
            if n % 2:
                other.index.remove(b"/r/%d" % (n - 1))
            events += short(other.drain())
        other.store.abandon()
        return events

    assert told(with_cursors=True) == told(with_cursors=False)
