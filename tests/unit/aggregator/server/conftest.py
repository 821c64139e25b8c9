"""Services without sockets, for the tests of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_serve import Bench, BenchMaker


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[BenchMaker]:
    """Makes the service of a test, which ends with the test: over `files` files /r/0, /r/1 and so on, with these settings."""
    made: list[Bench] = []

    def make(files: int = 0, **settings: Any) -> Bench:
        bench = Bench(tmp_path / "groups.db", **settings)
        made.append(bench)
        for number in range(files):
            bench.index.put(b"/r/%d" % number)
        return bench

    yield make
    for bench in made:
        bench.store.abandon()
