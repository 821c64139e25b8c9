"""How fast does a group that was away catch up: 100,000 changes behind, in batches of 1,000, each acknowledged?

The changes are made while nobody pulls; for each round the group is sent back to where it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from book import Book
from sides import Lines, Service
from sizes import Sizes
from trees import Forest, shuffled
from writers import Writers

GROUP = "behind"


def caught_up(state_dir: Path, workers: int) -> tuple[float, int]:
    """Seconds from the first pull to the last ack of all workers together, and the events that they were handed."""
    command = [sys.executable, str(Path(__file__).with_name("catch_up.py")), str(state_dir), GROUP]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(workers)]
    lines = [Lines(process) for process in started]
    for each in lines:
        assert each.next() == b"connected"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    answers = [json.loads(each.next()) for each in lines]
    for process in started:
        process.communicate()
    working = [answer for answer in answers if answer["events"]]
    seconds = max(answer["end"] for answer in working) - min(answer["begin"] for answer in working)
    return seconds, sum(answer["events"] for answer in working)


@pytest.mark.parametrize(
    ("workers", "order"),
    [
        pytest.param(1, "directory", marks=pytest.mark.row("catch_up_one")),
        pytest.param(1, "random", marks=pytest.mark.row("catch_up_random")),
        pytest.param(4, "directory", marks=pytest.mark.row("catch_up_four")),
    ],
)
def test_catch_up(workers: int, order: str, page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """One worker, then four: processes of their own, connected before the clock starts. In random order what is handed out one
    after the other lies in different directories."""
    tree = forest.tree(sizes.files)
    if order == "random":
        tree = shuffled(tree)
    with Service(tree.root, consumer=False) as product:
        page.settings(changes=tree.files, order=order, workers=workers, batch=1000, tree=tree.root, state=product.state_dir)
        product.client.pull(GROUP, from_="now")
        tick = int(product.client.hello()["tick"])
        writers.run(tree.paths)
        product.client.sync()

        def measure() -> dict[str, float]:
            product.client.seek(GROUP, tick)
            before = product.usage()
            seconds, events = caught_up(product.state_dir, workers)
            used = product.usage().since(before)
            return {"seconds": seconds, "rate": events / seconds, "missed": tree.files - events, **used.figures()}

        page.rounds(measure, sizes.rounds, headline="seconds")
