"""How late is a worker elsewhere, while many sources change as they do in a day?

A day of many sources (`day.py`) is replayed against one server, faster than it would be. The lag of a change is the time until
the worker is handed a state of its file that includes it. All runs on one machine: the ships of all sources share a process.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import session
from book import Book
from day import DAY_S, FULL_DAY, HOUR_S, QUICK_DAY, Change, FleetSource, day, fleet
from jetstream import NatsServer
from latency import lags, percentile
from replay import Replay, Replayed
from shipping import cpu_of
from sides import HERE, ConsumerProcess
from sizes import QUICK
from test_ship import GUARD_S, needs_server
from trees import Forest

pytestmark = needs_server

#: Seconds without an event after which none is on its way any more.
QUIET_S = 5.0


class Day:
    """One round: server, ships and worker, and what became of each change."""

    def __init__(self, home: Path, notebooks: Path) -> None:
        self._home = home
        self._notebooks = notebooks

    def replayed(self, sources: Sequence[FleetSource], changes: Sequence[Change], day_s: float) -> dict[str, float]:
        server = NatsServer(self._home / "nats")
        try:
            return asyncio.run(self._replayed(server, sources, changes, day_s))
        finally:
            server.kill()

    async def _replayed(
        self, server: NatsServer, sources: Sequence[FleetSource], changes: Sequence[Change], day_s: float
    ) -> dict[str, float]:
        replay = await Replay.begun(sources, server.url, self._notebooks)
        command = [sys.executable, str(HERE / "use_fleet.py"), server.url, str(self._home / "store"), "perf"]
        worker = await asyncio.to_thread(ConsumerProcess, command, "")
        try:
            await asyncio.to_thread(worker.reset, log=True)
            before = cpu_of(server.pid), cpu_of(worker.pid), time.process_time()
            replayed = await replay.run(changes, day_s)
            ships_cpu_s = time.process_time() - before[2]
            distinct = len({change.path for change in replayed.happened})
            await asyncio.to_thread(worker.wait, distinct, quiet_s=QUIET_S, timeout_s=GUARD_S)
            used = cpu_of(server.pid) - before[0], cpu_of(worker.pid) - before[1]
            log = (await asyncio.to_thread(worker.report))["log"]
        finally:
            worker.close()
            await replay.close()
        cpu = {"cpu_s": ships_cpu_s + used[0], "cpu_ships_s": ships_cpu_s, "cpu_server_s": used[0], "consumer_cpu_s": used[1]}
        return {**figures(replayed, log, day_s), **cpu}


def figures(replayed: Replayed, log: list[tuple[str, float, float]], day_s: float) -> dict[str, float]:
    """`late_s` is what the machine was late with making the changes, which is no part of the lag."""
    writes: dict[str, list[float]] = {}
    for change in replayed.happened:
        writes.setdefault(change.path, []).append(change.at)
    found, missed = lags(writes, log)
    hours: dict[int, list[float]] = {}
    for at, seconds in found:
        hours.setdefault(int((at - replayed.begun) / day_s * DAY_S / HOUR_S), []).append(seconds)
    all_of_them = [seconds for _, seconds in found]
    return {
        "changes": len(replayed.happened), "events": len(log), "missed": missed, "late_s": replayed.late_s,
        "p50_s": percentile(all_of_them, 0.5),
        **{f"{name}_ms": 1000 * percentile(all_of_them, part) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        "worst_hour_p99_ms": 1000 * max(percentile(seconds, 0.99) for seconds in hours.values()),
        "rate": max(len(seconds) for seconds in hours.values()) / (day_s / 24),
    }  # fmt: skip


@pytest.mark.row("fleet_day")
def test_day(page: Book, forest: Forest) -> None:
    """Of desks, builders and shares; `rate` is the number of changes a second in the busiest hour."""
    size = QUICK_DAY if QUICK else FULL_DAY
    sources = fleet(size)
    changes = day(sources)
    page.settings(sources=len(sources), files=sum(source.files for source in sources), day_s=size.day_s)

    def measure() -> dict[str, float]:
        home = session.place(where=session.disk())
        page.settings(state=home)
        return Day(home, forest.directory()).replayed(sources, changes, size.day_s)

    page.rounds(measure, 1, headline="p50_s")
