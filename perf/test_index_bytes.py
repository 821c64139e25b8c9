"""How large is the index, beyond the names in it: after the first listing, after every file has changed, after all are gone?"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trees
from book import Book
from sides import Service
from sizes import Sizes
from trees import Forest, Tree, shuffled
from writers import Writers

from shardwatch.shard.contract.state.layout import Layout


@pytest.mark.row("index_bytes")
def test_index_bytes(page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """A service on a tree of its own, with a consumer that acknowledges. Every file is rewritten in the order of directories,
    then once more in random order, and everything is deleted at the end. Pages of the file that are free don't count: what comes
    next is written there."""

    def measure() -> dict[str, float]:
        tree = trees.make(forest.directory() / "tree", sizes.files)
        with Service(tree.root) as product:
            page.settings(files=tree.files, directories=tree.directories, tree=tree.root, state=product.state_dir)
            size = Size(product.state_dir, tree)
            before = product.usage()
            found = {"listed_bytes": size.beyond_names()}
            found["changed_bytes"] = changed(product, tree, writers, size)
            found["single_bytes"] = changed(product, shuffled(tree), writers, size, rate=sizes.rate)
            product.hands().reset()
            for top in tree.root.iterdir():
                shutil.rmtree(top)
            got = product.hands().wait(tree.files, timeout_s=120.0)
            return {
                **found, "deleted_bytes": size.beyond_names(), "file_bytes": size.bytes()[1] / tree.files,
                "missed": tree.files - got.distinct, **product.usage().since(before).figures(),
            }  # fmt: skip

    page.rounds(measure, 1, headline="cpu_s")


def changed(product: Service, tree: Tree, writers: Writers, size: Size, rate: int = 0) -> float:
    """Bytes for each file once all of them were rewritten and handed over; `rate`: so many a second."""
    product.hands().reset()
    with writers.begin(tree.paths, tree.files, rate=rate) as running:
        running.wait()
    assert product.hands().wait(tree.files, timeout_s=120.0).distinct == tree.files
    return size.beyond_names()


class Size:
    """Of the index of a running service, read beside it. What is in its log counts like what is in its file."""

    def __init__(self, state_dir: Path, tree: Tree) -> None:
        self._path = Layout(state_dir).index_db
        self._files = tree.files
        directories = {os.path.dirname(path) for path in tree.paths}
        self._names = sum(len(os.path.basename(path)) for path in tree.paths) + sum(map(len, directories))

    def bytes(self) -> tuple[int, int]:
        """In use; and of the whole file, with pages that are free."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=60)) as db:
            questions = ("page_count", "freelist_count", "page_size")
            pages, free, size = (db.execute(f"PRAGMA {question}").fetchone()[0] for question in questions)
        return (pages - free) * size, pages * size

    def beyond_names(self) -> float:
        """Bytes in use for each file, without the names of files and the paths of directories, each of which counts once."""
        return (self.bytes()[0] - self._names) / self._files
