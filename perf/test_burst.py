"""Does anything get lost when a writer does nothing but rewrite files, and how soon after its last write is all in hand?

Two kinds: every file once (a burst), and few files over and over (a storm), of which only the last state matters.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from book import Book
from sides import Arrived, Service, Side, is_ours, launch, names
from sizes import Sizes
from trees import Forest, Tree, shuffled
from writers import Writers

#: So long without an event after the last one counts as the end.
QUIET_S = 0.4
#: Of the paths that are rewritten.
ORDERS = [
    pytest.param("directory", marks=pytest.mark.row("burst")),
    pytest.param("random", marks=pytest.mark.row("burst_random")),
]


def rewritten(product: Side, tree: Tree, writers: Writers, page: Book, timeout_s: float) -> dict[str, float]:
    """Every file once, at full speed; what the consumer has then."""
    hands = product.hands()
    hands.reset()
    before = product.usage()
    written = writers.run(tree.paths)
    got = hands.wait(tree.files, quiet_s=QUIET_S, timeout_s=timeout_s)
    used = product.usage().since(before)
    lost(page, got, tree.files)
    return {
        "late_s": max(0.0, got.taken_at - written.end), "missed": tree.files - got.distinct, "events": got.events,
        "writer_s": written.seconds, **used.figures(),
    }  # fmt: skip


def lost(page: Book, got: Arrived, wanted: int) -> None:
    """Says in the row what a side lost, and what it said of it."""
    page.lost(wanted - got.distinct, wanted, said=got.overflows)
    if got.fatal:
        page.note(f"ended by {got.fatal}")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_burst(side: str, order: str, page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """Every file of the tree rewritten once by a writer in C, on tmpfs; late is counted from its end. One directory after the
    other, as a checkout does it; or in random order, in which each look is at another directory than the one before."""
    tree = forest.tree(sizes.files)
    if order == "random":
        tree = shuffled(tree)
    with launch(side, tree.root) as product:
        page.settings(files=tree.files, order=order, writer=writers.kind, tree=tree.root)
        if isinstance(product, Service):
            page.settings(state=product.state_dir, shards=product.ready["shards"])
        timeout_s = 60.0 if is_ours(side) else 20.0
        page.rounds(lambda: rewritten(product, tree, writers, page, timeout_s), sizes.rounds, headline="late_s")


def stormed(product: Side, paths: list[bytes], count: int, writers: Writers, page: Book) -> dict[str, Any]:
    """A few files, `count` rewrites in all, round and round; was the last state of each handed over after the last write?"""
    hands = product.hands()
    hands.reset()
    before = product.usage()
    written = writers.run(paths, count)
    got = hands.wait(len(paths), quiet_s=2.0, timeout_s=60.0)
    used = product.usage().since(before)
    last = hands.report()["last"]
    stale = sum(last.get(os.fsdecode(path), 0.0) < written.end for path in paths)
    lost(page, got, len(paths))
    return {
        "late_s": max(0.0, got.taken_at - written.end), "events": got.events, "stale": stale, "writer_s": written.seconds,
        "cpu_percent": 100 * used.cpu_s / written.seconds, **used.figures(),
    }  # fmt: skip


@pytest.mark.parametrize("side", names("watchman", "watchfiles"))
@pytest.mark.parametrize(
    "files", [pytest.param(1, marks=pytest.mark.row("storm_one")), pytest.param(10, marks=pytest.mark.row("storm_ten"))]
)
def test_storm(side: str, files: int, page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """As many rewrites of one file, or of ten, as fast as the system takes them. Kept: that the last state is delivered.

    `stale` counts files of which nothing was handed over after the writer had ended.
    """
    tree = forest.tree(sizes.many[0])
    with launch(side, tree.root) as product:
        page.settings(files=files, rewrites=sizes.storm, writer=writers.kind, tree=tree.root)
        values = page.rounds(
            lambda: stormed(product, tree.paths[:files], sizes.storm, writers, page), max(1, sizes.rounds // 2), headline="late_s"
        )
        if any(values["stale"]):
            page.note(f"the last state of {max(values['stale']):.0f} files was not handed over after the last write")
