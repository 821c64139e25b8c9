"""What do more shards cost and buy, on this machine?"""

from __future__ import annotations

import pytest
from book import Book
from sides import Service
from sizes import Sizes
from test_burst import rewritten
from trees import Forest
from writers import Writers


@pytest.mark.row("shards")
def test_shards(page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """Start (of the service, without the command line) and burst with one, two, four and eight shards."""
    tree = forest.tree(sizes.files)
    page.settings(files=tree.files, tree=tree.root)

    def measure() -> dict[str, float]:
        figures: dict[str, float] = {"cpu_s": 0.0}
        for shards in (1, 2, 4, 8):
            with Service(tree.root, shards=shards) as product:
                page.settings(state=product.state_dir)
                burst = rewritten(product, tree, writers, page, 60.0)
                figures[f"ready_{shards}_s"] = product.ready_s
                figures[f"late_{shards}_s"] = burst["late_s"]
                figures[f"missed_{shards}"] = burst["missed"]
                figures[f"cpu_{shards}_shards_s"] = product.usage().cpu_s
                figures["cpu_s"] += product.usage().cpu_s
        return figures

    page.rounds(measure, max(1, sizes.rounds // 2), headline="ready_2_s")
