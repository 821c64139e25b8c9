"""How many events a second go through one server in batches, and how fast does a tree come into a log?

On one machine: the network is loopback, and the server shares the cores. Its store is on disk. What the sources keep for each
batch is in memory for the first question: on as many machines they would not share a disk.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import session
from book import Book
from jetstream import NatsServer
from shipping import Shipping, cpu_of
from sides import HERE
from sizes import Sizes
from test_ship import GUARD_S, needs_server
from trees import Forest

pytestmark = needs_server

#: Sources that publish side by side, each in a process of its own.
SOURCES = 4


def publish(server: NatsServer, states: Path, count: int) -> tuple[float, float, int, float]:
    """Each source publishes so many events. Seconds until the last confirmation, and until a consumer in another process has
    all of them; paths that it has; processor seconds of the sources.
    """
    with contextlib.ExitStack() as stack:

        def program(name: str, *arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, str(HERE / name), server.url, *arguments]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        def said(process: subprocess.Popen[str]) -> list[str]:
            assert process.stdout is not None
            return process.stdout.readline().split()

        sources = [program("publish_batches.py", f"s{n}", str(count), str(states)) for n in range(SOURCES)]
        for source in sources:
            assert said(source) == ["ready"]
        reader = program("use_batches.py", str(count * SOURCES))
        assert said(reader) == ["reading"]
        begin = time.monotonic()
        for source in sources:
            assert source.stdin is not None
            source.stdin.write("\n")
            source.stdin.flush()
        published = [(float(at), float(used_s)) for at, used_s in map(said, sources)]
        read_at, paths = said(reader)
    return max(at for at, _ in published) - begin, float(read_at) - begin, int(paths), sum(used_s for _, used_s in published)


@pytest.mark.row("ship_batches")
def test_rate(page: Book, forest: Forest, sizes: Sizes) -> None:
    """Twenty events for each file of the usual tree, from four sources to one consumer; then a tree, as `ship` ships it."""
    count = sizes.files * 20 // SOURCES
    tree = forest.tree(sizes.files)
    page.settings(events=count * SOURCES, files=tree.files, tree=tree.root)

    def measure() -> dict[str, float]:
        home, states = session.place(where=session.disk()), session.place(where=session.memory())
        server = NatsServer(home / "nats")
        try:
            published_s, read_s, paths, ships_s = publish(server, states, count)
            server_s = cpu_of(server.pid)
        finally:
            server.kill()
            for place in (home, states):
                shutil.rmtree(place, ignore_errors=True)
        with Shipping(tree.root, "--layout", "batches") as shipping:
            page.settings(state=shipping.home)
            first_s = shipping.begin(GUARD_S)
            used = shipping.usage()
        return {
            "read_s": read_s, "published_s": published_s, "rate": count * SOURCES / read_s, "missed": count * SOURCES - paths,
            "ships_us": ships_s / (count * SOURCES) * 1e6, "server_us": server_s / (count * SOURCES) * 1e6,
            "first_s": first_s, "first_rate": tree.files / first_s, **used.figures(),
        }  # fmt: skip

    page.rounds(measure, max(1, sizes.rounds // 2), headline="read_s")
