"""How long does one shard of eight, killed with -9 under load, leave its subtree unwatched; and is anything lost?"""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from book import Book
from session import deliver
from sides import GUARD_S, Service
from sizes import Sizes
from trees import Forest
from writers import Writers

#: Changes a second beside it.
LOAD = 2_000


def shard_of(product: Service, number: int) -> dict[str, Any]:
    shards: list[dict[str, Any]] = product.client.status()["shards"]
    return shards[number % len(shards)]


@pytest.mark.row("recovery")
def test_recovery(page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """From the kill until the aggregator has the successor's whole baseline; every file written meanwhile must arrive."""
    tree = forest.tree(sizes.files)
    victims = iter(range(sizes.rounds))

    def measure() -> dict[str, float]:
        number = next(victims)
        hands = product.hands()
        with writers.begin(tree.paths, LOAD * 3600, rate=LOAD):
            hands.reset()
            hands.wait(LOAD // 4)
            before, spent = shard_of(product, number), product.usage()
            killed = time.monotonic()
            deliver(before["pid"], signal.SIGKILL)
            restarted = recovered = 0.0
            while not recovered:
                now = shard_of(product, number)
                if not restarted and now["epoch"] > before["epoch"]:
                    restarted = time.monotonic()
                if restarted and product.client.ready() is not None:
                    recovered = time.monotonic()
                assert time.monotonic() - killed < GUARD_S, now
            used = product.usage().since(spent)
        # What every file is now must come, whoever looked at it.
        hands.reset()
        writers.run(tree.paths)
        got = hands.wait(tree.files, quiet_s=0.5)
        missed = tree.files - got.distinct
        return {"recovered_s": recovered - killed, "restarted_s": restarted - killed, "missed": missed, **used.figures()}

    with Service(tree.root, shards=8) as product:
        page.settings(files=tree.files, shards=8, load=f"{LOAD}/s", tree=tree.root, state=product.state_dir)
        page.rounds(measure, sizes.rounds, headline="recovered_s")
