"""Plans of generated trees: one owner for every directory, bounded reading, and balance where the tree allows it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwatch.shard.contract.state.planfile import Owners, Plan
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.plan import Effort, Ground, Means, PlanResult, make_plan
from shardwatch.supervisor.planning.survey import DIRECTORY_WEIGHT

READS_MAX = 600


class Tree:
    """Directories in memory, below /r."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[bytes]] = {b"/r": []}
        self.files: dict[bytes, int] = {b"/r": 0}
        self.reads: list[bytes] = []

    def add(self, parent: bytes, files: int) -> bytes:
        name = b"d%d" % len(self.names[parent])
        path = parent + b"/" + name
        self.names[parent].append(name)
        self.names[path], self.files[path] = [], files
        return path

    def look(self, path: bytes) -> tuple[list[bytes], int]:
        self.reads.append(path)
        return list(self.names[path]), self.files[path]

    def weight(self, path: bytes) -> int:
        return DIRECTORY_WEIGHT + self.files[path]


@st.composite
def trees(draw: st.DrawFn, most: int) -> Tree:
    """Bushy, flat, deep, skewed trees, and mixtures: a new directory goes below a recent, an old or the first one."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    size = draw(st.integers(1, most))
    window = draw(st.sampled_from([1, 3, 20, 10**9]))
    spine = draw(st.sampled_from([0.0, 0.3, 0.9]))
    top = draw(st.sampled_from([0.0, 0.1, 0.9]))
    files_max = draw(st.sampled_from([0, 10, 1000]))
    tree, made = Tree(), [b"/r"]
    while len(made) < size:
        chance = rng.random()
        if chance < top:
            parent = b"/r"
        elif rng.random() < spine:
            parent = made[-1]
        else:
            parent = made[rng.randrange(max(0, len(made) - window), len(made))]
        made.append(tree.add(parent, rng.randint(0, files_max)))
    return tree


def planned(tree: Tree, shards: int, seed: int = 0, watches: int = 10**9) -> PlanResult:
    effort = Effort(reads_max=READS_MAX, seed=seed)
    means = Means(tree.look, shards=shards, budget=Budget(100, watches), processors=2, effort=effort)
    return make_plan(Ground([b"/r"], lambda path: "inotify"), means, generation=1, key="")


def true_weights(tree: Tree, plan: Plan) -> dict[str, int]:
    """What each shard really gets; fails for a directory that nobody owns."""
    owners = Owners(plan.anchors)
    weights: dict[str, int] = {}
    for path in tree.names:
        anchor = owners.of(path)
        assert anchor is not None
        weights[anchor.shard] = weights.get(anchor.shard, 0) + tree.weight(path)
    return weights


@settings(max_examples=150)
@given(trees(most=READS_MAX), st.integers(1, 8))
def test_small_trees_are_exact_and_balanced(tree: Tree, shards: int) -> None:
    """Given a tree that can be read whole: true totals, and max/mean <= 1.2 unless one directory alone weighs more."""
    result = planned(tree, shards)
    assert result.exact and sorted(tree.reads) == sorted(tree.names)
    assert (result.directories, result.files) == (len(tree.names), sum(tree.files.values()))
    true = true_weights(tree, result.plan)
    assert {shard: round(weight) for shard, weight in result.weights.items()} == true
    mean = sum(true.values()) / shards
    heaviest = max(tree.weight(path) for path in tree.names)
    assert max(true.values()) <= max(1.2 * mean, mean + heaviest + DIRECTORY_WEIGHT)
    assert len(true) == min(shards, len(true)) and len(result.plan.anchors) <= len(tree.names)


@settings(max_examples=25)
@given(trees(most=3_000), st.integers(1, 8), st.integers(0, 9))
def test_any_tree_is_read_within_bounds_and_owned_whole(tree: Tree, shards: int, seed: int) -> None:
    """Given a tree of any size: no directory is read twice, no more than allowed, and each has an owner."""
    result = planned(tree, shards, seed)
    assert len(tree.reads) == len(set(tree.reads)) == result.looked <= READS_MAX
    assert set(true_weights(tree, result.plan)) <= set(result.plan.shards())
    assert result.exact == (len(tree.names) <= READS_MAX)
    assert planned(tree, shards, seed).plan == result.plan


@settings(max_examples=60)
@given(trees(most=READS_MAX), st.integers(1, 4), st.integers(4, 400))
def test_watches_are_shared_within_the_budget(tree: Tree, shards: int, watches: int) -> None:
    """Given few watches or many: the shares stay within them, suffice where they can, and what is short is counted."""
    result = planned(tree, shards, watches=watches)
    shares = result.plan.watches
    assert set(shares) == set(result.plan.shards())
    assert sum(shares.values()) <= watches + shards
    assert result.over_budget == max(0, len(tree.names) - watches)
    if not result.over_budget:
        for shard, share in shares.items():
            assert share >= sum(a.directories for a in result.plan.of(shard))
