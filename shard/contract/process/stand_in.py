"""How supervisord's plugin tells a shard that it is a stand-in: an ordinary shard, except that it sweeps and uses no
watch.

A stand-in replaces, for a while, a shard that crashes again and again (`supervisor.plugin.breaker`).
"""

from __future__ import annotations

import math
import os
from typing import Final, NamedTuple

#: Environment variable with a `StandIn`; not set for a watcher. Two underscores: no option of the user's.
STAND_IN_VARIABLE: Final = "SHARDWATCH__STAND_IN"


class StandIn(NamedTuple):
    """Why, and for how long."""

    #: How often the watcher died in a row, each time soon after its start.
    deaths: int
    #: For how long to stand in once everything has been looked at, seconds.
    for_s: float

    def text(self) -> str:
        """The variable's value."""
        return f"{self.deaths} {self.for_s:.3f}"


def asked_to_stand_in() -> StandIn | None:
    """What this process was told; None: it is an ordinary one, also where the variable is no `StandIn`."""
    fields = os.environ.get(STAND_IN_VARIABLE, "").split()
    try:
        deaths, for_s = int(fields[0]), float(fields[1])
    except (IndexError, ValueError):
        return None
    return StandIn(deaths, for_s) if deaths > 0 and 0 <= for_s < math.inf else None
