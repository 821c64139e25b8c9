"""How heavy the shards of a running service are at present, and how often files change in them, by what they report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan
from shardwatch.shard.contract.state.settings import Settings

from ..planning.heat import NO_RATES, ChangeRates
from ..planning.planning import surroundings
from ..planning.rebalances import Uneven
from ..planning.rebalancing import why_uneven
from ..planning.survey import weigh
from .asker import Asker

#: Seconds that the aggregator gets to answer.
ANSWER_S: Final = 3.0
#: Seconds for which a command that asks only once counts the changes.
COUNT_S: Final = 1.0


class Counted(Struct, frozen=True):
    """What the shards had counted at a time."""

    #: Monotonic seconds.
    at: float
    #: The last tick.
    tick: int
    #: Of each shard: its epoch, in which the counters began; hints; looks.
    shards: dict[str, tuple[int, int, int]]


class Shares(Struct, frozen=True):
    """What each shard has."""

    #: Of each shard that shares the trees with others (what can hang has shards of its own), in files (`survey.weigh`).
    weights: dict[str, float]
    uneven: Uneven
    counted: Counted
    rates: ChangeRates


def shares(layout: Layout, settings: Settings, plan: Plan, before: Counted | None = None) -> Shares | None:
    """What the shards report; None while one of them is not watching, or the aggregator does not answer. Blocks for ANSWER_S at
    most.

    Args:
        before: what they had counted at an earlier time, from which on changes are counted; None: they are not.
    """
    with Asker(layout) as asker:
        reply = asker.ask("status", ANSWER_S) or {}
    status = reply.get("status") or {}
    rows = {str(row["id"]): row for row in status.get("shards") or ()}
    if status.get("generation") != plan.generation or set(rows) != set(plan.shards()):
        return None
    if any(row["state"] != "watching" for row in rows.values()):
        return None
    sharing = surroundings(settings).groups(plan.anchors).get(b"", set())
    directories = sum(row["directories"] for row in rows.values())
    # A shard counts its directories at all times, and its files when it scans: the files that came since are shared out.
    more = max(0, status["files"] - sum(row["files"] for row in rows.values())) / max(1, directories)
    weights = {
        shard: weigh(row["directories"], row["files"] + more * row["directories"])
        for shard, row in rows.items() if shard in sharing
    }  # fmt: skip
    counted = _counted(status, {shard: row for shard, row in rows.items() if shard in sharing})
    rates = rates_between(before, counted)
    uneven = why_uneven(weights, directories + status["files"], settings.local_shards, len(os.sched_getaffinity(0)), rates)
    return Shares(weights, uneven, counted, rates)


def rates_now(layout: Layout, settings: Settings, plan: Plan) -> ChangeRates:
    """How often files change at present. Blocks for COUNT_S, and while the aggregator answers."""
    before = shares(layout, settings, plan)
    if before is None or len(before.weights) < 2:
        return NO_RATES
    time.sleep(COUNT_S)
    after = shares(layout, settings, plan, before.counted)
    return NO_RATES if after is None else after.rates


def _counted(status: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> Counted:
    shards = {shard: (int(row["epoch"]), int(row["hints"]), int(row["looks"])) for shard, row in rows.items()}
    return Counted(time.monotonic(), int(status["tick"]), shards)


def rates_between(before: Counted | None, after: Counted) -> ChangeRates:
    """Changes a second from one time to another; NO_RATES if a shard was started in between, or has come. Pure.

    A hint without a look was of no file that is watched, and a look without a hint was of a scan, or of polling. So of both the
    fewer are counted.
    """
    if before is None or after.at <= before.at or before.shards.keys() != after.shards.keys():
        return NO_RATES
    per_s = {}
    for shard, (epoch, hints, looks) in after.shards.items():
        was = before.shards[shard]
        if was[0] != epoch:
            return NO_RATES
        per_s[shard] = max(0, min(hints - was[1], looks - was[2])) / (after.at - before.at)
    return ChangeRates(per_s, before.tick)
