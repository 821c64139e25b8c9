"""The status of a service at this moment, for what shows it again and again, also while there is no service."""

from __future__ import annotations

import os
import time
from typing import Any

from shardwatch.shard.contract.errors import ServiceError, ShardwatchError
from shardwatch.shard.contract.state.layout import Layout

from .checkup import Checkup, examine
from .finding import HealthFinding
from .health import Health
from .service import running
from .status_object import status_object


def status_now(layout: Layout) -> dict[str, Any]:
    """What `status --json` prints, and `time`, when it was seen, in seconds since 1970.

    Blocks for some seconds where the service does not answer. A state directory that is gone, or another user's, is a service
    that is down.
    """
    place = os.fspath(layout.state_dir)
    try:
        if not running(layout):
            raise ServiceError("nobody holds its lock")
        seen = examine(layout)
    except (OSError, ShardwatchError) as error:
        reason = f"there is no service in {place}: {error}"
        finding = HealthFinding(("service",), "no_service", reason, "start it with `shardwatch up`")
        seen = Checkup([], None, [], reason, Health("down", (finding,)))
    return {**status_object(place, seen), "time": time.time()}
