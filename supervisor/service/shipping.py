"""What a service ships, and how far that is: what `ship` reports, and what the aggregator knows of its group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

#: The program, as supervisord calls it (`plugin.names`).
SHIP: Final = "ship"
#: Its lock, which is held by a `shardwatch ship` that was started by hand, too.
_LOCK: Final = "locks/ship"


def shipping(
    layout: Layout, processes: Iterable[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """What `status --json` says of it (docs/formats.md); None where nothing is shipped.

    Raises OSError, and UsageError for files that are not ours.
    """
    with StateDirectory(layout.state_dir, foreign=True) as state:
        is_running = state.held(_LOCK)
    if not is_running and not any(row["name"] == SHIP for row in processes):
        return None
    from shardwatch.bridge.ship.notebook import read_progress  # most services ship nothing
    from shardwatch.bridge.ship.report import read_report

    report = read_report(layout) if is_running else None
    found: dict[str, Any] = {
        "running": is_running, "connected": False, "server": "", "stream": None, "source": None, "group": None, "behind": None,
        "unconfirmed": None, "generation": 0, "complete": False, "error": "", "remedy": "",
    }  # fmt: skip
    if report is None:
        return found
    target = report.target
    found |= {"stream": target.stream, "source": target.source, "group": target.group}
    found |= {name: getattr(report, name) for name in ("connected", "server", "error", "remedy")}
    group = next((row for row in groups if row["name"] == target.group), None)
    if group is not None:
        found |= {"behind": group["backlog"] + group["leased"] + group["retrying"], "unconfirmed": group["leased"]}
    progress = read_progress(layout)
    if progress is not None and progress.target == target:
        found |= {"generation": progress.generation, "complete": progress.complete}
    return found
