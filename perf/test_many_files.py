"""Does a file cost more where there are ten times as many: ten million generated files against one million?

No shard, no socket and no tree is involved: the records are made in the process that takes them in (`many_files.py`), so the row
tells how the index and the groups grow, and not how fast a service of that size becomes ready.
"""

from __future__ import annotations

import pytest
from book import Book
from many_files import grown
from sizes import Sizes
from trees import Forest

#: None of them may take long: nothing else is answered meanwhile.
STEPS = ("commit", "pull", "ack", "groups", "single", "fold", "checkpoint", "collect", "link", "search")


@pytest.mark.row("many_files")
def test_many_files(page: Book, forest: Forest, sizes: Sizes) -> None:
    """One group takes everything as it comes, the other stays behind by all of it. Then 20,000 files change one by one in random
    order, so that they leave their pages, and then those of each directory together, so that they become pages again (a fold).

    A step is one commit, one batch, one part of a count of the backlog, one such change, one fold, one turn of moving the log to
    the file, one collection of deletions, the first hard link, or one turn of the search for the other name of its file; of each
    the longest."""
    disk = forest.directory("disk")
    page.settings(files=sizes.generated, against=sizes.generated // 10, batch=1000, state=disk)

    def measure() -> dict[str, float]:
        few, many = (grown(disk / "home", files) for files in (sizes.generated // 10, sizes.generated))
        wrong = sum(
            run["behind"] != run["files"] or run["handed"] != run["files"] + 2 * run["left"] + run["forgotten"] + 1
            or run["linked"] != 1 or run["folded"] != run["left"]
            for run in (few, many)
        )  # fmt: skip
        steps = {what: many["longest"][what] for what in STEPS}
        return {
            "cpu_s": many["cpu_s"], "cpu_us": many["cpu_s"] / many["files"] * 1e6,
            "cpu_factor": many["cpu_s"] / many["files"] / (few["cpu_s"] / few["files"]),
            "memory_mb": many["memory_bytes"] / 2**20, "few_memory_mb": few["memory_bytes"] / 2**20,
            "memory_factor": many["memory_bytes"] / many["files"] / (few["memory_bytes"] / few["files"]),
            "disk_bytes": many["disk_bytes"] / many["files"], "wrong": wrong,
            "single_us": many["spent"]["single"] / many["left"] * 1e6, "fold_us": many["spent"]["fold"] / many["folded"] * 1e6,
            **{f"{what}_factor": many["spent"][what] / few["spent"][what] for what in ("single", "fold", "checkpoint")},
            "step_ms": max(steps.values()) * 1000, **{f"{what}_ms": took * 1000 for what, took in steps.items()},
            **{f"{what}_elapsed_ms": many["waited"][what] * 1000 for what in STEPS},
            **{f"{what}_s": many["spent"][what] for what in ("list", "commit", "pull", "ack", "search")},
        }  # fmt: skip

    page.rounds(measure, 1, headline="cpu_s")
