"""Does it keep up with 20,000 changes a second, for a minute, with a consumer that acknowledges?"""

from __future__ import annotations

import pytest
from book import Book
from latency import latencies, percentile
from sides import Service
from sizes import Sizes
from trees import Forest, shuffled
from writers import Writers

#: Of the paths that are rewritten.
ORDERS = [
    pytest.param("directory", marks=pytest.mark.row("sustained")),
    pytest.param("random", marks=pytest.mark.row("sustained_random")),
]


@pytest.mark.parametrize("order", ORDERS)
def test_sustained(order: str, page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """The writer goes round the tree at a steady rate. Latency is from a write to the hand-over of a later look."""
    tree = forest.tree(sizes.files)
    if order == "random":
        tree = shuffled(tree)
    count = sizes.rate * sizes.sustained_s

    def measure() -> dict[str, float]:
        hands = product.hands()
        hands.reset(log=True)
        before = product.usage()
        backlogs = []
        with writers.begin(tree.paths, count, rate=sizes.rate, stamps=True) as running:
            while running.running():
                hands.wait(1 << 60, timeout_s=1.0)  # a second passes; nothing is that large
                backlogs.append(backlog(product))
            written = running.wait()
        hands.wait(0, quiet_s=1.0, timeout_s=60.0)
        used = product.usage().since(before)
        found, missed = latencies(tree, written.stamps, hands.report()["log"])
        shards = product.client.status()["shards"]
        return {
            "p99_s": percentile(found, 0.99), "p99_ms": 1000 * percentile(found, 0.99), "p50_ms": 1000 * percentile(found, 0.5),
            "missed": missed, "backlog_max": max(backlogs), "backlog_end": backlog(product),
            "overflows": sum(shard["overflows"] for shard in shards), "rate": count / written.seconds,
            "cpu_percent": 100 * used.cpu_s / written.seconds, **used.figures(),
        }  # fmt: skip

    with Service(tree.root) as product:
        page.settings(files=tree.files, order=order, rate=sizes.rate, seconds=sizes.sustained_s)
        page.settings(tree=tree.root, state=product.state_dir)
        values = page.rounds(measure, 1, headline="p99_s")
    if values["rate"][0] < sizes.rate * 0.98:
        page.note(f"the writer reached only {values['rate'][0]:.0f}/s of {sizes.rate}")


def backlog(product: Service) -> int:
    """Rows that the group has not been handed yet."""
    return sum(int(group["backlog"]) for group in product.client.groups())
