"""Tables of `status` and `groups list`. Pure: maps in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from shardwatch.supervisor.render import counted, readable, table

Row = Mapping[str, Any]


def groups_table(groups: Sequence[Row]) -> str:
    """A line a group; empty where there is none."""
    header = ("group", "state", "backlog", "batches leased", "retrying", "set aside", "workers waiting")
    columns = ("name", "state", "backlog", "leases", "retrying", "parked_paths", "waiting_pulls")
    return table(header, [[len(g[c]) if c == "leases" else g[c] for c in columns] for g in groups])


def processes_table(processes: Sequence[Row]) -> str:
    header = ("process", "state", "pid", "up", "deaths/min")
    return table(header, [(p["name"], p["state"], str(p["pid"]), duration(p["up_s"]), p["deaths"]) for p in processes])


def processes_text(processes: Sequence[Row]) -> str:
    """Programs that crash again and again, or can't even be killed: what is done about it, and what to do."""
    lines = []
    for p in processes:
        name, stuck_s = str(p["name"]), float(p["stuck_s"])
        log = name.replace("shards:", "shard-", 1)
        if p["breaker"] != "closed":
            lines.append(f"{name} died {counted(int(p['short_lives']), 'time')} in a row, {_MEANWHILE[p['breaker']](p)}")
            remedy = f"`supervisorctl -c STATE_DIR/supervisord.conf restart {name}` tries it at once"
            lines.append(f"    -> see logs/{log}.log; {remedy}")
        if stuck_s:
            lines.append(f"{name} (pid {p['pid']}) was killed {duration(stuck_s)} ago and is there still: stuck in the kernel")
            lines.append("    -> look for a disk or a network filesystem that hangs; no other takes its place while it is there")
    return "".join(line + "\n" for line in lines)


#: What happens while a breaker is open, or half open.
_MEANWHILE: Final[Mapping[str, Callable[[Row], str]]] = {
    "stand-in": lambda p: f"a stand-in sweeps its subtrees; tried again after {duration(p['retry_s'])}",
    "waiting": lambda p: f"nobody runs in its place; tried again in {duration(p['retry_s'])}",
    "trying": lambda p: f"tried again since {duration(p['up_s'])}",
}


def shards_table(shards: Sequence[Row]) -> str:
    columns = ("state", "backend", "directories", "files", "watches", "polled", "pending", "overflows", "rescans")
    return table(("shard", *columns), [(s["id"], *(s.get(c, "-") for c in columns[:-1]), _rescans(s)) for s in shards])


def _rescans(shard: Row) -> str:
    """How many, and the pause that is kept between them while overflows follow upon each other."""
    pause_s = int(shard.get("rescan_pause_ms") or 0) / 1000
    return f"{shard.get('rescans', '-')}{f' (paused {pause_s:g} s)' if pause_s else ''}"


def degraded_text(degraded: Sequence[Row]) -> str:
    """What is not watched as it should be: why, how much, and what to do."""
    lines = []
    for subtree in degraded:
        count = int(subtree.get("directories") or 0)
        size = f" ({counted(count, 'directory')})" if count else ""
        lines.append(f"{subtree['state']}: {readable(str(subtree['path']))}{size}: {readable(str(subtree['reason']))}")
        if subtree.get("remedy"):
            lines.append(f"    -> {readable(str(subtree['remedy']))}")
    return "".join(line + "\n" for line in lines)


def holds_text(holds: Sequence[Row]) -> str:
    """Who holds batches back, a line each; empty where nobody does."""
    lines = []
    for hold in holds:
        what = "batches flow although it is held" if hold["spent"] else "batches are held back"
        lines.append(f"{what} by {readable(str(hold['name']))}, for {duration(float(hold['held_s']))}\n")
    return "".join(lines)


def set_aside_text(groups: Sequence[Row]) -> str:
    """Paths that made batches fail, by group."""
    return "".join(
        f"group {readable(group['name'])} has set aside {readable(path['path'])} after {counted(path['attempts'], 'attempt')}"
        f": {readable(path['reason'])}\n"
        for group in groups
        for path in group["parked"]
    )


def duration(seconds: float) -> str:
    """12 s, 3 min, 5 h, 2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s"
