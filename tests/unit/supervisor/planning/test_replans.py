"""When a running service is planned anew: because of what can hang and shares a shard, not too often, and not in vain."""

from __future__ import annotations

from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.supervisor.planning.replans import PAUSE_S, PAUSE_S_MAX, Replans

ROOTS = (b"/data", b"/home")
BARE = [(b"/", "ext4"), (b"/data", "xfs")]
CLOUD = (b"/data/cloud", "fuse.sshfs")
PLAN = Plan(1, tuple(Anchor(root, "s0", root) for root in ROOTS), homes=((b"/data", b"/data"), (b"/home", b"/")))


def planned_apart(generation: int, *points: bytes) -> Plan:
    anchors = [*PLAN.anchors, *(Anchor(point, f"s{n}", b"/data") for n, point in enumerate(points, 1))]
    return Plan(generation, tuple(anchors), homes=PLAN.homes)


def test_what_can_hang_and_shares_a_shard_is_planned_anew() -> None:
    """Below a root or over it, unless the plan keeps it apart already."""
    for mount in (CLOUD, (b"/data/disk", "fuseblk"), (b"/home", "nfs4")):
        assert Replans(ROOTS).due(PLAN, [*BARE, mount], 0.0)
    for mount in ((b"/data/disk", "ext4"), (b"/elsewhere", "nfs4")):
        assert not Replans(ROOTS).due(PLAN, [*BARE, mount], 0.0)
    assert not Replans(ROOTS).due(planned_apart(2, b"/data/cloud"), [*BARE, CLOUD], 0.0)


def test_it_is_not_planned_while_a_root_is_away() -> None:
    """What can be seen there is not what is to be planned. Without a table of mounts nothing is known, and nothing is done."""
    assert not Replans(ROOTS).due(PLAN, [(b"/", "ext4"), (b"/home/cloud", "fuse.sshfs")], 0.0)
    assert not Replans(ROOTS).due(PLAN, [], 0.0)


def test_where_another_plan_does_not_help_it_is_tried_once() -> None:
    """The mount is out of scope, or the limits leave no room: the next attempt is made when something else is mounted."""
    replans = Replans(ROOTS)
    replans.made(PLAN, PLAN, [*BARE, CLOUD], 0.0)
    assert not replans.due(PLAN, [*BARE, CLOUD], 1e6)
    assert replans.due(PLAN, [*BARE, CLOUD, (b"/data/more", "nfs")], 0.0)


def test_planning_that_failed_is_tried_again_after_a_pause() -> None:
    """The disk was full for a moment, perhaps: the mount is not left beside something else for that."""
    replans = Replans(ROOTS)
    replans.made(PLAN, None, [*BARE, CLOUD], 0.0)
    assert [replans.due(PLAN, [*BARE, CLOUD], now) for now in (0.0, PAUSE_S - 0.1, PAUSE_S)] == [False, False, True]


def test_plans_follow_each_other_with_growing_pauses() -> None:
    """With each plan every shard looks at everything again: from a minute to an hour, however often something is mounted."""
    replans, mounts, points, now, plan = Replans(ROOTS), list(BARE), [], 0.0, PLAN
    for number in range(12):
        points.append(b"/data/m%d" % number)
        mounts.append((points[-1], "fuse.sshfs"))
        assert replans.due(plan, mounts, now)
        before, plan = plan, planned_apart(number + 2, *points)
        replans.made(before, plan, mounts, now)
        pause = min(PAUSE_S * 2**number, PAUSE_S_MAX)
        more = [*mounts, (b"/data/more", "nfs")]
        assert [replans.due(plan, more, now + s) for s in (0.0, pause - 0.1, pause)] == [False, False, True]
        now += pause
