"""A kernel's queue that is too short for what happens: many overflows, few rescans, and a mirror that ends equal."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from chaos.killer import may_shorten, short_queues
from running import Running, consuming, running, settings_for
from waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.xdist_group("overflows")]

#: Overflows for each rescan, at least: one without any pause, and then ever fewer.
RATIO = 4
#: Events that the queue holds: so few that it overflows again and again also where the shard has a processor to itself.
EVENTS = 16


def shard(service: Running) -> dict[str, Any]:
    found: dict[str, Any] = service.client.status()["shards"][0]
    return found


class Storm:
    """Threads that write and make directories until they are stopped."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(2)]

    def __enter__(self) -> Storm:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, which: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            directory = self._root / f"new{which}-{turn % 50}"
            directory.mkdir(exist_ok=True)
            for n in range(40):
                (directory / f"{n}.json").write_text("x" * (turn % 97))


@pytest.mark.skipif(not may_shorten(), reason="only root may change fs.inotify.max_queued_events")
def test_overflows_without_end(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """Under load that never pauses rescans back off; a sync in the middle is answered; calm again, all is as it was."""
    root = tmp_path / "root"
    for n in range(50):
        (root / f"d{n}").mkdir(parents=True)
        (root / f"d{n}/f.json").write_text("x")
    with short_queues(EVENTS):
        service = running(state_dir, settings_for(root, include=("*.json",), shards=1, settle_ms=20))
        started = service.__enter__()
    try:
        play(started, root)
    finally:
        service.__exit__(None, None, None)


def play(service: Running, root: Path) -> None:
    pid = int(service.programs()["s0"]["pid"])
    with consuming(service.layout.state_dir) as consumer:
        with Storm(root):
            eventually(lambda: shard(service)["rescan_pause_ms"] >= 2000, 60)
            mark = root / "d0/mark.json"
            mark.write_text("before the sync")
            service.client.sync(60, patience_s=20)
            eventually(lambda: os.fsencode(mark) in consumer.mirror, 60)
            eventually(lambda: shard(service)["overflows"] >= RATIO * shard(service)["rescans"] > 0, 60)
            eventually(lambda: shard(service)["rescan_owed"], 60)
        service.assert_mirrored(consumer, root)
        seen = shard(service)
        eventually(lambda: shard(service)["rescan_pause_ms"] == 0, 60)
        assert shard(service)["rescans"] <= seen["rescans"] + 2
        (root / "d1/f.json").write_text("after the storm")
        service.assert_mirrored(consumer, root)
        assert int(service.programs()["s0"]["pid"]) == pid
