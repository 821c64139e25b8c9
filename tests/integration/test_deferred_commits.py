"""While much changes, commits of the index are deferred: a service that dies then has lost nothing that it handed out, and
whoever has waited for a sync finds everything from another process."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from running import Running, consuming, running, settings_for
from waiting import eventually

from shardwatch import find

pytestmark = pytest.mark.usefixtures("no_leaks")

DIRECTORIES, NAMES = 100, 10


def rewrite(files: list[Path], size: int, seed: int) -> None:
    """All of them, each in another directory than the one before."""
    for path in random.Random(seed).sample(files, len(files)):
        path.write_text("x" * size)


def sizes(service: Running) -> set[int | None]:
    return {found.size for found in find(service.layout.state_dir)}


def test_a_service_that_is_killed_in_a_burst_goes_on(state_dir: Path, tmp_path: Path) -> None:
    """Nothing that was acknowledged comes again, and nothing is missing, in the index neither."""
    files = [tmp_path / "tree" / f"d{directory}" / f"f{name}.json" for directory in range(DIRECTORIES) for name in range(NAMES)]
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    settings = settings_for(tmp_path / "tree", settle_ms=50)
    redo_file = state_dir / "index.db-redo"
    with running(state_dir, settings) as service:
        with consuming(state_dir) as consumer:
            service.assert_mirrored(consumer, tmp_path / "tree")

            def burst() -> bool:
                """Another one. Whether commits were deferred in any: on a busy machine it comes in small pieces."""
                rewrite(files, next(size), 1)
                service.client.sync(60)
                assert len(sizes(service)) == 1
                return redo_file.stat().st_size > 0

            size = itertools.count(2)
            eventually(burst, what="commits are deferred")
            last = next(size)
            rewrite(files, last, 2)
            eventually(lambda: {size for size, _ in dict(consumer.mirror).values()} == {last}, what="all is handed out")
            service.assert_drained(consumer)
        service.kill_all()
    with running(state_dir, settings) as service, consuming(state_dir, mirror=consumer.mirror) as consumer:
        service.assert_mirrored(consumer, tmp_path / "tree")
        service.assert_drained(consumer)
        assert (consumer.fresh, consumer.events) == (0, [])
        assert sizes(service) == {last}
    assert redo_file.stat().st_size == 0
