"""Are the specification's floor figures met, with room to spare, by the Python API that it names?"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from book import Book
from latency import percentile
from sizes import Sizes
from trees import Forest

from shardwatch import EventQueue, FileEvent, FileEventProcessor, RealtimeFileWatcher, WatcherConfig

EVENTS = 1_000
NOISE = ("main.py", "a.ast.json.swp", "node_modules/x/a.json", ".git/index", "build/b.json")


def events_of(forest: Forest, count: int = EVENTS) -> list[FileEvent]:
    tree = forest.tree(10_000)
    return [FileEvent(Path(path.decode()), "modified", time.time(), 60) for path in tree.paths[:count]]


@pytest.mark.row("spec_filter")
def test_filter_1000_events(page: Book, forest: Forest, sizes: Sizes) -> None:
    """Half of them noise."""
    root = forest.tree(10_000).root
    noise = [FileEvent(root / NOISE[i % len(NOISE)], "modified", time.time()) for i in range(EVENTS // 2)]
    events = events_of(forest, EVENTS // 2) + noise
    processor = FileEventProcessor(WatcherConfig(), [str(root)])

    def measure() -> dict[str, float]:
        begin, begun = time.perf_counter(), time.process_time()
        kept = asyncio.run(processor.filter_relevant_events(events))
        seconds = time.perf_counter() - begin
        assert len(kept) == EVENTS // 2
        return {"filter_s": seconds, "filter_ms": 1000 * seconds, "cpu_s": time.process_time() - begun}

    page.rounds(measure, 20, headline="filter_s")


@pytest.mark.row("spec_process")
def test_process_1000_events(page: Book, forest: Forest, sizes: Sizes) -> None:
    """Filtered, every file looked at, queued durably."""
    events = events_of(forest)

    def measure() -> dict[str, float]:
        async def process() -> float:
            watcher = RealtimeFileWatcher(WatcherConfig())
            try:
                begin = time.perf_counter()
                result = await watcher.process_file_events(events)
                seconds = time.perf_counter() - begin
                assert len(result.queued) == EVENTS
                return seconds
            finally:
                await watcher.stop_monitoring()

        begun = time.process_time()
        seconds = asyncio.run(process())
        return {"process_s": seconds, "process_ms": 1000 * seconds, "cpu_s": time.process_time() - begun}

    page.settings(state=Path(tempfile.gettempdir()))
    page.rounds(measure, 10, headline="process_s")


def enqueued(directory: Path, durability: str, count: int) -> list[float]:
    """Seconds of each of `count` single enqueues, on disk."""

    async def run() -> list[float]:
        queue = EventQueue(directory / f"{durability}-{time.monotonic_ns()}.db", durability=durability)
        found = []
        for number in range(count):
            event = FileEvent(Path(f"/src/unit{number}.ast.json"), "modified", float(number), 60)
            begin = time.perf_counter()
            assert await queue.enqueue_file_event(event)
            found.append(time.perf_counter() - begin)
        await queue.close()
        return found

    return asyncio.run(run())


@pytest.mark.row("spec_enqueue")
def test_enqueue_one_event(page: Book, forest: Forest, sizes: Sizes) -> None:
    """Durable when it returns: against a crash of any process, and beside it against a loss of power (an fsync each)."""
    directory = forest.directory("disk")

    def measure() -> dict[str, float]:
        begun = time.process_time()
        process, power = enqueued(directory, "process", 2_000), enqueued(directory, "power", 200)
        return {
            "cpu_s": time.process_time() - begun, "p50_s": percentile(process, 0.5),
            "p50_ms": 1000 * percentile(process, 0.5), "p99_ms": 1000 * percentile(process, 0.99),
            "power_p50_ms": 1000 * percentile(power, 0.5), "power_p99_ms": 1000 * percentile(power, 0.99),
        }  # fmt: skip

    page.settings(state=directory)
    page.rounds(measure, max(2, sizes.rounds // 2), headline="p50_s")


@pytest.mark.row("spec_stop")
def test_stop(page: Book, forest: Forest, sizes: Sizes) -> None:
    """`stop_monitoring` on 10,000 files, with changes pending."""
    tree = forest.tree(10_000)

    def measure() -> dict[str, float]:
        async def run() -> tuple[float, float]:
            taken: list[Any] = []
            watcher = RealtimeFileWatcher(WatcherConfig())
            begin = time.monotonic()
            await watcher.start_monitoring([str(tree.root)], taken.extend)
            started = time.monotonic() - begin
            for path in tree.paths[:100]:
                Path(path.decode()).write_text('{"_type": "Module"}')
            begin = time.monotonic()
            await watcher.stop_monitoring()
            return started, time.monotonic() - begin

        begun = sum(os.times()[:4])
        started, stopped = asyncio.run(run())
        # Of this process and of the service, which has ended.
        return {"stop_s": stopped, "start_s": started, "cpu_s": sum(os.times()[:4]) - begun}

    page.settings(files=tree.files, tree=tree.root, state=Path(tempfile.gettempdir()))
    page.rounds(measure, max(2, sizes.rounds // 2), headline="stop_s")
