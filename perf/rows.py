"""The rows of the table: what each one asks, its goal, how its figures are shown, and whether they meet the goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

#: Our side, with native code and without.
OURS: Final = "shardwatch"
PURE: Final = "shardwatch-pure"
#: An older commit of ours (older.py).
OLD: Final = "older"
#: Names of the directories of what was measured beside an older commit: with native code, and without.
BESIDE: Final = {OURS: "beside", PURE: "beside-pure"}
#: Medians of one row by side and name.
Figures = Mapping[str, Mapping[str, float]]
#: By row.
All = Mapping[str, Figures]
Check = Callable[[Figures, All], bool | None]


@dataclass(frozen=True)
class Beside:
    """How a row is measured beside an older commit of ours: in turns, in each of them first today's and then the older one."""

    turns: int
    #: What is compared: figures by a word for each.
    compared: Mapping[str, str]
    #: At most so much of what the older commit took, by figure.
    goals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    question: str
    goal: str
    #: How a side's figures are shown; each `{name}` is a median, `{cpu}` the processor time of the product and, after a plus, of
    #: its consumer, where that is another process; `{shard}` of it that of a shard, where there is one.
    show: str
    #: None where the goal cannot be told, for want of a figure, of a peer, or of another row.
    check: Check | None = None
    #: Whether the row is in the table. The figures of others are in the results only.
    listed: bool = True
    #: None where it isn't measured beside an older commit.
    beside: Beside | None = None


def us(figures: Figures, name: str) -> float:
    return figures[OURS][name]


def against(peer: str, name: str, factor: float = 1.0) -> Check:
    """At most `factor` times the peer's."""
    return lambda figures, rest: us(figures, name) <= factor * figures[peer][name] if peer in figures else None


def at_most(**limits: float) -> Check:
    return lambda figures, rest: all(us(figures, name) <= limit for name, limit in limits.items())


def at_least(**limits: float) -> Check:
    return lambda figures, rest: all(us(figures, name) >= limit for name, limit in limits.items())


def every(*checks: Check) -> Check:
    """All of them; not told where one of them isn't, and none fails."""

    def check(figures: Figures, rest: All) -> bool | None:
        found = [one(figures, rest) for one in checks]
        return False if False in found else None if None in found else True

    return check


def within_the_start(factor: float) -> Check:
    """Ready within `factor` times our time of the usual start."""

    def check(figures: Figures, rest: All) -> bool | None:
        if OURS not in rest.get("start", {}):
            return None
        return us(figures, "ready_s") <= factor * us(rest["start"], "ready_s")

    return check


_START = "{ready_s:.2f} s; {cpu}"
_STORM = "{events:.0f} events, {late_s:.2f} s; {cpu}"
_LATENCY = "p50 {p50_ms:.1f}, p99 {p99_ms:.1f} ms; {cpu_ms:.2f} ms each"
_MEMORY = "{pss_mb:.0f} MB, {growth_kb:.0f} KB; {cpu}"
_BURST = "{late_s:.2f} s; {cpu}{shard}"
_CATCH_UP = "{rate:,.0f} events/s; {cpu}"
_SUSTAINED = "p99 {p99_ms:.0f} ms; {cpu_percent:.0f} %"
_BURST_GOAL = "none missed; <= watchman; <= 1.8 x its processor time"
_BURST_CHECK = every(at_most(missed=0), against("watchman", "late_s"), against("watchman", "cpu_s", 1.8))
_SUSTAINED_GOAL = "p99 <= 250 ms; none missed, no overflow; <= {share} % of a core"

#: What is compared with an older commit.
_STARTS = {"elapsed": "ready_s", "processor": "cpu_s"}
_BURSTS = {"elapsed": "late_s", "processor": "cpu_s", "of it the shard": "cpu_shards_s"}
_LATENCIES = Beside(2, {"p99": "p99_ms", "processor": "cpu_ms"})
_SHARES = Beside(2, {"processor": "cpu_percent"})
_GROWTH = Beside(2, {"growth": "growth_kb"})

ROWS: Final[dict[str, Row]] = {
    "start_empty": Row(
        "start on an empty tree: until ready", "<= 0.4 s", _START, at_most(ready_s=0.4), beside=Beside(5, _STARTS)
    ),
    "start": Row(
        "start on 100,000 files: until ready", "<= 0.75 x watchman; <= 1.5 x its processor time", _START,
        every(against("watchman", "ready_s", 0.75), against("watchman", "cpu_s", 1.5)),
        beside=Beside(5, _STARTS, {"cpu_s": 0.6}),
    ),
    "start_large": Row(
        "start on 1,000,000 files", "<= 0.5 x watchman; <= 8 x the row above", _START,
        every(against("watchman", "ready_s", 0.5), within_the_start(8)), beside=Beside(2, _STARTS),
    ),
    "start_cold": Row(
        "start on 100,000 files, cold cache, on disk", "<= watchman", _START, against("watchman", "ready_s"),
        beside=Beside(2, _STARTS),
    ),
    "resume": Row(
        "resume: known files, 100 changed while away; until ready", "just those 100; <= 0.6 x a start", _START,
        every(at_most(wrong=0), within_the_start(0.6)), beside=Beside(5, _STARTS),
    ),
    "burst": Row(
        "burst: every file rewritten once; last one after the writer", _BURST_GOAL, _BURST, _BURST_CHECK,
        beside=Beside(3, _BURSTS, {"cpu_shards_s": 0.5}),
    ),
    "burst_random": Row(
        "burst: the same in random order, not one directory after the other", _BURST_GOAL, _BURST, _BURST_CHECK,
        beside=Beside(3, _BURSTS),
    ),
    "storm_one": Row(
        "storm: one file, rewritten a million times; last state after the writer", "<= a few hundred events", _STORM,
        at_most(events=500, stale=0),
    ),
    "storm_ten": Row("storm: ten files", "<= a few hundred events", _STORM, at_most(events=500, stale=0), listed=False),
    "latency_zero": Row(
        "latency: one atomic save, settle 0", "p50 <= 3 ms, p99 <= 15 ms", _LATENCY, at_most(p50_ms=3, p99_ms=15, missed=0),
        beside=_LATENCIES,
    ),
    "latency_settle_20": Row(
        "latency: settle 20 ms, as watchman", "p99 <= watchman", _LATENCY,
        every(at_most(missed=0), against("watchman", "p99_ms")), beside=_LATENCIES,
    ),
    "latency_default": Row(
        "latency: settle 50 ms, the default (watchman: 20)", "p99 <= 70 ms", _LATENCY, at_most(p99_ms=70, missed=0),
        beside=_LATENCIES,
    ),
    "sustained": Row(
        "20,000 changes a second", _SUSTAINED_GOAL.format(share=35), _SUSTAINED,
        at_most(p99_ms=250, overflows=0, missed=0, cpu_percent=35),
    ),
    "sustained_random": Row(
        "20,000 changes a second in random order", _SUSTAINED_GOAL.format(share=60), _SUSTAINED,
        at_most(p99_ms=250, overflows=0, missed=0, cpu_percent=60),
    ),
    "catch_up_one": Row(
        "catch-up: 100,000 events, one worker", ">= 500,000 events/s", _CATCH_UP,
        every(at_least(rate=500_000), at_most(missed=0)),
    ),
    "catch_up_random": Row(
        "catch-up: the same of files that changed in random order", ">= 200,000 events/s", _CATCH_UP,
        every(at_least(rate=200_000), at_most(missed=0)),
    ),
    "catch_up_four": Row(
        "catch-up: four workers", ">= 150,000 events/s", _CATCH_UP, at_least(rate=150_000), listed=False
    ),
    "many_files": Row(
        "ten million generated files through the index and two groups, in one process: for each, and against a million",
        "<= 1.2 x the time and the memory; a step <= 100 ms",
        "{cpu_us:.1f} µs, {cpu_factor:.2f} x; {memory_mb:.0f} MB in all, {memory_factor:.2f} x; {disk_bytes:.0f} bytes on disk; "
        "one change {single_us:.0f} µs, {single_factor:.2f} x; a file of a fold {fold_us:.0f} µs, {fold_factor:.2f} x; "
        "longest step {step_ms:.0f} ms",
        at_most(cpu_factor=1.2, memory_factor=1.2, step_ms=100, wrong=0),
    ),
    "index_bytes": Row(
        "the index beyond names, for each of 100,000 files: listed; all rewritten; again, one by one, in random order; deleted",
        "<= 80 bytes; <= 130, also in random order",
        "{listed_bytes:.0f}, {changed_bytes:.0f}, {single_bytes:.0f}, {deleted_bytes:.0f} bytes; {cpu}",
        at_most(listed_bytes=80, changed_bytes=130, single_bytes=130, missed=0),
    ),
    "idle": Row(
        "idle: 100,000 files", "<= 0.15 % of a core", "{cpu_percent:.2f} %, {wakeups_s:.1f} wake-ups/s",
        at_most(cpu_percent=0.15), beside=_SHARES,
    ),
    "work": Row(
        "normal work: a save a second, 50 at once a minute, 10,000 files", "<= 0.35 % of a core; none missed",
        "{cpu_percent:.2f} %, slowest {slowest_ms:.0f} ms", at_most(cpu_percent=0.35, missed=0), beside=_SHARES,
    ),
    "quiet_reads": Row("every file read by others", "0 events", "{events:.0f} events; {cpu}", at_most(events=0)),
    "quiet_excluded": Row(
        "100,000 writes in excluded directories", "0 events; <= 1 % of the writer's processor time", "{events:.0f} events; {cpu}",
        at_most(events=0, cpu_percent=1),
    ),
    "memory_small": Row(
        "memory: 10,000 files", "<= 50 KB per 1,000 files", _MEMORY, at_most(growth_kb=50), beside=_GROWTH,
    ),
    "memory": Row(
        "memory: all, and growth per 1,000 files at 100,000", "<= 25 KB per 1,000 files", _MEMORY, at_most(growth_kb=25),
        beside=_GROWTH,
    ),
    "memory_large": Row(
        "memory: 1,000,000 files", "<= 20 KB per 1,000 files", _MEMORY, at_most(growth_kb=20)
    ),
    "recovery": Row(
        "recovery: kill -9 of one shard of eight, under load; until reconciled", "<= 0.5 s; none missed",
        "{recovered_s:.2f} s; {cpu}", at_most(recovered_s=0.5, missed=0),
    ),
    "find": Row(
        "find: by name, a tenth of a million files, and none", "<= 1.5 s each, none wrong",
        "{tenth_s:.2f}, {none_s:.2f} s; {cpu}",
        at_most(tenth_s=1.5, none_s=1.5, wrong=0),
    ),
    "exec": Row(
        "exec: `echo` for each of 1,000 files, against `xargs -P` over the same list", "<= 1.3 x xargs",
        "{each_ms:.2f} ms each, xargs {xargs_ms:.2f} ms: {factor:.2f} x; {cpu}",
        at_most(factor=1.3, wrong=0),
    ),
    "ship": Row(
        "ship: 100,000 files into a stream of NATS JetStream, and again as another generation", ">= 10,000 paths/s; none missed",
        "{rate:,.0f}, {again_rate:,.0f} paths/s; {cpu}", every(at_least(rate=10_000), at_most(missed=0)),
    ),
    "ship_batches": Row(
        "ship --layout batches: 2,000,000 events from 4 sources through one server to a consumer; 100,000 files of a service",
        ">= 200,000 events/s; none missed",
        "{rate:,.0f} events/s; {first_rate:,.0f} files/s; {cpu}", every(at_least(rate=200_000), at_most(missed=0)),
    ),
    "ship_latency": Row(
        "ship: one atomic save, settle 50 ms, until a FleetClient has it", "p99 <= settle + 200 ms", _LATENCY,
        at_most(p99_ms=250, missed=0),
    ),
    "ship_memory": Row(
        "ship: memory after 1,000,000 paths (PSS, peak of RSS), and of the server for each", "<= 60 MB; none missed",
        "{pss_mb:.0f} MB, peak {peak_mb:.0f} MB; server {server_bytes:.0f} bytes, disk {disk_bytes:.0f}; {cpu}",
        at_most(pss_mb=60, peak_mb=60, missed=0),
    ),
    "fleet_day": Row(
        "a day of 100 sources, compressed 600 times, to one worker elsewhere: lag of each change", "none missed",
        "{changes:,.0f} changes, p50 {p50_ms:,.0f}, p99 {p99_ms:,.0f}, worst hour {worst_hour_p99_ms:,.0f} ms; {cpu}",
        at_most(missed=0),
    ),
    "batching": Row(
        "batches of 100 against single events", ">= 40 % better", "{gain_percent:.0f} % better; {cpu}", at_least(gain_percent=40),
        listed=False,
    ),
    "spec_filter": Row(
        "specification: filter 1,000 events", "< 10 ms", "{filter_ms:.2f} ms; {cpu}", at_most(filter_ms=10), listed=False
    ),
    "spec_process": Row(
        "specification: process 1,000 events", "< 100 ms", "{process_ms:.1f} ms; {cpu}", at_most(process_ms=100), listed=False
    ),
    "spec_enqueue": Row(
        "specification: enqueue one event", "p99 < 1 ms (durability process)", "p99 {p99_ms:.3f} ms; {cpu}", at_most(p99_ms=1),
        listed=False,
    ),
    "spec_stop": Row("specification: stop", "< 5 s", "{stop_s:.2f} s; {cpu}", at_most(stop_s=5), listed=False),
    "shards": Row(
        "cost against shards", "", "ready with 8 shards {ready_8_s:.2f} s, burst late by {late_8_s:.2f} s; {cpu}", listed=False
    ),
    "floors": Row(
        "floor: one Python process lists, lstats and watches 100,000 files", "", "{watch_s:.2f} s; {cpu}",
    ),
}  # fmt: skip

#: Names for sets of rows, as `make perf ROWS=` takes them: what the service costs, in a quarter of an hour beside watchman.
SETS: Final[dict[str, tuple[str, ...]]] = {
    "cost": ("start_empty", "start", "burst", "burst_random", "latency_settle_20", "idle", "work"),
}


def chosen(rows: str, *, beside: bool = False) -> set[str]:
    """The keys of rows, or names of sets, with commas between them; "" for all. `beside`: of those only that are measured beside
    an older commit. Raises ValueError for what is neither."""
    there = [key for key, row in ROWS.items() if row.beside is not None or not beside]
    wanted = [name for name in rows.split(",") if name]
    if unknown := set(wanted) - set(there) - set(SETS):
        kind = "none that is measured beside an older commit" if beside else "none"
        raise ValueError(f"ROWS: {', '.join(sorted(unknown))}: {kind}; there are {', '.join([*SETS, *there])}")
    return {key for name in wanted for key in SETS.get(name, (name,))} or set(there)
