"""Starts and stops a service again and again in one process, and counts after each stop what this process holds.

`python tests/cycles.py MODE CYCLES PLACE` prints one JSON object a cycle; PLACE is an empty directory with a short name, which
is TMPDIR too, so that nothing of another program is counted. MODE: `watcher` (RealtimeFileWatcher, temporary state directory),
`kept` (the same, with a state directory that stays), `service` (`ChildService`, and a client).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

import psutil
from running import settings_for

from shardwatch import FileEvent, RealtimeFileWatcher, WatcherConfig
from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.state_dir import prepare

MODES = ("watcher", "kept", "service")
#: Until what is left is what stays, seconds: a hang guard for what ends by itself after a stop.
_GUARD_S = 30.0


def memory_kb() -> dict[str, int]:
    """This process's memory, and of it what no file is behind, KiB.

    Not its proportional share (Pss): that grows when another program ends which had the same libraries loaded.
    """
    found = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        if name in ("Rss", "Anonymous"):
            found[name] = int(value.split()[0])
    return found


def held(place: Path) -> dict[str, int]:
    """Numbers of what could leak, memory aside."""
    descriptors, sockets = 0, 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue  # the descriptor of this very listing
        descriptors += 1
        sockets += target.startswith("socket:")
    bound = [line for line in Path("/proc/net/unix").read_text().splitlines() if str(place) in line]
    return {
        "descriptors": descriptors,
        "sockets": sockets,
        "bound": len(bound),
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "processes": len(psutil.Process().children(recursive=True)),
        "files": sum(len(files) + len(directories) for _, directories, files in os.walk(place)),
    }


async def watch(root: Path, state_dir: Path | None) -> None:
    """One life of a watcher, with an event."""
    seen = asyncio.Event()

    async def take(events: list[FileEvent]) -> None:
        seen.set()

    watcher = RealtimeFileWatcher(WatcherConfig(debounce_period=0.02, shards=1, state_dir=state_dir))
    await watcher.start_monitoring([root], take)
    (root / "f.json").write_text(str(time.monotonic_ns()))
    await asyncio.wait_for(seen.wait(), 60)
    await watcher.stop_monitoring()


def serve(root: Path, state_dir: Path) -> None:
    """One life of a service, with a batch."""
    layout = prepare(state_dir, settings_for(root, include=("*.json",), shards=1, settle_ms=20)).layout
    child = ChildService(layout, follow=True)
    child.wait_ready(60)
    with ExtractClient(layout.state_dir, timeout_s=60) as client:
        (root / "f.json").write_text(str(time.monotonic_ns()))
        client.sync()
        batch = client.pull("g", from_="start", wait_s=60)
        assert batch is not None
        batch.ack()
    child.stop(20)


def is_ending(now: dict[str, int]) -> bool:
    """Whether something of a service is left, which goes by itself."""
    return now["processes"] + now["bound"] > 0


def grown(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """By how much, of what there is more now."""
    return {name: now[name] - before[name] for name in before if now[name] > before[name]}


def main(mode: str, cycles: int, place: Path) -> None:
    root, state_dir = place / "root", place / "state"
    root.mkdir()
    second: dict[str, int] = {}
    for cycle in range(1, cycles + 1):
        if mode == "service":
            serve(root, state_dir)
        else:
            asyncio.run(watch(root, state_dir if mode == "kept" else None))
        gc.collect()
        deadline = time.monotonic() + _GUARD_S
        while is_ending(now := held(place)) or grown(second, now):
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        if cycle == 2:
            second = now
        print(json.dumps({"cycle": cycle, "held": now, "memory_kb": memory_kb()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
