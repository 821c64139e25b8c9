"""How fast does `shardwatch find` answer over a million files: the whole command, from its launch to its end?

Once for the files of one name, which are a tenth of all, and once for what is in none: then only the index is read.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from book import Book
from sides import Service
from sizes import Sizes
from trees import FILES_PER_DIRECTORY, Forest


@pytest.mark.row("find")
def test_find(page: Book, forest: Forest, sizes: Sizes) -> None:
    """The aggregator goes on with its work meanwhile: it is not asked."""
    tree = forest.tree(sizes.files * 10)
    with Service(tree.root, consumer=False) as product:
        page.settings(files=tree.files, tree=tree.root, state=product.state_dir)

        def found(pattern: str) -> tuple[float, int]:
            command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "find", pattern, "-0", "--state-dir"]
            begin = time.monotonic()
            done = subprocess.run([*command, str(product.state_dir)], stdout=subprocess.PIPE, check=True)
            return time.monotonic() - begin, done.stdout.count(b"\0")

        def measure() -> dict[str, float]:
            begun = sum(os.times()[2:4])  # of the commands, which have ended
            tenth_s, files = found("unit3.*")
            none_s, none = found("*.py")
            wrong = abs(files - tree.files // FILES_PER_DIRECTORY) + none
            return {"tenth_s": tenth_s, "none_s": none_s, "wrong": wrong, "cpu_s": sum(os.times()[2:4]) - begun}

        page.rounds(measure, sizes.rounds, headline="tenth_s")
