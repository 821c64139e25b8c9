"""What does it cost when there is nothing to do, or nothing that concerns it, or as much as people do by hand?"""

from __future__ import annotations

import os
import random
import time

import pytest
import trees
from book import Book
from sides import Service, Side, Watch, launch, names, watching
from sizes import Sizes
from trees import Forest
from writers import Writers, save


@pytest.mark.row("idle")
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_idle(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """Nothing happens. All processes together; ours as `watch --json` with its front end, the peers with their consumer."""
    tree = forest.tree(sizes.files)
    page.settings(files=tree.files, seconds=sizes.idle_s, tree=tree.root)
    with watching(side, tree.root) as product:
        came_to_rest(product)

        def measure() -> dict[str, float]:
            begin, before = time.monotonic(), product.usage()
            if isinstance(product, Watch):
                assert product.lines.silent(sizes.idle_s)
            else:
                product.hands().wait(1, timeout_s=sizes.idle_s)
            seconds, used = time.monotonic() - begin, product.usage().since(before)
            return {"cpu_percent": 100 * used.cpu_s / seconds, "wakeups_s": used.wakeups / seconds, **used.figures()}

        page.rounds(measure, 1, headline="cpu_s")


def came_to_rest(product: Side) -> None:
    """What follows from the start is over: less than 2 % of a core in half a second, or ten seconds have passed."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        before = product.usage()
        if isinstance(product, Watch):
            product.lines.silent(0.5)
        else:
            product.hands().wait(1 << 60, timeout_s=0.5)
        if product.usage().since(before).cpu_s < 0.01:
            return


@pytest.mark.row("quiet_reads")
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_reads(side: str, page: Book, forest: Forest, writers: Writers, sizes: Sizes) -> None:
    """Every file is opened, read and closed."""
    tree = forest.tree(sizes.files)
    with launch(side, tree.root) as product:
        page.settings(files=tree.files, tree=tree.root)
        came_to_rest(product)
        page.rounds(lambda: disturbed(product, tree.paths, writers, "read"), sizes.rounds, headline="cpu_s")


@pytest.mark.row("quiet_excluded")
@pytest.mark.parametrize("side", names("watchman"))
def test_writes_in_excluded_directories(side: str, page: Book, writers: Writers, sizes: Sizes, forest: Forest) -> None:
    """As many writes as the tree has files, all in a node_modules beside them. watchman is told to ignore it, by its name."""
    root = forest.directory()
    trees.make(root / "src", sizes.many[0])
    noise = trees.make(root / "node_modules", sizes.many[0])
    (root / ".watchmanconfig").write_text('{"ignore_dirs": ["node_modules"]}')
    with launch(side, root) as product:
        page.settings(writes=sizes.files, tree=root)
        came_to_rest(product)
        page.rounds(lambda: disturbed(product, noise.paths, writers, "write", sizes.files), sizes.rounds, headline="cpu_s")


def disturbed(product: Side, paths: list[bytes], writers: Writers, kind: str, count: int = 0) -> dict[str, float]:
    """Events and processor time that other people's work costs the product, until a moment after its end."""
    hands = product.hands()
    hands.reset()
    before = product.usage()
    written = writers.run(paths, count, kind=kind)
    got = hands.wait(1, timeout_s=0.5)
    used = product.usage().since(before)
    return {"events": got.events, "cpu_percent": 100 * used.cpu_s / written.cpu_s, **used.figures()}


@pytest.mark.row("work")
@pytest.mark.parametrize("side", names("watchman", "watchdog", "watchfiles", "inotifywait"))
def test_normal_work(side: str, page: Book, forest: Forest, sizes: Sizes) -> None:
    """Among 10,000 files one is saved each second, and 50 at once each minute; every one must come."""
    tree = forest.tree(10_000)
    seconds = sizes.work_s
    burst_at = 60 if seconds > 60 else seconds // 2
    with launch(side, tree.root) as product:
        page.settings(files=tree.files, seconds=seconds, tree=tree.root)
        if isinstance(product, Service):
            page.settings(state=product.state_dir)
        came_to_rest(product)
        page.rounds(lambda: worked(product, tree.paths, seconds, burst_at), 1, headline="slowest_s")


def worked(product: Side, paths: list[bytes], seconds: int, burst_at: int) -> dict[str, float]:
    hands = product.hands()
    chance = random.Random(7)
    order = chance.sample(paths, seconds + 50 * (seconds // burst_at))
    hands.reset()
    saved: dict[bytes, float] = {}
    begin, before = time.monotonic(), product.usage()
    for second in range(1, seconds + 1):
        for _ in range(51 if second % burst_at == 0 else 1):
            path = order.pop()
            saved[path] = save(path, b'{"_type": "Module", "body": [%d]}\n' % second)
        # The rest of the second passes while the consumer is asked for more than there is.
        hands.wait(1 << 60, timeout_s=max(0.0, begin + second - time.monotonic()))
    length = time.monotonic() - begin
    used = product.usage().since(before)
    hands.wait(len(saved), timeout_s=10.0)
    last = hands.report()["last"]
    late = [last[name] - at for path, at in saved.items() if (name := os.fsdecode(path)) in last]
    return {
        "slowest_s": max(late), "slowest_ms": 1000 * max(late), "missed": len(saved) - len(late),
        "cpu_percent": 100 * used.cpu_s / length, "wakeups_s": used.wakeups / length, **used.figures(),
    }  # fmt: skip
