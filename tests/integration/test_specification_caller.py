"""A program written against the specification alone, by its names, fields, defaults and signatures: only imports differ."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional  # noqa: UP035 - as such a program would be written

import pytest
from saving import save

from shardwatch import (
    EventQueue,
    FileEvent,
    FileEventProcessor,
    ProcessingResult,
    RealtimeFileWatcher,
    WatcherConfig,
    WatcherStats,
)

logger = logging.getLogger(__name__)


class ExtractStage:
    """What an extract pipeline around the specified watcher would look like."""

    def __init__(self, config: Optional[WatcherConfig] = None) -> None:  # noqa: UP045
        self.config = config or WatcherConfig()
        self.watcher = RealtimeFileWatcher(self.config)
        self.trees: Dict[str, object] = {}  # noqa: UP006
        self.seen: List[FileEvent] = []  # noqa: UP006

    def handle(self, events: List[FileEvent]) -> None:  # noqa: UP006
        assert 0 < len(events) <= self.config.batch_size
        for event in events:
            assert isinstance(event.path, Path)
            assert event.event_type in ("created", "modified", "deleted")
            assert isinstance(event.timestamp, float)
            assert not event.is_directory
            if event.event_type == "deleted":
                self.trees.pop(str(event.path), None)
            else:
                assert event.file_size is not None
                self.trees[str(event.path)] = json.loads(event.path.read_text())
            self.seen.append(event)

    async def run(self, paths: List[Path], until: asyncio.Event) -> Dict[str, int]:  # noqa: UP006
        await self.watcher.start_monitoring(paths, self.handle)
        try:
            await until.wait()
        finally:
            await self.watcher.stop_monitoring()
        return self.watcher.get_stats()


async def eventually(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_the_specified_watcher_feeds_an_extract_stage(tmp_path: Path) -> None:
    """Created, modified and deleted files arrive; noise does not. Files are saved whole, as the handler reads them meanwhile."""
    (tmp_path / "src" / "ast").mkdir(parents=True)
    stage = ExtractStage(WatcherConfig(debounce_period=0.05))
    done = asyncio.Event()
    running = asyncio.ensure_future(stage.run([tmp_path / "src", tmp_path / "missing"], done))
    await eventually(lambda: stage.watcher.running or running.done())
    main = tmp_path / "src" / "main.ast.json"
    save(main, '{"n": 1}')
    save(tmp_path / "src" / "ast" / "other.json")
    (tmp_path / "src" / "main.py").write_text("n = 1")
    (tmp_path / "src" / "main.ast.json.tmp").write_text("{")
    await eventually(lambda: len(stage.trees) == 2)
    for n in range(2, 20):
        save(main, json.dumps({"n": n}))
    (tmp_path / "src" / "ast" / "other.json").unlink()
    await eventually(lambda: stage.trees == {str(main): {"n": 19}})
    done.set()
    stats = await running
    assert stats["events_processed"] == len(stage.seen)
    assert stats["batches_processed"] > 0
    assert (stats["processing_errors"], stats["queue_size"]) == (0, 0)
    assert asdict(stage.watcher.stats)["events_processed"] == stats["events_processed"]


async def test_the_specified_processing_result(tmp_path: Path) -> None:
    """Events given by hand take the same way as those seen."""
    stage = ExtractStage()
    tree = tmp_path / "a.ast.json"
    tree.write_text("[]")
    await stage.watcher.start_monitoring([str(tmp_path)], event_handler=stage.handle)
    result: ProcessingResult = await stage.watcher.process_file_events(
        [
            FileEvent(path=tree, event_type="modified", timestamp=time.time()),
            FileEvent(path=tmp_path / "gone.ast.json", event_type="modified", timestamp=time.time()),
        ]
    )
    assert [event.path for event in result.queued] == [tree]
    assert result.errors == {tmp_path / "gone.ast.json": "vanished"}
    await eventually(lambda: stage.trees == {str(tree): []})
    await stage.watcher.stop_monitoring()


async def test_the_specified_processor() -> None:
    """A config by place, events by place, the default period."""
    config = WatcherConfig(["*.ast.json"], ["**/build/**"], True, 0.5, 100, 2.0, 10000)
    processor = FileEventProcessor(config)
    now = time.time()
    events = [
        FileEvent(Path("/src/a.ast.json"), "created", now, 10),
        FileEvent(Path("/src/a.ast.json"), "modified", now + 0.1, 20),
        FileEvent(Path("/src/build/b.ast.json"), "created", now, 10),
        FileEvent(Path("/src"), "modified", now, None, True),
    ]
    relevant = await processor.filter_relevant_events(events)
    assert relevant == events[:2]
    debounced = await processor.debounce_events(relevant)
    assert [(event.event_type, event.file_size) for event in debounced] == [("created", 20)]
    assert await processor.debounce_events(relevant, debounce_period=0.05) == relevant


async def test_the_specified_queue(tmp_path: Path) -> None:
    """A bool for an event, a list for a number; a path is an addition, since the queue is on disk."""
    queue = EventQueue(tmp_path / "events.db")
    event = FileEvent(Path("/src/a.ast.json"), "created", 1.0)
    assert await queue.enqueue_file_event(event) is True
    assert await queue.enqueue_file_event(event) is False
    assert await queue.dequeue_batch(batch_size=10) == [event]
    assert await queue.dequeue_batch() == []
    await queue.close()


@pytest.mark.parametrize("name", ["events_processed", "batches_processed", "processing_errors"])
def test_the_specified_stats(name: str) -> None:
    """Plain counters that may be set by keyword."""
    assert getattr(WatcherStats(**{name: 3}), name) == 3
