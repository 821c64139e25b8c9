"""What `reload --dry-run` says that a change costs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.reload.costs import cost_of
from shardwatch.supervisor.reload.steps import ConfigChange, Configuration, How, changes

BEFORE = Settings(roots=(b"/a",), include=("*",), exclude=(), niceness=5)
PLAN = Plan(1, (
    Anchor(b"/a", "s0", b"/a", files=700, directories=300), Anchor(b"/a/b", "s1", b"/a", files=1_800, directories=200),
))  # fmt: skip
SCAN = "2 shards look at about 2,500 files once more"


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"queue_size_max": 5}, "costs nothing"),
        ({"settle_ms": 5}, "costs nothing, no process ends"),
        ({"lease_ms": 500}, "workers wait for some tenths of a second"),
        ({"hold_for_vcs": True}, f"{SCAN}; workers wait for some tenths of a second"),
        ({"exclude": ("x",)}, f"{SCAN}, and at what is new; workers wait for some tenths of a second"),
        ({"roots": (*BEFORE.roots, b"/new")}, "only what is new is looked at"),
        ({"files": (b"/a/f",)}, "only what moves to another shard is looked at, and the subtree in which a single file lies"),
        ({"shards": 7}, "only what moves to another shard is looked at"),
        ({"niceness": 9}, "costs nothing, no process ends"),
        ({"niceness": 4}, f"costs nothing if the kernel allows it, otherwise the processes are started again: {SCAN}"),
        ({"niceness": 0}, f"costs nothing if the kernel allows it, otherwise the processes are started again: {SCAN}"),
        ({"memory_mib_max": 9}, "costs nothing, unless a process has more and does not need it: it is started again"),
    ],
)
def test_a_change_of_the_settings(fields: dict[str, object], cost: str) -> None:
    """With the size of the plan that is in force."""
    after = replace(BEFORE, **fields)
    ((change,)) = changes(Configuration(settings=BEFORE), Configuration(settings=after))
    assert cost_of(change, PLAN, BEFORE, after) == cost


def test_scans_that_are_held_back_take_their_time() -> None:
    """As long as the largest shard needs, which has its part of the rate."""
    after = replace(BEFORE, rescan_files_per_s=10)
    change = ConfigChange("ignore_files", "", How.SHARDS)
    assert cost_of(change, PLAN, BEFORE, after) == f"{SCAN}, which takes 6 min at least"
    assert cost_of(change, None, BEFORE, after) == "each shard looks at all of its part once more"


@pytest.mark.parametrize("how", list(How))
def test_every_way_has_a_cost(how: How) -> None:
    """Programs of the configuration too."""
    assert cost_of(ConfigChange("x", "", how), PLAN, BEFORE, BEFORE)
