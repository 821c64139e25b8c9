"""Waits, before a plan is exchanged, until the shards to which it gives what others have are ready for that.

They watch it in advance (`shard.schedule.handover`), and their beats say how far they are. It does not depend on this that no
change is missed: a shard that was not ready looks at what it is given after the exchange.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from shardwatch.shard.contract.state.layout import Layout

from ..host.log_line import log_line
from ..service.asker import Asker

#: Seconds after which a plan is exchanged although not all are ready for it.
READY_S: Final = 45.0
#: Seconds between two looks at what they say, and that the aggregator gets for an answer.
_LOOK_S: Final = 0.1
_ANSWER_S: Final = 2.0
_SETTLE_S_MAX: Final = 5.0


def undecided(rows: Iterable[Mapping[str, Any]], shards: Collection[str], generation: int) -> list[str]:
    """Those of some shards that are not ready, and have not found either that they can't be. Pure.

    Args:
        rows: of all shards, as in `status`.
        generation: of the plan that is to come.
    """
    decided = set()
    for row in rows:
        taking_on = row.get("taking_on") or {}
        if taking_on.get("generation") == generation and taking_on.get("state") != "looking":
            decided.add(str(row["id"]))
    return [shard for shard in shards if shard not in decided]


def await_heirs(
    layout: Layout, shards: Collection[str], generation: int, settle_s: float, *, ready_s: float = READY_S
) -> None:
    """Returns when these shards are ready for the plan of this generation, or have found that they can't be, or after `ready_s`
    seconds, of which a line in the log tells. Blocks so long. It asks the aggregator again and again, through restarts of it.

    Args:
        settle_s: seconds that owners wait before they tell of a change, 5 at most are waited for: what changed before it was
            watched in advance is told by then.
    """
    until = time.monotonic() + ready_s
    waiting = list(shards)
    with Asker(layout) as asker:
        while time.monotonic() < until:
            status = (asker.ask("status", _ANSWER_S) or {}).get("status") or {}
            waiting = undecided(status.get("shards") or (), shards, generation)
            if not waiting:
                time.sleep(min(settle_s, _SETTLE_S_MAX))
                return
            time.sleep(_LOOK_S)
    log_line(f"plan {generation}: {', '.join(waiting)} not ready after {ready_s:g} s, and looks at what it is given afterwards")
