"""The rows of each table of `top`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..search.find import FoundFile
from ..terminal.render import counted, duration, readable
from ..terminal.tables import findings_text
from .rates import Rates, Status

Fields = Mapping[str, Any]


class Span(float):
    """Seconds: sorted as the number that they are, and shown as people say them."""


class Pid(int):
    """The number of a process, shown as it is typed."""


#: What a cell holds: a number is sorted as such, and shown to the right.
Cell = str | int | float | None


class Sheet(NamedTuple):
    """Rows under headers. The first cell of a row identifies it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def headline(status: Status, rates: Rates) -> str:
    """The state of the service in one line."""
    engine = status["engine"]
    if engine is None:
        return f"{status['health']}: {readable(str(status.get('reason') or 'the aggregator does not answer'))}"
    if "files" not in engine:  # its databases can't be used
        return str(status["health"])
    size = f"{counted(engine['files'], 'file')} in {counted(engine['directories'], 'directory')}"
    written = "" if rates.written is None else f", {shown(rates.written)} rows/s written"
    scanning = "" if engine["ready"] else "still scanning, so far "
    return f"{status['health']}: {scanning}{size} below {', '.join(map(readable, engine['roots']))}{written}"


def findings(status: Status) -> str:
    """What needs attention, a line for each reason and one for its remedy."""
    return findings_text(status["findings"]).rstrip("\n")


def shards(status: Status, rates: Rates) -> Sheet:
    headers = (
        "shard", "state", "backend", "hints/s", "to look at", "unacknowledged", "directories", "files", "watches", "polled",
        "overflows", "rescans", "deaths/min", "subtrees",
    )  # fmt: skip
    deaths = {str(p["name"]): p["deaths"] for p in status["processes"]}
    known = ("pending", "unacked", "directories", "files", "watches", "polled", "overflows", "rescans")
    rows = [
        (
            str(s["id"]), str(s["state"]), s.get("backend"), rates.hints.get(str(s["id"])), *(s.get(name) for name in known),
            deaths.get(f"shards:{s['id']}"), ", ".join(map(readable, s["anchors"])),
        )
        for s in _of_engine(status, "shards")
    ]  # fmt: skip
    return Sheet("Shards", headers, rows)


def groups(status: Status, rates: Rates) -> Sheet:
    headers = ("group", "state", "pending", "oldest (s)", "acknowledged/s", "on lease", "again", "set aside", "workers waiting")
    rows = [
        (
            readable(str(g["name"])), str(g["state"]), g["backlog"], g["oldest_pending_s"],
            rates.acknowledged.get(str(g["name"])), g["leased"], g["retrying"], g["parked_paths"], g["waiting_pulls"],
        )
        for g in status["groups"]
    ]  # fmt: skip
    return Sheet("Groups", headers, rows)


def programs(status: Status) -> Sheet:
    headers = ("program", "state", "process", "up", "deaths/min", "breaker", "error")
    rows = [
        (
            str(p["name"]), "RUNNING" if p["state"] == "STARTING" and p.get("heard") else str(p["state"]), Pid(p["pid"]) or None,
            Span(p["up_s"]), p["deaths"], str(p["breaker"]), readable(str(p["error"])),
        )
        for p in status["processes"]
    ]  # fmt: skip
    return Sheet("Programs", headers, rows)


def not_watched(status: Status) -> Sheet:
    headers = ("path", "state", "directories", "shard", "reason", "remedy")
    rows = [
        (
            readable(str(d["path"])), str(d["state"]), d.get("directories"), str(d["shard"]), readable(str(d["reason"])),
            readable(str(d.get("remedy") or "")),
        )
        for d in _of_engine(status, "degraded")
    ]  # fmt: skip
    return Sheet("Not watched", headers, rows)


def recent(found: Sequence[FoundFile], now: float) -> Sheet:
    """Files that have changed lately. `now`: seconds since 1970."""
    rows = [(readable(file.path), file.size, Span(max(0.0, now - file.observed_at)), file.tick) for file in found]
    return Sheet("Recent files", ("path", "bytes", "seen ago", "tick"), rows)


def busiest(status: Status) -> Sheet:
    """The directories in which most changes, of all shards."""
    rows = [
        (int(found["per_minute"]), str(shard["id"]), readable(str(found["path"])))
        for shard in _of_engine(status, "shards")
        for found in shard.get("busiest") or []
    ]  # fmt: skip
    return Sheet("Busiest", ("changes/min", "shard", "directory"), sorted(rows, reverse=True))


def arranged(table: Sheet, column: int | None, wanted: str) -> list[Sequence[Cell]]:
    """The rows in which a cell contains `wanted`, whatever its case, sorted by a column: numbers downwards, texts upwards, what
    is not known last.
    """
    rows = [row for row in table.rows if any(wanted.lower() in shown(cell).lower() for cell in row)]
    return rows if column is None else sorted(rows, key=_key_of(column))


def _key_of(column: int) -> Callable[[Sequence[Cell]], tuple[int, float, str]]:
    def key(row: Sequence[Cell]) -> tuple[int, float, str]:
        cell = row[column]
        if cell is None:
            return 2, 0.0, ""
        return (1, 0.0, cell) if isinstance(cell, str) else (0, -cell, "")

    return key


def shown(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "-"
    if isinstance(cell, Span):
        return duration(cell)
    if isinstance(cell, Pid):
        return str(int(cell))
    if isinstance(cell, float):
        return f"{cell:.1f}" if cell < 10 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _of_engine(status: Status, name: str) -> Sequence[Fields]:
    engine = status["engine"]
    return [] if engine is None else engine.get(name) or []
