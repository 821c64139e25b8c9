"""How long from the command to ready: everything included, from the launch in a shell to the line that says so?

Warm and cold, ten times larger, and with a state directory that knows the tree already.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import pytest
from book import Book
from sides import Watch, names, watching
from sizes import Sizes
from trees import Forest
from writers import Writers


def once(side: str, root: Path, files: int, page: Book) -> dict[str, float]:
    with watching(side, root) as product:
        if isinstance(product, Watch):
            assert product.ready["files"] == files
            page.settings(shards=product.ready["shards"], backend=product.ready["backend"], state=Path(tempfile.gettempdir()))
        elif side == "watchman":
            assert product.hands().ready["files"] == files
        return {"ready_s": product.ready_s, **product.usage().figures()}


@pytest.mark.row("start_empty")
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_start_on_an_empty_tree(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """What a start costs whatever is watched."""
    root = forest.directory()
    page.settings(files=0, directories=1, tree=root)
    page.rounds(lambda: once(side, root, 0, page), sizes.rounds, headline="ready_s")


@pytest.mark.row("start")
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_start(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """Warm cache. watchman: to its first full answer; the others: to the moment from which they say they watch."""
    tree = forest.tree(sizes.files)
    page.settings(files=tree.files, directories=tree.directories, tree=tree.root)
    page.rounds(lambda: once(side, tree.root, tree.files, page), sizes.rounds, headline="ready_s")


@pytest.mark.row("start_large")
@pytest.mark.parametrize("side", names("watchman"))
def test_start_of_ten_times_as_many(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """The same with ten times the files, in ten times the directories."""
    tree = forest.tree(sizes.files * 10)
    page.settings(files=tree.files, directories=tree.directories, tree=tree.root)
    page.rounds(lambda: once(side, tree.root, tree.files, page), max(1, sizes.rounds // 2), headline="ready_s")


@pytest.mark.row("start_cold")
@pytest.mark.parametrize("side", names("watchman"))
def test_start_with_a_cold_cache(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """On disk, with the page, dentry and inode caches dropped before each launch: of the programs' own files too."""
    tree = forest.tree(sizes.files, "disk")
    drop = Path("/proc/sys/vm/drop_caches")
    droppable = os.access(drop, os.W_OK)
    page.settings(files=tree.files, directories=tree.directories, tree=tree.root)
    if not droppable:
        page.note("caches could not be dropped (not root): this is a warm start on disk")

    def measure() -> dict[str, float]:
        os.sync()
        if droppable:
            drop.write_text("3")
        return once(side, tree.root, tree.files, page)

    page.rounds(measure, max(2, sizes.rounds // 2), headline="ready_s")


@pytest.mark.row("resume")
@pytest.mark.parametrize("side", names())
def test_resume(side: str, page: Book, forest: Forest, writers: Writers, sizes: Sizes, state_dir: Path) -> None:
    """A second watch with its state directory: the 100 files that changed in between arrive, and nothing else does."""
    tree = forest.tree(sizes.files)
    page.settings(files=tree.files, changed=100, tree=tree.root, state=state_dir)
    with Watch(tree.root, "--state-dir", state_dir, side=side):
        pass
    step = [0]

    def measure() -> dict[str, float]:
        step[0] += 1
        changed = tree.paths[step[0] :: tree.files // 100][:100]
        writers.run(changed)
        with Watch(tree.root, "--state-dir", state_dir, side=side) as watch:
            wanted = {os.fsdecode(path) for path in changed}
            came: list[str] = []
            handed = time.monotonic()
            while not wanted <= set(came):
                came.append(json.loads(watch.lines.next(30))["path"])
            handed = time.monotonic() - handed
            while not watch.lines.silent(1.0):
                came.append(json.loads(watch.lines.next())["path"])
            wrong = len(came) - len(wanted)
            if wrong:
                page.note(f"{wrong} events more than changes")
            return {"ready_s": watch.ready_s, "handed_s": watch.ready_s + handed, "wrong": wrong, **watch.usage().figures()}

    page.rounds(measure, sizes.rounds, headline="ready_s")
