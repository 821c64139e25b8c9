"""The status of a service as metrics of Prometheus. docs/metrics.md lists them, and a test compares the list. Pure.

Counters begin again with the process that counts: those of a shard with each of its epochs, those of the engine with the
aggregator. Prometheus takes this for what it is (`rate`, `increase`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..service.degradations import DEGRADATIONS

#: The status of a service, as `status --json` prints it.
Status = Mapping[str, Any]

HEALTHS: Final = ("healthy", "starting", "degraded", "down")
LEVELS: Final = ("error", "warning", "note")
#: Busiest directories of all shards together.
BUSIEST_MAX: Final = 10


class _Field(NamedTuple):
    """A number of the status, and the metric that it is."""

    field: str
    name: str
    meaning: str
    counter: bool = False


_ENGINE: Final = (
    _Field("files", "files", "Files in the index"),
    _Field("directories", "directories", "Directories that are known"),
    _Field("tick", "tick", "Number of the last change"),
    _Field("frames", "frames", "Frames of shards that were applied", counter=True),
    _Field("duplicates", "frames_duplicate", "Frames that had been applied before", counter=True),
    _Field("gaps", "frames_missing", "Gaps in the numbers of frames, each answered with a request to resend", counter=True),
    _Field("dropped", "records_dropped", "Records of shards that do not own the directory", counter=True),
    _Field("refused", "messages_refused", "Messages on the sockets of shards that are not frames", counter=True),
    _Field("rows_written", "rows_written", "Rows of the index that were written", counter=True),
    _Field("waiting_requests", "requests_waiting", "Requests of consumers that wait"),
    _Field("refused_requests", "requests_refused", "Requests of consumers that were refused", counter=True),
)
_SHARD: Final = (
    _Field("directories", "shard_directories", "Directories of the shard"),
    _Field("files", "shard_files", "Files of the shard"),
    _Field("watches", "shard_watches", "Watches of the shard in the kernel"),
    _Field("polled", "shard_polled_directories", "Directories that the shard polls"),
    _Field("unreadable", "shard_unreadable_directories", "Directories, and whole filesystems, that the shard can't read now"),
    _Field("pending", "shard_pending_names", "Names that the shard has to look at"),
    _Field("unacked", "shard_unacknowledged_frames", "Frames that the index has not taken in"),
    _Field("silent_s", "shard_silent_seconds", "Time since the shard was heard"),
    _Field("hints", "shard_hints", "What the kernel has reported to the shard, before debouncing", counter=True),
    _Field("looks", "shard_looks", "Looks at names and directories", counter=True),
    _Field("filtered", "shard_filtered_names", "Names that are out of scope", counter=True),
    _Field("overflows", "shard_overflows", "Overflows of the kernel's queue", counter=True),
    _Field("rescans", "shard_rescans", "Scans that were made because hints were lost", counter=True),
    _Field("resent", "shard_frames_resent", "Frames that were sent again", counter=True),
    _Field("findings", "shard_findings", "Findings of the verification since the start of the aggregator", counter=True),
)
_GROUP: Final = (
    _Field("backlog", "group_backlog_paths", "Paths that are pending in the group"),
    _Field(
        "oldest_pending_s", "group_oldest_pending_seconds",
        "Age of the change that is pending longest, of those that no worker was handed",
    ),
    _Field("leased", "group_leased_paths", "Paths that a worker has and has not acknowledged"),
    _Field("retrying", "group_retrying_paths", "Paths that have failed and are to be tried again"),
    _Field("parked_paths", "group_set_aside_paths", "Paths that are set aside because each attempt failed"),
    _Field("waiting_pulls", "group_waiting_workers", "Workers that wait for changes"),
    _Field("cursor", "group_acknowledged_tick", "Tick up to which everything is acknowledged"),
)
_PROGRAM: Final = (
    _Field("up_s", "program_uptime_seconds", "Time since the start of the process"),
    _Field("deaths", "program_recent_deaths", "Deaths in the last minute"),
    _Field("hung", "program_hangs", "How often the program was killed because it hung", counter=True),
    _Field(
        "memory_restarts", "program_memory_restarts", "How often the program was started again because of memory_mib_max",
        counter=True,
    ),
    _Field("memory_bytes", "program_memory_bytes", "Memory of the program, as ps shows it (RSS)"),
    _Field("stuck_s", "program_stuck_seconds", "For how long it has been impossible to kill the process"),
)
_LIMITS: Final = (
    _Field("watches", "watches_limit", "Watches that the kernel allows to the user of the service"),
    _Field("watches_used", "watches_used", "Watches that all processes of that user have, as far as they can be seen"),
)


def exposition(status: Status, accept: str) -> tuple[bytes, str]:
    """The metrics in the format that a scraper accepts (the header `Accept`), and the name of that format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Status(status))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Status(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        return families(self._status)


def families(status: Status) -> Iterator[Metric]:
    """Every metric. What the aggregator would say is left out while it does not answer, and `shardwatch_answering` is 0."""
    yield from _verdict(status)
    programs = [(str(row["name"]), row) for row in status["processes"]]
    running = [(name, int(bool(row["pid"]))) for name, row in programs]
    yield _family("program_running", "Whether the program has a process", "program", running)
    tripped = [(str(row["name"]), int(row["breaker"] != "closed")) for row in status["processes"]]
    yield _family("program_breaker_open", "Whether the program dies again and again", "program", tripped)
    yield from _of_each(_PROGRAM, "program", programs)
    engine = status["engine"]
    if engine is not None:
        yield _family("ready", "Whether everything has been looked at once", None, [("", int(bool(engine["ready"])))])
        for field in _ENGINE:
            if engine.get(field.field) is not None:
                yield _family(field.name, field.meaning, None, [("", engine[field.field])], counter=field.counter)
        yield from _of_each(_SHARD, "shard", [(str(shard["id"]), shard) for shard in engine["shards"]])
        yield from _subtrees(engine["degraded"])
        yield from _busiest(engine["shards"])
        yield from _polling(engine.get("polling"))
        if (holds := engine.get("holds")) is not None:  # else nobody knows: the databases can't be used
            count = sum(1 for hold in holds if not hold["spent"])
            yield _family("holds", "Holds for which batches are held back", None, [("", count)])
    yield from _of_each(_GROUP, "group", [(str(group["name"]), group) for group in status["groups"]])
    yield from _shipping(status["ship"])
    if limits := status.get("limits"):
        for field in _LIMITS:
            yield _family(field.name, field.meaning, None, [("", limits[field.field])])


def _verdict(status: Status) -> Iterator[Metric]:
    yield _family("answering", "Whether the aggregator answers", None, [("", int(status["answering"]))])
    states = [(state, int(state == status["health"])) for state in HEALTHS]
    yield _family("health", "1 for the state that the service is in", "state", states)
    counts = [(level, sum(1 for finding in status["findings"] if finding["level"] == level)) for level in LEVELS]
    yield _degradations(status["findings"])
    yield _family("findings", "Reasons of the verdict, as `shardwatch status` shows them", "level", counts)


def _degradations(findings: Sequence[Status]) -> Metric:
    """One for each state that there may be, so that a rule finds each, and what is over goes back to 0."""
    meaning = "How often the service is in this state; what helps in general is the label remedy"
    family = GaugeMetricFamily("shardwatch_degraded", f"{meaning}.", labels=["reason", "level", "remedy"])
    for state in DEGRADATIONS:
        count = sum(1 for finding in findings if finding["reason"] == state.reason)
        family.add_metric([state.reason, state.level, state.remedy], count)
    return family


def _subtrees(degraded: Sequence[Status]) -> Iterator[Metric]:
    by_state: dict[str, int] = {}
    for subtree in degraded:
        by_state[subtree["state"]] = by_state.get(subtree["state"], 0) + max(1, int(subtree.get("directories") or 0))
    meaning = "Directories that are not watched, or otherwise than usual, by state"
    yield _family("degraded_directories", meaning, "state", sorted(by_state.items()))


def _busiest(shards: Sequence[Status]) -> Iterator[Metric]:
    """By its place only: a label for each path that was ever busy would make ever more series."""
    counts = sorted((int(one["per_minute"]) for shard in shards for one in shard.get("busiest") or []), reverse=True)
    ranks = [(str(rank), count) for rank, count in enumerate(counts[:BUSIEST_MAX], 1)]
    yield _family("busiest_directory_changes", "Names that change in a minute in the busiest directories", "rank", ranks)


def _polling(polling: Status | None) -> Iterator[Metric]:
    if not polling:
        return
    counts = [(tier["tier"], tier["directories"]) for tier in polling["tiers"]]
    yield _family("polled_directories", "Directories that are polled, by how recently something changed in them", "tier", counts)
    bounds = [(tier["tier"], tier["bound_s"]) for tier in polling["tiers"] if tier["directories"]]
    yield _family("polling_bound_seconds", "The longest time between two looks at such a directory", "tier", bounds)
    yield _family("polling_cpu_percent", "Percent of a core that polling takes", None, [("", polling["cpu_percent"])])
    needed = [("", polling["needed_percent"])]
    yield _family("polling_needed_cpu_percent", "Percent of a core that would keep poll_ms_max", None, needed)


def _shipping(ship: Status | None) -> Iterator[Metric]:
    if ship is None:
        return
    yield _family("ship_connected", "Whether changes are shipped", None, [("", int(ship["connected"]))])
    if ship["behind"] is not None:
        yield _family("ship_behind_paths", "Paths that are still to be shipped", None, [("", ship["behind"])])
        yield _family("ship_unconfirmed_paths", "Paths that the stream has not confirmed", None, [("", ship["unconfirmed"])])


def _of_each(fields: Sequence[_Field], label: str, rows: Sequence[tuple[str, Status]]) -> Iterator[Metric]:
    for field in fields:
        values = [(name, row[field.field]) for name, row in rows if row.get(field.field) is not None]
        yield _family(field.name, field.meaning, label, values, counter=field.counter)


def _family(
    name: str, meaning: str, label: str | None, values: Sequence[tuple[str, float]], *, counter: bool = False
) -> Metric:
    kind = CounterMetricFamily if counter else GaugeMetricFamily
    family = kind(f"shardwatch_{name}", f"{meaning}.", labels=[label] if label else [])
    for value_of, value in values:
        family.add_metric([value_of] if label else [], value)
    return family
