"""How fast does a tree come into a stream, how late is a save at a worker elsewhere, and what memory does it take?

On one machine: the network is loopback, and the server shares the cores. Its store is on disk.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import processes
import pytest
from book import Book
from shipping import Shipping
from sizes import Sizes
from test_latency import saved
from trees import Forest

needs_server = pytest.mark.skipif(shutil.which("nats-server") is None, reason="nats-server is missing (Debian: nats-server)")
pytestmark = needs_server

#: Seconds that shipping a tree may take: a guard.
GUARD_S = 1_800.0


def peak_mb(pid: int) -> float:
    """The most memory that a process has had (RSS), in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no peak")


@pytest.mark.row("ship")
def test_rate(page: Book, forest: Forest, sizes: Sizes) -> None:
    """From its launch until the stream has every path, and `ship` says so; then again, as another generation over the first."""
    tree = forest.tree(sizes.files)

    def measure() -> dict[str, float]:
        with Shipping(tree.root) as shipping:
            page.settings(files=tree.files, tree=tree.root, state=shipping.home)
            first_s = shipping.begin(GUARD_S)
            used = shipping.usage()
            missed = tree.files - shipping.paths()
            again_s = shipping.again(GUARD_S)
            again = shipping.usage().since(used)
            return {
                "first_s": first_s, "rate": tree.files / first_s, "again_s": again_s, "again_rate": tree.files / again_s,
                "missed": max(missed, tree.files - shipping.paths()), **used.figures(),
                **{f"again_{name}": value for name, value in again.figures().items()},
            }  # fmt: skip

    page.rounds(measure, max(1, sizes.rounds // 2), headline="first_s")


@pytest.mark.row("ship_latency")
def test_latency(page: Book, forest: Forest, sizes: Sizes) -> None:
    """One atomic save after the other, each waited for, until a FleetClient in another process hands it out."""
    tree = forest.tree(sizes.files)
    with Shipping(tree.root) as shipping:
        shipping.begin(GUARD_S)
        shipping.worker("perf")
        page.settings(files=tree.files, saves=sizes.saves, tree=tree.root, state=shipping.home)
        page.rounds(lambda: saved(shipping, tree, sizes.saves), 1, headline="p50_s")


@pytest.mark.row("ship_memory")
def test_memory(page: Book, forest: Forest, sizes: Sizes) -> None:
    """After as many paths as the largest tree has: memory of `ship` (PSS, and its peak as RSS), what a path takes of the server's
    memory and disk, and how long the server takes to start after kill -9.
    """
    tree = forest.tree(sizes.many[-1])
    page.settings(files=tree.files, tree=tree.root)

    def measure() -> dict[str, float]:
        with Shipping(tree.root) as shipping:
            page.settings(state=shipping.home)
            empty = processes.memory([shipping.server.pid]).pss
            first_s = shipping.begin(GUARD_S)
            missed = tree.files - shipping.paths()
            assert shipping.ship is not None
            ship, peak = processes.memory([shipping.ship.pid]).pss, peak_mb(shipping.ship.pid)
            server, disk = processes.memory([shipping.server.pid]).pss, shipping.disk_bytes()
            used = shipping.usage()
            shipping.server.kill()
            begin = time.monotonic()
            shipping.server.start()
            restart_s = time.monotonic() - begin
            restarted = processes.memory([shipping.server.pid]).pss
            return {
                "first_s": first_s, "rate": tree.files / first_s, "pss_mb": ship / 2**20, "peak_mb": peak,
                "server_bytes": (server - empty) / tree.files,
                "restarted_bytes": (restarted - empty) / tree.files, "disk_bytes": disk / tree.files, "restart_s": restart_s,
                "missed": max(missed, tree.files - shipping.paths()), **used.figures(),
            }  # fmt: skip

    page.rounds(measure, 1, headline="first_s")
