"""Trees that have grown are divided anew, most of what was planned stays where it is, and nothing flaps."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.shard.contract.files.paths import is_below
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.plan import USUAL_EFFORT, Effort, Ground, Means, PlanResult, make_plan
from shardwatch.supervisor.planning.rebalances import PAUSE_S, PAUSE_S_MAX, Rebalances, Uneven
from shardwatch.supervisor.planning.rebalancing import (
    EVEN,
    Move,
    apart_plan,
    extended_plan,
    moves,
    rebalanced_plan,
    staying,
    summary,
    why_uneven,
)

PLENTY = Budget(shards_max=100, watches_max=10**9)
Tree = dict[bytes, tuple[list[bytes], int]]


def tree(**sizes: int) -> Tree:
    """/r with a subtree of so many equal directories for each name, each directory with 10 files."""
    found: Tree = {b"/r": ([name.encode() for name in sizes], 0)}
    for name, size in sizes.items():
        at = b"/r/" + name.encode()
        found[at] = ([b"d%d" % n for n in range(size)], 0)
        found.update({at + b"/d%d" % n: ([], 10) for n in range(size)})
    return found


def look_at(tree: Tree) -> Any:
    return lambda path: tree.get(path, ([], 0))


class CountingLook:
    """The same, where the filesystem counts subdirectories."""

    def __init__(self, where: Tree) -> None:
        self._where = where

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        return self._where.get(path, ([], 0))

    def count(self, path: bytes) -> int:
        return len(self(path)[0])


def planned(where: Tree, shards: int) -> PlanResult:
    means = Means(look_at(where), shards=shards, budget=PLENTY, processors=2)
    return make_plan(Ground([b"/r"], lambda path: "inotify"), means, generation=1, key="k")


def rebalanced(
    old: Plan, where: Tree, *, shards: int, budget: Budget = PLENTY, effort: Effort = USUAL_EFFORT, **ground: Any
) -> PlanResult:
    means = Means(look_at(where), shards=shards, budget=budget, processors=2, effort=effort)
    return rebalanced_plan(Ground([b"/r"], lambda path: "inotify", **ground), old, means, generation=2)


def owned(plan: Plan, where: Tree) -> dict[str, int]:
    """Directories of a tree by their owner."""
    owners, found = Owners(plan.anchors), dict.fromkeys(plan.shards(), 0)
    for path in where:
        owner = owners.of(path)
        assert owner is not None
        found[owner.shard] += 1
    return found


def test_a_shard_that_has_grown_gives_subtrees_away() -> None:
    """What has not grown stays where it is, and the shares are equal again."""
    before = tree(a=60, b=60, c=60)
    old = planned(before, 3).plan
    grown = tree(a=600, b=60, c=60)
    result = rebalanced(old, grown, shards=3)
    assert result.balance <= EVEN and result.plan.generation == 2 and result.plan.key == "k"
    assert max(owned(result.plan, grown).values()) < 1.2 * len(grown) / 3
    moved = moves(old, result.plan)
    assert moved and all(move.path.startswith(b"/r/a") for move in moved)
    was, now = Owners(old.anchors), Owners(result.plan.anchors)
    stays = [path for path in before if path.startswith((b"/r/b", b"/r/c"))]
    assert all(getattr(was.of(path), "shard", "") == getattr(now.of(path), "shard", None) for path in stays)
    assert moves(result.plan, rebalanced(result.plan, grown, shards=3).plan) == [], "and then nothing moves any more"


def test_a_tree_that_has_grown_gets_more_shards() -> None:
    """Up to as many as are wanted, and as the limits allow; their names are new ones."""
    old = planned(tree(a=1), 1).plan
    assert old.shards() == ["s0"]
    grown = tree(a=200, b=200)
    assert rebalanced(old, grown, shards=4).plan.shards() == ["s0", "s1", "s2", "s3"]
    assert rebalanced(old, grown, shards=4, budget=Budget(2, 10**9)).plan.shards() == ["s0", "s1"]
    renamed = Plan(1, (Anchor(b"/r", "s1", b"/r"),), "k")
    assert rebalanced(renamed, grown, shards=2).plan.shards() == ["s0", "s1"]
    assert rebalanced(old, grown, shards=0).plan.shards() == ["s0"], "it is not that large"


@pytest.mark.parametrize("counted", [False, True])
def test_a_tree_of_which_a_part_was_read_comes_to_rest(counted: bool) -> None:
    """A directory is estimated by others of its level, however many anchors there are: what was moved does not look heavier than
    before, and with the plan that it leads to, nothing moves any more."""
    where: Tree = {b"/r": ([b"t0", b"t1", b"t2"], 0)}
    for name, size in ((b"/r/t0", 500), (b"/r/t1", 6_000), (b"/r/t2", 6_500)):
        where[name] = ([b"d%d" % n for n in range(20)], 0)
        for n in range(20):
            where[name + b"/d%d" % n] = ([b"e%d" % m for m in range(n, size, 20)], 0)
            where.update({name + b"/d%d/e%d" % (n, m): ([], 2) for m in range(n, size, 20)})
    look = look_at(where)
    if counted:
        look = CountingLook(where)
    plan = Plan(1, tuple(Anchor(b"/r" + at, f"s{n}", b"/r") for n, at in enumerate((b"", b"/t0/d1", b"/t0/d2"))), "k")
    for generation in range(2, 7):
        means = Means(look, shards=3, budget=PLENTY, processors=2, effort=Effort(reads_max=512))
        result = rebalanced_plan(Ground([b"/r"], lambda path: "inotify"), plan, means, generation=generation)
        moved, plan = moves(plan, result.plan), result.plan
    assert moved == [] and result.directories == pytest.approx(len(where), rel=0.15)
    shares = owned(plan, where).values()
    assert max(shares) < 1.5 * sum(shares) / 3


def test_subtrees_that_are_gone_are_no_anchors_any_more() -> None:
    """Once a plan is long: whoever has what is above them has them too, should they come back. Until then they stay, since that
    shard would have to look at everything once more."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/gone", "s1", b"/r"), Anchor(b"/r/a", "s1", b"/r")), "k")
    assert b"/r/gone" in {anchor.path for anchor in rebalanced(old, tree(a=50, b=50), shards=2).plan.anchors}
    result = rebalanced(old, tree(a=50, b=50), shards=2, effort=Effort(anchors_max=5))
    assert b"/r/gone" not in {anchor.path for anchor in result.plan.anchors}
    assert moves(old, result.plan) == [Move(b"/r/gone", "s1", "s0", 0, 0)]


def extended(old: Plan, where: Tree, *roots: bytes, shards: int = 2) -> Plan:
    means = Means(look_at(where), shards=shards, budget=PLENTY, processors=2)
    return extended_plan(Ground(roots, lambda path: "inotify"), old, means, generation=2, key="other").plan


def test_what_is_new_is_given_to_the_shard_that_has_least() -> None:
    """What there was stays with its shards, and what is no longer in a root is nobody's."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r"), Anchor(b"/old", "s1", b"/old")), "k")
    where: Tree = {b"/r": ([b"a", b"b"], 1), b"/r/a": ([], 1000), b"/r/b": ([], 900), b"/q": ([], 20)}
    plan = extended(old, where, b"/r", b"/q")
    assert [(anchor.path, anchor.shard, anchor.root) for anchor in plan.anchors] == [
        (b"/q", "s1", b"/q"), (b"/r", "s0", b"/r"), (b"/r/b", "s1", b"/r")
    ]  # fmt: skip
    assert (plan.key, plan.generation) == ("other", 2)


def test_a_large_new_root_is_shared() -> None:
    """By pieces, among all shards, and another one if there is to be one more."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r")), "k")
    where = tree(a=60, b=60) | {path.replace(b"/r", b"/q"): what for path, what in tree(a=200, b=200, c=200).items()}
    plan = extended(old, where, b"/r", b"/q", shards=3)
    counts = owned(plan, where)
    assert set(counts) == {"s0", "s1", "s2"} and max(counts.values()) < 1.3 * sum(counts.values()) / 3
    assert Owners(plan.anchors).of(b"/r/b") == plan.anchors[[a.path for a in plan.anchors].index(b"/r/b")]


def test_what_lay_in_another_root_does_not_stay() -> None:
    """A root within a root is removed: what is there now belongs to the one around it."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r/b"), Anchor(b"/r/b/c", "s0", b"/r/b")), "k")
    assert [anchor.path for anchor in staying(old, [b"/r", b"/q"])] == [b"/r"]


def test_what_can_hang_stays_where_it_is() -> None:
    """It has shards of its own, which get nothing else."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/nfs", "s1", b"/r")), "k")
    where = tree(a=100, b=100, nfs=10)
    mounts: dict[str, Any] = {"cuts": (b"/r/nfs",), "mount": lambda path: b"/r/nfs" if path.startswith(b"/r/nfs") else b""}
    plan = rebalanced(old, where, shards=2, **mounts).plan
    assert plan.shards() == ["s0", "s1", "s2"]
    assert [anchor.path for anchor in plan.of("s1")] == [b"/r/nfs"]


def mounted(*points: bytes) -> dict[str, Any]:
    """Fields of a ground in which something that can hang is mounted there."""
    return {
        "cuts": points,
        "mount": lambda path: max((at for at in points if is_below(path, at)), key=len, default=b""),
    }  # fmt: skip


def set_apart(old: Plan, where: Tree, *points: bytes, budget: Budget = PLENTY) -> dict[bytes, str]:
    ground = Ground([b"/r"], lambda path: "inotify", **mounted(*points))
    plan = apart_plan(ground, old, Means(look_at(where), 2, budget, processors=2), generation=2).plan
    return {anchor.path: anchor.shard for anchor in plan.anchors}


def test_what_was_mounted_since_gets_a_shard_to_itself() -> None:
    """All else stays, anchors below the mount too if a shard has nothing else; it is no occasion to divide anything anew."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/a", "s1", b"/r")), "k")
    where = tree(a=5, b=500, net=3)
    stays = {b"/r": "s0", b"/r/a": "s1"}
    assert set_apart(old, where, b"/r/net") == {**stays, b"/r/net": "s2"}
    assert set_apart(old, where, b"/r/b/x", b"/r/net") == {**stays, b"/r/b/x": "s2", b"/r/net": "s3"}
    assert set_apart(old, where, b"/r/a") == stays, "its shard has nothing else"
    several = Plan(1, (*old.anchors, Anchor(b"/r/net/x", "s1", b"/r"), Anchor(b"/r/net/y", "s2", b"/r")), "k")
    assert set_apart(several, where, b"/r/net") == {**stays, b"/r/net": "s2", b"/r/net/x": "s2", b"/r/net/y": "s2"}


def test_two_mounts_that_shared_a_shard_for_want_of_room_part() -> None:
    """One of them stays. Where there is no room yet, they share it, and at last what can hang shares what there is."""
    where = tree(a=5, m=3, n=3)
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/m", "s1", b"/r"), Anchor(b"/r/n", "s1", b"/r")), "k")
    assert set_apart(old, where, b"/r/m", b"/r/n") == {b"/r": "s0", b"/r/m": "s2", b"/r/n": "s1"}
    tight = Budget(shards_max=2, watches_max=10**9)
    assert set_apart(old, where, b"/r/m", b"/r/n", budget=tight) == {b"/r": "s0", b"/r/m": "s1", b"/r/n": "s1"}
    one = Plan(1, (Anchor(b"/r", "s0", b"/r"),), "k")
    assert set_apart(one, where, b"/r/m", budget=Budget(shards_max=1, watches_max=10**9)) == {b"/r": "s0", b"/r/m": "s0"}


def test_a_new_root_on_a_mount_gets_a_shard_to_itself() -> None:
    """And what is on one by now; local roots are shared among the others. Where nothing was local, a shard is made for it."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/m", "s1", b"/r")), "k")
    where = tree(a=5, m=3) | {b"/net": ([], 4), b"/q": ([], 4)}

    def owners(*roots: bytes, mounts: tuple[bytes, ...]) -> dict[bytes, str]:
        ground = Ground(roots, lambda path: "inotify", mount=mounted(*mounts)["mount"])
        plan = extended_plan(ground, old, Means(look_at(where), 1, PLENTY, processors=2), generation=2, key="other").plan
        return {anchor.path: anchor.shard for anchor in plan.anchors}

    assert owners(b"/r", b"/net", b"/q", mounts=(b"/net", b"/r/m")) == {b"/r": "s0", b"/r/m": "s1", b"/net": "s2", b"/q": "s0"}
    assert owners(b"/r", b"/q", mounts=(b"/r",)) == {b"/r": "s0", b"/r/m": "s1", b"/q": "s2"}


def test_nothing_stays_below_a_root_that_is_there_for_single_files() -> None:
    """Its anchor does."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r")), "k")
    assert staying(old, [b"/r"], {b"/r"}) == [old.anchors[0]]
    ground = Ground([b"/r"], lambda path: "inotify", only=frozenset({b"/r"}))
    found = extended_plan(ground, old, Means(look_at({}), 2, PLENTY, processors=2), generation=2, key="other").plan
    assert [(anchor.path, anchor.shard) for anchor in found.anchors] == [(b"/r", "s0")]


def test_what_can_not_be_divided_stays() -> None:
    """One directory alone that holds nearly everything."""
    old = Plan(1, (Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r")), "k")
    where: Tree = {b"/r": ([b"b"], 100_000), b"/r/b": ([], 10)}
    assert moves(old, rebalanced(old, where, shards=2).plan) == []


def test_moves_in_words() -> None:
    """A line for each two shards, whatever is in the names."""
    found = [Move(b"/r/%d" % n, "s0", "s1", 10, 1000) for n in range(5)] + [Move(b"/r/a\n", "s1", "s0", 1, 2)]
    assert summary(found) == [
        "shard s0 gives to s1 /r/0, /r/1, /r/2 and 2 more subtrees (about 5,000 files in 50 directories)",
        "shard s1 gives to s0 '/r/a\\n' (about 2 files in 1 directories)",
    ]
    assert summary([]) == []


@pytest.mark.parametrize(
    ("weights", "entries", "shards", "why"),
    [
        ({"s0": 100.0}, 100, 0, ""),
        ({"s0": 2e6}, 1_400_000, 0, ""),  # from 1.25 million there are two, but not at once
        ({"s0": 2e6}, 1_600_000, 0, "1,600,000 directories and files are enough for 2 shards"),
        ({"s0": 4_000.0}, 4_000, 3, ""),
        ({"s0": 6_000.0}, 6_000, 3, "6,000 directories and files are enough for 3 shards"),
        ({"s0": 40_000.0, "s1": 20_000.0}, 60_000, 2, ""),
        ({"s0": 50_000.0, "s1": 10_000.0}, 60_000, 2, "shard s0 has grown to 1.7 times its share"),
        ({"s0": 5_000.0, "s1": 10.0}, 5_000, 2, ""),  # little
        ({}, 0, 0, ""),
    ],
)
def test_when_shares_are_uneven(weights: dict[str, float], entries: int, shards: int, why: str) -> None:
    """Far over the mean, and by much; or far beyond the size at which there would be another shard."""
    assert why_uneven(weights, entries, shards, 2).why == why


#: Nothing is uneven.
EVEN_SHARES = Uneven("", "", 100.0)


def heavy(weight: float) -> Uneven:
    return Uneven("heavy", "weight", weight)


def test_shares_have_to_be_uneven_for_a_while() -> None:
    """And one even look in between begins it anew."""
    rebalances = Rebalances(-20)
    assert not rebalances.due(0, 10)
    assert not rebalances.due(60, -1) and rebalances.due(60, 0)
    assert not rebalances.found(heavy(100), 60, 0)
    assert not rebalances.due(60, 19) and rebalances.due(60, 20)
    assert not rebalances.found(heavy(100), 60, 40)
    assert not rebalances.found(EVEN_SHARES, 60, 59)
    assert not rebalances.found(heavy(100), 60, 60)
    assert rebalances.found(heavy(100), 60, 120)


def test_rebalances_follow_each_other_with_growing_pauses() -> None:
    """Doubled each time; and where nothing could be moved, the heaviest shard has to be heavier before it is tried again."""
    rebalances = Rebalances(-1)
    now, pause = 0.0, PAUSE_S
    for _ in range(10):
        rebalances.found(heavy(100), 1, now)
        assert rebalances.found(heavy(100), 1, now + 1)
        rebalances.made(moved=True, now=now + 1)
        assert not rebalances.due(1, now + pause) and rebalances.due(1, now + 1 + pause)
        now, pause = now + 1 + pause, min(2 * pause, PAUSE_S_MAX)
    rebalances.found(heavy(100), 1, now)
    assert rebalances.found(heavy(100), 1, now + 1)
    rebalances.made(moved=False, now=now + 1)
    now += 2 * PAUSE_S_MAX
    assert not rebalances.found(heavy(110), 1, now) and not rebalances.found(heavy(110), 1, now + 10)
    assert not rebalances.found(heavy(130), 1, now + 20) and rebalances.found(heavy(130), 1, now + 21)
    assert rebalances.found(Uneven("hot", "rate", 5.0), 1, now + 21), "which was not tried"
    rebalances.made(moved=True, now=now + 21)
    later = now + 22 + PAUSE_S_MAX
    rebalances.made(moved=False, now=later)  # somebody else's request: nothing is noted
    assert rebalances.due(1, later)


def test_a_rebalance_that_failed_is_tried_again_after_a_pause() -> None:
    """The disk was full for a moment, perhaps: it is not known that nothing could be moved."""
    rebalances = Rebalances(-1)
    rebalances.found(heavy(100), 1, 0.0)
    assert rebalances.found(heavy(100), 1, 1.0)
    rebalances.made(moved=None, now=1.0)
    assert not rebalances.due(1, PAUSE_S) and rebalances.due(1, 1 + PAUSE_S)
    assert not rebalances.found(heavy(100), 1, 1 + PAUSE_S) and rebalances.found(heavy(100), 1, 2 + PAUSE_S)
