"""The rows of the table: what each one asks, its goal, how its figures are shown, and whether they meet the goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

OURS: Final = "shardwatch"
#: Medians of one row by side and name.
Figures = Mapping[str, Mapping[str, float]]
#: By row.
All = Mapping[str, Figures]
Check = Callable[[Figures, All], bool | None]


@dataclass(frozen=True)
class Row:
    question: str
    goal: str
    #: How a side's figures are shown; each `{name}` is a median, with its range where it is the first.
    show: str
    #: None where the goal cannot be told, for want of a peer's figure or of another row's.
    check: Check | None = None
    #: The same for a side that has not all the figures.
    show_peer: str = ""


def us(figures: Figures, name: str) -> float:
    return figures[OURS][name]


def against(peer: str, name: str, factor: float = 1.0, limit: float = float("inf")) -> Check:
    """At most `factor` times the peer's, and at most `limit`."""

    def check(figures: Figures, rest: All) -> bool | None:
        if us(figures, name) > limit:
            return False
        return us(figures, name) <= factor * figures[peer][name] if peer in figures else None

    return check


def at_most(**limits: float) -> Check:
    return lambda figures, rest: all(us(figures, name) <= limit for name, limit in limits.items())


def _sizes(figures: Figures, rest: All) -> bool | None:
    return us(figures, "ready_s") <= 10 * us(rest["start"], "ready_s") if "start" in rest else None


def _resume(figures: Figures, rest: All) -> bool | None:
    if us(figures, "wrong"):
        return False
    return us(figures, "ready_s") <= us(rest["start"], "ready_s") if "start" in rest else None


def _burst(figures: Figures, rest: All) -> bool | None:
    if us(figures, "missed") or us(figures, "late_s") > 0.5:
        return False
    return us(figures, "late_s") <= figures["watchman"]["late_s"] if "watchman" in figures else None


_START = "{ready_s:.2f} s, {cpu_s:.2f} s of processor"
_STORM = "{events:.0f} events, last state {late_s:.2f} s after the writer, {cpu_percent:.0f} % of one core"
_LATENCY = "p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, slowest {max_ms:.1f} ms"
_MEMORY = "{growth_kb:.1f} KB per 1,000 files ({pss_mb:.1f} MB in all, empty {empty_mb:.1f}; file pages' part {file_kb:.1f} KB)"

ROWS: Final[dict[str, Row]] = {
    "start": Row(
        "start: command to ready, warm cache", "<= 1.2 s and <= 0.5 x watchman", _START,
        against("watchman", "ready_s", 0.5, 1.2),
    ),
    "start_large": Row("start: ten times as many files", "<= 10 x the row above", _START, _sizes),
    "start_cold": Row("start: cold cache, on disk", "<= watchman", _START, against("watchman", "ready_s")),
    "resume": Row(
        "resume: known files, 100 changed while away", "exactly those 100; <= cold start",
        "{ready_s:.2f} s to ready, all handed over after {handed_s:.2f} s, {wrong:.0f} wrong", _resume,
    ),
    "burst": Row(
        "burst: every file rewritten once at full speed", "none missed; last one <= 0.5 s after the writer, before watchman",
        "last one {late_s:.2f} s after the writer ({writer_s:.2f} s), {missed:.0f} missed, {events:.0f} events", _burst,
    ),
    "storm_one": Row("storm: one file", "<= a few hundred events; last state delivered", _STORM, at_most(events=500, stale=0)),
    "storm_ten": Row("storm: ten files", "<= a few hundred events; last states delivered", _STORM, at_most(events=500, stale=0)),
    "latency_zero": Row(
        "latency: one atomic save, settle 0", "p50 <= 3 ms, p99 <= 15 ms", _LATENCY, at_most(p50_ms=3, p99_ms=15, missed=0),
    ),
    "latency_default": Row(
        "latency: one atomic save, settle 50 ms (watchman: 20)", "p99 <= 70 ms", _LATENCY, at_most(p99_ms=70, missed=0),
    ),
    "latency_settle_20": Row(
        "latency: one atomic save, settle 20 ms as watchman", "p50 better than watchman's", _LATENCY,
        against("watchman", "p50_ms"),
    ),
    "sustained": Row(
        "sustained: 20,000 changes a second", "backlog flat, p99 <= 250 ms, no overflow",
        "p99 {p99_ms:.0f} ms (p50 {p50_ms:.0f}), backlog at most {backlog_max:.0f} and {backlog_end:.0f} at the end,"
        " {overflows:.0f} overflows, {missed:.0f} missed, at {rate:.0f}/s; {cpu_percent:.0f} % of one core",
        at_most(p99_ms=250, overflows=0, missed=0),
    ),
    "catch_up_one": Row(
        "catch-up: one worker, batches of 1,000", ">= 150,000 events/s", "{rate:.0f} events/s",
        lambda f, rest: us(f, "rate") >= 150_000 and not us(f, "missed"),
    ),
    "catch_up_four": Row(
        "catch-up: four workers", ">= 150,000 events/s", "{rate:.0f} events/s",
        lambda f, rest: us(f, "rate") >= 150_000 and not us(f, "missed"),
    ),
    "idle": Row(
        "idle: nothing happens", "<= 0.2 % of one core", "{cpu_percent:.2f} % of one core, {wakeups_s:.1f} wake-ups/s",
        at_most(cpu_percent=0.2),
    ),
    "quiet_reads": Row(
        "quiet: every file read", "0 events", "{events:.0f} events, {cpu_percent:.2f} % of the reader's processor time",
        at_most(events=0),
    ),
    "quiet_excluded": Row(
        "quiet: as many writes in excluded directories", "0 events, <= 1 % of the writer's processor time",
        "{events:.0f} events, {cpu_percent:.2f} % of the writer's processor time", at_most(events=0, cpu_percent=1),
    ),
    "memory_small": Row("memory: the smallest tree", "<= 25 KB growth per 1,000 files", _MEMORY, at_most(growth_kb=25)),
    "memory": Row("memory: the usual tree", "<= 25 KB growth per 1,000 files", _MEMORY, at_most(growth_kb=25)),
    "memory_large": Row("memory: the largest tree", "<= 25 KB growth per 1,000 files", _MEMORY, at_most(growth_kb=25)),
    "recovery": Row(
        "recovery: kill -9 of one shard of eight, under load", "<= 0.5 s until watched and reconciled",
        "{recovered_s:.2f} s, new process after {restarted_s:.2f} s, {missed:.0f} missed", at_most(recovered_s=0.5, missed=0),
    ),
    "work": Row(
        "normal work: a save a second, 50 at once a minute, 10,000 files", "< 0.5 % of one core; every change found",
        "{cpu_percent:.2f} % of one core, {missed:.0f} missed, slowest {slowest_ms:.0f} ms, {wakeups_s:.1f} wake-ups/s",
        at_most(cpu_percent=0.5, missed=0),
    ),
    "find": Row(
        "find: by name, in the index of a million files", "<= 1.5 s",
        "{tenth_s:.2f} s for a tenth of all files, {none_s:.2f} s for none, {wrong:.0f} wrong",
        at_most(tenth_s=1.5, none_s=1.5, wrong=0),
    ),
    "batching": Row(
        "batching: batches of 100 against single events", ">= 40 % better", "{gain_percent:.0f} % better",
        lambda f, rest: us(f, "gain_percent") >= 40,
    ),
    "spec_filter": Row("specification: filter 1,000 events", "< 10 ms", "{filter_ms:.2f} ms", at_most(filter_ms=10)),
    "spec_process": Row("specification: process 1,000 events", "< 100 ms", "{process_ms:.1f} ms", at_most(process_ms=100)),
    "spec_enqueue": Row(
        "specification: enqueue one event", "p99 < 1 ms (durability process)",
        "p99 {p99_ms:.3f} ms, p50 {p50_ms:.3f} ms (durability power: p99 {power_p99_ms:.3f} ms)", at_most(p99_ms=1),
    ),
    "spec_stop": Row("specification: stop", "< 5 s", "{stop_s:.2f} s", at_most(stop_s=5)),
    "shards": Row("cost against shards", "", "{ready_1_s:.2f} / {ready_2_s:.2f} / {ready_4_s:.2f} / {ready_8_s:.2f} s to ready"
        " with 1 / 2 / 4 / 8 shards; burst late by {late_1_s:.2f} / {late_2_s:.2f} / {late_4_s:.2f} / {late_8_s:.2f} s"),
    "floors": Row(
        "physical floors of this machine", "",
        "one process, one after the other: list {walk_s:.2f} s, list and lstat {lstat_s:.2f} s, that and inotify_add_watch"
        " {watch_s:.2f} s, SQLite insert {sqlite_s:.2f} s (one row a file); Python start {python_s:.3f} s, with zmq and msgspec"
        " {imports_s:.3f} s; fsync {fsync_ms:.2f} ms",
    ),
}  # fmt: skip
