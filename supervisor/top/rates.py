"""What happens a second, from two looks at counters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

#: The status of a service, as `status --json` prints it, with `time`, when it was seen.
Status = Mapping[str, Any]


class Rates(Struct, frozen=True):
    """None: it is not known, because there was no earlier look, or the process that counts is another one."""

    #: Hints of the kernel, by shard.
    hints: Mapping[str, float]
    #: Rows of the index that were written.
    written: float | None
    #: Ticks that were acknowledged, by group.
    acknowledged: Mapping[str, float]


def rates_between(before: Status | None, after: Status) -> Rates:
    """The rates in the time between two looks."""
    if before is None or before["engine"] is None or after["engine"] is None:
        return Rates({}, None, {})
    seconds = after["time"] - before["time"]
    if seconds <= 0:
        return Rates({}, None, {})
    old = {shard["id"]: shard for shard in before["engine"]["shards"]}
    hints = {}
    for shard in after["engine"]["shards"]:
        was = old.get(shard["id"])
        if was is not None and was.get("epoch") == shard.get("epoch") and "hints" in was and "hints" in shard:
            hints[str(shard["id"])] = (shard["hints"] - was["hints"]) / seconds
    cursors = {group["name"]: group["cursor"] for group in before["groups"]}
    acknowledged = {
        str(group["name"]): (group["cursor"] - cursors[group["name"]]) / seconds
        for group in after["groups"]
        if group["cursor"] >= cursors.get(group["name"], group["cursor"] + 1)
    }
    return Rates(hints, _written(before["engine"], after["engine"], seconds), acknowledged)


def _written(before: Status, after: Status, seconds: float) -> float | None:
    """Not known where the databases can't be used, and after a restart of the aggregator."""
    if "rows_written" not in before or "rows_written" not in after:
        return None
    written = after["rows_written"] - before["rows_written"]
    return float(written / seconds) if written >= 0 else None
