"""What it costs to plan trees of 1,000,000 and 10,000,000 files. No disk holds them: they are generated as they are read."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.state.planfile import Owners, Plan
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.plan import READS_MAX, Ground, Means, PlanResult, make_plan
from shardwatch.supervisor.planning.rebalancing import moves, rebalanced_plan
from shardwatch.supervisor.planning.survey import weigh

MILLION = 1_000_000
ROOT = b"/r"
#: Of a project: levels of directories below it. With the branches below, a project has some 1,000 directories, 10,000 files.
LEVELS = 3
BUDGET = Budget(shards_max=100, watches_max=10**9)


class GeneratedTree:
    """Directories whose contents follow from their paths: the same each time, and none is kept. Each tenth project is empty, and
    each tenth has five times as much in it as others."""

    def __init__(self, projects: int) -> None:
        self._projects = projects

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        """See `survey.DirectoryLook`."""
        return [b"d%d" % number for number in range(self.count(path))], 0 if path == ROOT else self._files(path)

    def count(self, path: bytes) -> int:
        """See `survey.Count`."""
        if path == ROOT:
            return self._projects
        depth = path.count(b"/") - 1
        size = zlib.crc32(path[: path.find(b"/", len(ROOT) + 1)] if depth > 1 else path) % 10
        if depth > LEVELS or not size:
            return 0
        return (5 if size == 9 and depth == 1 else 1) * (6 + zlib.crc32(path) % 8)

    def _files(self, path: bytes) -> int:
        return zlib.crc32(path, 1) % 20


def planned(tree: GeneratedTree) -> PlanResult:
    ground = Ground([ROOT], lambda path: "inotify")
    return make_plan(ground, Means(tree, shards=4, budget=BUDGET, processors=4), generation=1, key="k")


def processor_s(work: Callable[[], object]) -> float:
    """The shorter of two."""
    found = []
    for _ in range(2):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def memory(work: Callable[[], object]) -> int:
    """Bytes at the worst moment."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def weights(tree: GeneratedTree, plan: Plan) -> tuple[dict[str, float], int]:
    """What each shard really gets, and the number of files, by a walk through all of it."""
    owners, found, stack, total = Owners(plan.anchors), dict.fromkeys(plan.shards(), 0.0), [(ROOT, "")], 0
    while stack:
        path, shard = stack.pop()
        anchor = owners.by_path.get(path)
        owner = shard if anchor is None else anchor.shard
        names, files = tree(path)
        found[owner] += weigh(1, files)
        total += files
        stack += [(join(path, name), owner) for name in names]
    return found, total


#: Projects of a tree of a million files, and of ten.
ONE, TEN = GeneratedTree(80), GeneratedTree(800)


def test_ten_million_files_cost_no_more_a_million_than_one_million() -> None:
    """In processor time and memory, at most 1.2 times as much; and it is one tenth rather, as no more directories are read."""
    assert max(planned(ONE).looked, planned(TEN).looked) <= READS_MAX
    for cost in (processor_s, memory):
        assert cost(lambda: planned(TEN)) / 10 <= 1.2 * cost(lambda: planned(ONE))


def test_a_plan_of_generated_trees_is_balanced() -> None:
    """By what is really there, of which it has read a part; and to rebalance it moves little."""
    found = planned(ONE)
    real, files = weights(ONE, found.plan)
    assert files == pytest.approx(MILLION, rel=0.1) and not found.exact
    assert max(real.values()) <= 1.3 * sum(real.values()) / len(real)
    ground = Ground([ROOT], lambda path: "inotify")
    again = rebalanced_plan(ground, found.plan, Means(ONE, shards=4, budget=BUDGET, processors=4), generation=2)
    assert len(moves(found.plan, again.plan)) <= len(found.plan.anchors) // 4
