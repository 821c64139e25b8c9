"""How much memory does a file cost? PSS of all processes, as growth over the same service on an empty tree."""

from __future__ import annotations

import time
from pathlib import Path

import processes
import pytest
from book import Book
from sides import names, watching
from sizes import Sizes
from test_idle import came_to_rest
from trees import Forest

SIZES = [
    pytest.param(0, marks=pytest.mark.row("memory_small")),
    pytest.param(1, marks=pytest.mark.row("memory")),
    pytest.param(2, marks=pytest.mark.row("memory_large")),
]


def footprint(side: str, root: Path) -> tuple[processes.Memory, float, processes.Usage]:
    """Memory once the product is ready and at rest, the seconds that its start took, and the processor time until then."""
    with watching(side, root) as product:
        came_to_rest(product)
        return processes.memory(product.pids()), product.ready_s, product.usage()


@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
@pytest.mark.parametrize("which", SIZES)
def test_memory(side: str, which: int, page: Book, forest: Forest, sizes: Sizes) -> None:
    """From /proc/PID/smaps_rollup: pages that several processes share count once. The consumer of a peer is part of it.

    The part of file-backed pages is told apart: clean ones (code, mapped databases) are the page cache's, to be dropped at any
    time.
    """
    tree = forest.tree(sizes.many[min(which, len(sizes.many) - 1)])
    empty, _, _ = footprint(side, forest.directory())
    page.settings(files=tree.files, directories=tree.directories, tree=tree.root)

    def measure() -> dict[str, float]:
        begin = time.monotonic()
        full, ready_s, used = footprint(side, tree.root)
        thousands = tree.files / 1000
        return {
            "took_s": time.monotonic() - begin, "ready_s": ready_s, "growth_kb": (full.pss - empty.pss) / 1024 / thousands,
            "file_kb": (full.file - empty.file) / 1024 / thousands, "pss_mb": full.pss / 2**20, "empty_mb": empty.pss / 2**20,
            **{f"pss_{name}_mb": size / 2**20 for name, size in full.by_name.items()}, **used.figures(),
        }  # fmt: skip

    page.rounds(measure, 1 if which == 2 else max(1, sizes.rounds // 2), headline="took_s")
