"""Asks supervisord and the aggregator about the state of a service, and has `health` decide on it. For commands; may block
for seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from shardwatch.shard.contract.process.memory_cap import resident_bytes
from shardwatch.shard.contract.state.layout import Layout

from . import health, service
from .program_findings import program_name
from .shipping import shipping
from .web_page import web_page

#: `status` must answer quickly: in less than the 5 s after which a hung program is replaced.
ANSWER_S: Final = 3.0
#: Seconds that programs which have just been started get to give a sign of life.
START_S: Final = 5.0
_LOOK_S: Final = 0.05


class Checkup(Struct, frozen=True):
    """What was seen of one service, and the verdict."""

    #: supervisord's programs, `name` as supervisorctl says it; empty: it does not answer.
    processes: list[dict[str, Any]]
    #: What the aggregator's `status` says, without the groups; None: it does not answer.
    engine: dict[str, Any] | None
    groups: list[Mapping[str, Any]]
    #: Why the aggregator does not answer, as far as supervisord and its log know; "" where it does.
    reason: str
    health: health.Health
    #: What is shipped (`shipping`); None: nothing.
    ship: dict[str, Any] | None = None
    #: Where the page is served (`web_page`); None: it is no program of the service.
    web: dict[str, Any] | None = None


def examine(layout: Layout, answer_s: float = ANSWER_S) -> Checkup:
    """One look at a service whose state directory is held."""
    processes = [
        {**row, "name": program_name(row), "memory_bytes": resident_bytes(int(row["pid"])) or None}
        for row in service.programs(layout)
    ]
    # Nothing is to be waited for where supervisord knows that nobody is there.
    gone = any(row["name"] == "aggregator" and not row["pid"] for row in processes)
    reply = (None if gone else _status(layout, answer_s)) or {}
    engine: dict[str, Any] | None = reply.get("status")
    groups = engine.pop("groups", []) if engine is not None else []
    reason = ""
    if engine is None:
        reason = str(reply.get("message") or service.why_down(layout, "aggregator", processes))
    ship = shipping(layout, processes, groups)
    web = web_page(layout, processes)
    state_dir = os.fspath(layout.state_dir)
    verdict = health.examine(engine, processes, groups=groups, ship=ship, web=web, reason=reason, state_dir=state_dir)
    return Checkup(processes, engine, groups, reason, verdict, ship, web)


def _status(layout: Layout, answer_s: float) -> dict[str, Any] | None:
    from .asker import Asker

    with Asker(layout) as asker:
        return asker.ask("status", answer_s)


def examine_when_started(layout: Layout) -> Checkup:
    """The same once nothing is merely starting any more, for who has waited until everything is watched."""
    deadline = time.monotonic() + START_S
    while (found := examine(layout)).health.state == "starting" and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return found
