"""What do batches buy a consumer that pays a fixed price for each call, such as a transaction of its own?"""

from __future__ import annotations

import time

import pytest
from book import Book
from sides import Service
from sizes import Sizes
from trees import Forest
from writers import Writers

#: What a call of the consumer costs, however many events it takes, and each event.
CALL_S = 0.001
EVENT_S = 0.0002
EVENTS = 1_000


def spend(seconds: float) -> None:
    """Works for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.row("batching")
def test_batching(page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """The same events, one a batch and then a hundred a batch, each batch acknowledged."""
    tree = forest.tree(sizes.many[0])
    with Service(tree.root, consumer=False) as product:
        client = product.client
        page.settings(events=EVENTS, call_ms=CALL_S * 1000, event_ms=EVENT_S * 1000, tree=tree.root, state=product.state_dir)
        client.pull("perf", from_="now")
        tick = int(client.hello()["tick"])
        writers.run(tree.paths[:EVENTS])
        client.sync()

        def consumed(batch_size: int) -> float:
            client.seek("perf", tick)
            begin = time.monotonic()
            events = 0
            for batch in client.batches("perf", max=batch_size, follow=False):
                spend(CALL_S + EVENT_S * len(batch.events))
                batch.ack()
                events += len(batch.events)
            assert events == EVENTS
            return time.monotonic() - begin

        def measure() -> dict[str, float]:
            before = product.usage()
            single, hundred = consumed(1), consumed(100)
            used = product.usage().since(before)
            return {"hundred_s": hundred, "single_s": single, "gain_percent": 100 * (single / hundred - 1), **used.figures()}

        page.rounds(measure, max(2, sizes.rounds // 2), headline="hundred_s")
