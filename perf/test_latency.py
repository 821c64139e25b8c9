"""How long from one atomic save (write aside, fsync, rename) to the consumer's hands?

One save after the other, each waited for, on a tree of the usual size: what a developer feels.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from book import Book
from latency import percentile
from sides import Service, Side, is_ours, launch, names
from sizes import Sizes
from trees import Forest, Tree
from writers import save

#: Pauses between an arrival and the next save are random, so that no timer of anyone's is met in step.
PAUSE_S = (0.002, 0.03)


def saved(product: Side, tree: Tree, count: int) -> dict[str, float]:
    """Figures of `count` saves of different files."""
    hands = product.hands()
    chance = random.Random(4)
    latencies: list[float] = []
    missed = 0
    paths = chance.sample(tree.paths, count)
    hands.reset()
    before = product.usage()
    for number, path in enumerate(paths, 1):
        at = save(path, b'{"_type": "Module", "body": [%d]}\n' % number)
        got = hands.wait(number - missed, timeout_s=10.0)
        if got.distinct < number - missed:
            missed += 1
        else:
            latencies.append(got.grew_at - at)
        time.sleep(chance.uniform(*PAUSE_S))
    used = product.usage().since(before)
    return {
        "p50_s": percentile(latencies, 0.5), "missed": missed, "cpu_ms": 1000 * used.cpu_s / count, **used.figures(),
        **{f"{name}_ms": 1000 * percentile(latencies, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
    }  # fmt: skip


def measure(side: str, page: Book, forest: Forest, sizes: Sizes, **options: Any) -> None:
    tree = forest.tree(sizes.files)
    with launch(side, tree.root, **options) as product:
        page.settings(files=tree.files, saves=sizes.saves, tree=tree.root, **(options if is_ours(side) else {}))
        if isinstance(product, Service):
            page.settings(state=product.state_dir)
        page.rounds(lambda: saved(product, tree, sizes.saves), 1, headline="p50_s")


@pytest.mark.row("latency_zero")
@pytest.mark.parametrize("side", names("watchdog", "inotifywait"))
def test_settle_0(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """Without settling; beside the peers that do not settle either."""
    measure(side, page, forest, sizes, settle_ms=0)


@pytest.mark.row("latency_default")
@pytest.mark.parametrize("side", names("watchman", "watchfiles"))
def test_default_settle(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """With the default settle of each."""
    measure(side, page, forest, sizes)


@pytest.mark.row("latency_settle_20")
@pytest.mark.parametrize("side", names("watchman"))
def test_settle_as_watchman(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """With watchman's own settle, 20 ms."""
    measure(side, page, forest, sizes, settle_ms=20)
