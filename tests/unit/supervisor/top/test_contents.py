"""What the tables of `top` hold."""

from __future__ import annotations

from typing import Any

from shardwatch.supervisor.search.find import FoundFile
from shardwatch.supervisor.top import contents
from shardwatch.supervisor.top.contents import Sheet, arranged, shown
from shardwatch.supervisor.top.rates import Rates, rates_between


def status(time: float, *, epoch: int = 1, hints: int = 0, written: int = 0, cursor: int = 0) -> dict[str, Any]:
    """Of a service with one shard and one group."""
    shard = {
        "id": "s0", "epoch": epoch, "state": "watching", "anchors": ["/a", "/b"], "backend": "inotify", "hints": hints,
        "pending": 1, "unacked": 0, "directories": 5, "files": 7, "watches": 5, "polled": 0, "overflows": 0, "rescans": 0,
        "busiest": [{"path": "/a\n", "per_minute": 8}, {"path": "/b", "per_minute": 2}],
    }  # fmt: skip
    group = {
        "name": "g", "state": "active", "backlog": 3, "oldest_pending_s": 2.5, "leased": 0, "retrying": 0,
        "parked_paths": 0, "waiting_pulls": 1, "cursor": cursor,
    }  # fmt: skip
    program = {
        "name": "shards:s0", "state": "STARTING", "heard": True, "pid": 9, "up_s": 61.0, "deaths": 2, "breaker": "closed",
        "error": "",
    }  # fmt: skip
    degraded = {
        "path": "/a/x", "state": "polled", "directories": 4, "shard": "s0", "reason": "no watches left", "remedy": "sysctl",
    }  # fmt: skip
    engine = {
        "ready": True, "files": 7, "directories": 5, "roots": ["/a"], "rows_written": written, "shards": [shard],
        "degraded": [degraded],
    }  # fmt: skip
    return {
        "time": time, "health": "degraded", "engine": engine, "groups": [group], "processes": [program],
        "findings": [{"level": "warning", "message": "4 directories polled", "remedy": "sysctl"}],
    }  # fmt: skip


NONE = {**status(0.0), "health": "down", "engine": None, "groups": [], "reason": "it is stopped", "findings": []}


def test_rates_are_differences_over_the_time_between() -> None:
    """Of each counter by itself."""
    found = rates_between(status(10.0, hints=100, written=10, cursor=5), status(12.0, hints=140, written=16, cursor=9))
    assert found == Rates({"s0": 20.0}, 3.0, {"g": 2.0})


def test_rates_that_are_not_known() -> None:
    """Before a second look, without an aggregator, after a restart of who counts, and when no time has passed."""
    now = status(12.0, hints=5, written=5, cursor=3)
    assert rates_between(None, now) == Rates({}, None, {})
    assert rates_between({**NONE, "time": 10.0}, now) == Rates({}, None, {})
    assert rates_between(now, {**NONE, "time": 14.0}) == Rates({}, None, {})
    assert rates_between(now, now) == Rates({}, None, {})
    restarted = rates_between(status(10.0, epoch=0, hints=9, written=9, cursor=9), now)
    assert restarted == Rates({}, None, {})


def test_the_busiest_directories() -> None:
    """Of all shards; of a shard that tells none there are none."""
    now = status(1.0)
    now["engine"]["shards"] += [{"id": "s1", "busiest": [{"path": "/c", "per_minute": 5}]}, {"id": "s2"}]
    assert contents.busiest(now).rows == [(8, "s0", r"/a\n"), (5, "s1", "/c"), (2, "s0", "/b")]
    assert contents.busiest(NONE).rows == []


def test_the_headline_is_the_truth() -> None:
    """The state first, and why it is down."""
    rates = Rates({}, 12.0, {})
    assert contents.headline(status(1.0), rates) == "degraded: 7 files in 5 directories below /a, 12 rows/s written"
    assert contents.headline(NONE, Rates({}, None, {})) == "down: it is stopped"
    refused = {**status(1.0), "engine": {"ready": False, "roots": ["/a"], "shards": [], "degraded": [], "storage": {}}}
    assert contents.headline(refused, rates) == "degraded"
    assert rates_between({**status(0.0)}, refused).written is None and rates_between(refused, status(2.0)).written is None
    starting = status(1.0)
    starting["engine"]["ready"] = False
    assert "still scanning" in contents.headline(starting, rates)
    assert contents.findings(status(1.0)) == "warning: 4 directories polled\n    -> sysctl"


def test_each_table_has_a_cell_for_each_header() -> None:
    """Also for a shard that has not been heard, and without an aggregator."""
    unheard = status(1.0)
    unheard["engine"]["shards"] = [{"id": "s1", "state": "absent", "anchors": ["/a"]}]
    for found in (status(1.0), unheard, NONE):
        rates = Rates({"s0": 1.5}, None, {})
        tables = [
            contents.shards(found, rates), contents.groups(found, rates), contents.programs(found), contents.not_watched(found),
        ]  # fmt: skip
        assert all(len(row) == len(table.headers) for table in tables for row in table.rows)
    assert contents.shards(status(1.0), Rates({"s0": 1.5}, None, {})).rows[0][:4] == ("s0", "watching", "inotify", 1.5)
    assert contents.programs(status(1.0)).rows[0][1] == "RUNNING"


def test_rows_are_filtered_and_sorted() -> None:
    """Numbers downwards, texts upwards, what is not known last."""
    table = Sheet("t", ("name", "n"), [("b", 1), ("a", None), ("C", 20)])
    assert [row[0] for row in arranged(table, None, "")] == ["b", "a", "C"]
    assert [row[0] for row in arranged(table, 1, "")] == ["C", "b", "a"]
    assert [row[0] for row in arranged(table, 0, "")] == ["C", "a", "b"]
    assert [row[0] for row in arranged(table, None, "c")] == ["C"]
    assert [row[0] for row in arranged(table, None, "20")] == ["C"]


def test_how_a_cell_is_shown() -> None:
    """A number as people read it."""
    assert [shown(cell) for cell in (None, 0.25, 1234.5, 1234, "x")] == ["-", "0.2", "1,234", "1,234", "x"]


def test_times_are_sorted_as_such_and_process_ids_can_be_typed() -> None:
    """However they read: two minutes are more than 90 seconds, and a pid has no commas."""
    now = status(1.0)
    program = now["processes"][0]
    now["processes"] = [{**program, "up_s": up_s, "pid": pid} for up_s, pid in ((90.0, 99), (7300.0, 25_362), (125.0, 0))]
    sheet = contents.programs(now)
    ordered = arranged(sheet, sheet.headers.index("up"), "")
    assert [(shown(row[3]), shown(row[2])) for row in ordered] == [("2 h", "25362"), ("2 min", "-"), ("90 s", "99")]
    files = [FoundFile(f"/t/{seen:g}", 1, 0, 7, seen) for seen in (9_000.0, 9_910.0, 20_000.0)]
    seen = [shown(row[2]) for row in arranged(contents.recent(files, 10_000.0), 2, "")]
    assert seen == ["16 min", "90 s", "0 s"]
