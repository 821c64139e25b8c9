"""What it costs a running service to take over a change, in words. Pure."""

from __future__ import annotations

from shardwatch.shard.contract.state import options
from shardwatch.shard.contract.state.planfile import Plan
from shardwatch.shard.contract.state.settings import Settings

from ..planning.continuity import go_on
from ..terminal.render import counted, duration
from .steps import ConfigChange, How

#: What needs no number.
_COSTS = {
    How.LIVE: "costs nothing",
    How.RUNNING: "costs nothing, no process ends",
    How.AGGREGATOR: "workers wait for some tenths of a second",
    How.STARTED: "costs nothing else",
    How.RESTARTED: "its runs that are under way are ended",
    How.ENDED: "its runs that are under way are ended",
    How.RESTART: "not taken over by `reload`",
}


def cost_of(change: ConfigChange, plan: Plan | None, before: Settings, after: Settings) -> str:
    """What a change costs a service that runs with `before` and, as far as that is known, with this plan."""
    if change.option == options.NICENESS.name and _is_raised(before.niceness, after.niceness):
        return "costs nothing if the kernel allows it, otherwise the processes are started again: " + _scan(plan, after)
    if change.option == options.MEMORY_MIB_MAX.name and after.memory_mib_max:
        return "costs nothing, unless a process has more and does not need it: it is started again"
    if change.how is How.SHARDS:
        waits = f"; {_COSTS[How.AGGREGATOR]}" if change.option == options.HOLD_FOR_VCS.name else ""
        return _scan(plan, after) + waits
    if change.how is How.PLAN and go_on(before, after):
        new = "only what moves to another shard is looked at" if before.roots == after.roots else "only what is new is looked at"
        return f"{new}, and the subtree in which a single file lies" if set(before.files) != set(after.files) else new
    if change.how is How.PLAN:
        return f"{_scan(plan, after)}, and at what is new; {_COSTS[How.AGGREGATOR]}"
    return _COSTS[change.how]


def _is_raised(before: int, after: int) -> bool:
    """Whether another niceness is a higher priority. 0 is that of the start, which is lower than any that was set."""
    return before > 0 and after < before


def _scan(plan: Plan | None, settings: Settings) -> str:
    """Every shard looks at all of its part."""
    if plan is None:
        return "each shard looks at all of its part once more"
    shards, files = len(plan.shards()), sum(anchor.files for anchor in plan.anchors)
    entries = [sum(anchor.files + anchor.directories for anchor in plan.of(shard)) for shard in plan.shards()]
    rate = settings.rescan_files_per_s
    least = f", which takes {duration(max(entries, default=0) * shards / rate)} at least" if rate else ""
    look = "looks" if shards == 1 else "look"
    return f"{counted(shards, 'shard')} {look} at about {counted(files, 'file')} once more{least}"
