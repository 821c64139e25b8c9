"""How heavy the shards of a running service are at present, by what they report."""

from __future__ import annotations

import os
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan
from shardwatch.shard.contract.state.settings import Settings

from ..planning.planning import surroundings
from ..planning.rebalancing import why_uneven
from ..planning.survey import weigh
from .asker import Asker

#: Seconds that the aggregator gets to answer.
ANSWER_S: Final = 3.0


class Shares(Struct, frozen=True):
    """What each shard has."""

    #: Of each shard that shares the trees with others (what can hang has shards of its own), in files (`survey.weigh`).
    weights: dict[str, float]
    #: Why the trees ought to be divided anew, in words; "" if they need not be.
    why: str


def shares(layout: Layout, settings: Settings, plan: Plan) -> Shares | None:
    """What the shards report; None while one of them is not watching, or the aggregator does not answer. Blocks for ANSWER_S at
    most."""
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
    entries = directories + status["files"]
    return Shares(weights, why_uneven(weights, entries, settings.local_shards, len(os.sched_getaffinity(0))))
