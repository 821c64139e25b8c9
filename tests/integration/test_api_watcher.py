"""`RealtimeFileWatcher` on the real service: a mirror that stays equal to the tree, crashes, restarts, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from saving import save
from waiting import eventually

from shardwatch import FileEvent, RealtimeFileWatcher, WatcherConfig
from shardwatch.shard.contract.errors import InUseError


def quick(**options: object) -> WatcherConfig:
    """Values that make a test short: a quiet period of 20 ms, one shard."""
    values: dict[str, object] = {"debounce_period": 0.02, "shards": 1}
    return WatcherConfig(**(values | options))  # type: ignore[arg-type]


class Mirror:
    """Holds what the events say is there."""

    def __init__(self) -> None:
        self.files: dict[str, int | None] = {}
        self.events: list[FileEvent] = []

    def take(self, events: list[FileEvent]) -> None:
        for event in events:
            if event.event_type == "deleted":
                self.files.pop(os.fspath(event.path), None)
            else:
                self.files[os.fspath(event.path)] = event.file_size
            self.events.append(event)


def walk(root: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for directory, _, names in os.walk(root):
        for name in names:
            if name.endswith(".json"):
                path = os.path.join(directory, name)
                found[path] = os.lstat(path).st_size
    return found


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Lets the loop run until the condition holds; 60 s are a guard against hangs."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)


async def test_the_mirror_equals_the_tree_and_nothing_is_left(
    tmp_path: Path, no_leaks: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Through writes, renames, deletions and new directories; after stop neither process, thread, descriptor nor file."""
    root = tmp_path / "root"
    root.mkdir()
    mirror = Mirror()
    watcher = RealtimeFileWatcher(quick(batch_size=7))
    await watcher.start_monitoring([root], mirror.take)
    state_dir = watcher.state_dir
    assert state_dir is not None
    assert state_dir.exists()
    deep = root.joinpath(*(f"d{i}" for i in range(21)))
    deep.mkdir(parents=True)
    (deep / "deep.json").write_text("[1]")
    for i in range(50):
        (root / f"{i}.json").write_text("x" * i)
    (root / os.fsdecode(b"\xff\n'%s.json")).write_text("bytes")
    (root / "0.json").unlink()
    (root / "1.json").rename(root / "renamed.json")
    (root / "d0").rename(root / "e0")
    await until(lambda: mirror.files == walk(root))
    (root / "2.json").write_text("last words")
    await watcher.stop_monitoring()
    # A stop has five seconds. A machine that stands still may take them all, and then the log says that something is left.
    assert mirror.files == walk(root) or re.search("could be waited for|did not end in time", caplog.text)
    assert {event.event_type for event in mirror.events} <= {"created", "modified", "deleted"}
    assert watcher.get_stats()["processing_errors"] == 0
    assert not state_dir.exists()


async def test_a_kept_directory_resumes(tmp_path: Path, state_dir: Path) -> None:
    """What changed between two lives arrives after the second start, and nothing else does."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "old.json").write_text("old")
    first, second = Mirror(), Mirror()
    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([root], first.take)
        save(root / "a.json", "1")
        save(root / "b.json", "1")
        await until(lambda: len(first.events) == 2)
    assert sorted(e.path.name for e in first.events) == ["a.json", "b.json"]
    save(root / "a.json", "22")
    (root / "b.json").unlink()
    save(root / "c.json", "1")
    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([root], second.take)
        await until(lambda: len(second.events) == 3)
    assert {(e.path.name, e.event_type) for e in second.events} == {
        ("a.json", "modified"),
        ("b.json", "deleted"),
        ("c.json", "created"),
    }


async def test_what_a_failing_handler_did_not_take_stays(tmp_path: Path, state_dir: Path) -> None:
    """Through stop and start, from the tree and from process_file_events."""
    root = tmp_path / "root"
    root.mkdir()
    mirror = Mirror()

    def fail(events: list[FileEvent]) -> None:
        raise ValueError("no")

    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([root], fail)
        (root / "a.json").write_text("1")
        await watcher.process_file_events([FileEvent(tmp_path / "elsewhere.json", "deleted", time.time())])
        await until(lambda: watcher.get_stats()["processing_errors"] >= 3)
    assert watcher.get_stats()["events_processed"] == 0
    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([root], mirror.take)
        await until(lambda: {e.path.name for e in mirror.events} == {"a.json", "elsewhere.json"})


async def test_a_handler_that_recovers_gets_the_batch_again(tmp_path: Path) -> None:
    """In the same life, after a back-off."""
    mirror = Mirror()
    failures = iter(range(2))

    async def recovers(events: list[FileEvent]) -> None:
        if next(failures, None) is not None:
            raise ValueError("not yet")
        mirror.take(events)

    async with RealtimeFileWatcher(quick()) as watcher:
        await watcher.start_monitoring([tmp_path], recovers)
        save(tmp_path / "a.json", "1")
        await until(lambda: [e.path.name for e in mirror.events] == ["a.json"])
        assert watcher.get_stats()["processing_errors"] == 2


def _service(state_dir: Path) -> psutil.Process:
    return psutil.Process(int((state_dir / "locks" / "service.lock").read_bytes().split()[0]))


def _has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_killed_programs_cost_nothing(tmp_path: Path, no_leaks: None) -> None:
    """Every program of the service, and then supervisord itself, with -9: what changes meanwhile arrives all the same."""
    root = tmp_path / "root"
    root.mkdir()
    mirror = Mirror()
    async with RealtimeFileWatcher(quick()) as watcher:
        await watcher.start_monitoring([root], mirror.take)
        assert watcher.state_dir is not None
        for child in _service(watcher.state_dir).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        (root / "a.json").write_text("1")
        await until(lambda: mirror.files == walk(root), "after the programs were killed")
        _service(watcher.state_dir).kill()
        (root / "b.json").write_text("1")
        await until(lambda: mirror.files == walk(root), "after supervisord was killed")


_KILLED = """
import asyncio, sys
from shardwatch import RealtimeFileWatcher, WatcherConfig
async def main():
    async def hold(events):
        print("held", flush=True)
        await asyncio.Event().wait()
    watcher = RealtimeFileWatcher(WatcherConfig(debounce_period=0.02, shards=1, state_dir=sys.argv[2] or None))
    await watcher.start_monitoring([sys.argv[1]], hold)
    print(watcher.state_dir, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("kept", [True, False])
async def test_a_killed_watcher_loses_nothing_and_leaves_nothing(
    tmp_path: Path, state_dir: Path, kept: bool, no_leaks: None
) -> None:
    """Its service ends with it; a temporary directory goes; with a kept one the next watcher is handed what it held."""
    root = tmp_path / "root"
    root.mkdir()
    where = str(state_dir) if kept else ""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _KILLED, root, where], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    used = Path((await asyncio.to_thread(process.stdout.readline)).strip())
    save(root / "a.json", "1")
    assert (await asyncio.to_thread(process.stdout.readline)).strip() == "held"
    service = _service(used)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    await until(lambda: _has_ended(service))
    if not kept:
        eventually(lambda: not used.exists(), what="the temporary directory is gone")
        return
    mirror = Mirror()
    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([root], mirror.take)
        await until(lambda: [e.path.name for e in mirror.events] == ["a.json"])


async def test_a_lost_state_directory_is_told(tmp_path: Path, state_dir: Path) -> None:
    """Removed under the watcher: it is made anew, the handler is told to forget, and has every file again."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a.json", "b.json"):
        (root / name).write_text("1")
    told: list[str] = []
    mirror = Mirror()

    class Handler:
        def on_events(self, events: list[FileEvent]) -> None:
            told.extend(f"{event.event_type} {event.path.name}" for event in events)
            mirror.take(events)

        def on_fresh(self) -> None:
            told.append("forget")
            mirror.files.clear()
            if told.count("forget") == 1:
                raise ValueError("not yet")

    async with RealtimeFileWatcher(quick(state_dir=state_dir / "kept")) as watcher:
        await watcher.start_monitoring([root], Handler())
        (state_dir / "kept").rename(state_dir / "gone")  # in one step: a program may make a file there at this moment
        shutil.rmtree(state_dir / "gone", ignore_errors=True)
        (root / "b.json").unlink()
        await until(lambda: "created a.json" in told)
        save(root / "c.json", "1")
        await until(lambda: mirror.files == walk(root))
    # Before it is told to forget, the service may tell of the deletion on its way out.
    after = told[told.index("forget") :]
    assert after[:3] == ["forget", "forget", "created a.json"] and after[-1] == "created c.json"


def test_a_loop_that_ends_takes_the_service_with_it(tmp_path: Path, no_leaks: None) -> None:
    """A program that forgot to stop its watcher: nothing of the service is left once asyncio.run has returned."""

    async def program() -> None:
        watcher = RealtimeFileWatcher(quick())
        await watcher.start_monitoring([tmp_path], Mirror().take)

    asyncio.run(program())


async def test_moves_arrive_whole_where_asked_for(tmp_path: Path) -> None:
    """If the service is certain of them: else as a deletion and a creation, never as something else."""
    (tmp_path / "a.json").write_text("1")
    mirror = Mirror()
    async with RealtimeFileWatcher(quick(report_moves=True)) as watcher:
        await watcher.start_monitoring([tmp_path], mirror.take)
        (tmp_path / "a.json").rename(tmp_path / "b.json")
        await until(lambda: any(event.path.name == "b.json" for event in mirror.events))
    told = [(e.event_type, e.path.name, e.moved_from and e.moved_from.name) for e in mirror.events]
    assert told in (
        [("moved", "b.json", "a.json")],
        [("deleted", "a.json", None), ("created", "b.json", None)],
    )


async def test_only_the_top_is_watched_where_asked_for(tmp_path: Path) -> None:
    """recursive_monitoring=False."""
    (tmp_path / "sub").mkdir()
    mirror = Mirror()
    async with RealtimeFileWatcher(quick(recursive_monitoring=False)) as watcher:
        await watcher.start_monitoring([tmp_path], mirror.take)
        (tmp_path / "sub" / "a.json").write_text("1")
        save(tmp_path / "b.json", "1")
        await until(lambda: mirror.events)
    assert [event.path.name for event in mirror.events] == ["b.json"]


async def test_a_state_directory_serves_one_watcher(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """The second hears who has it, and the first is not disturbed."""
    mirror = Mirror()
    async with (
        RealtimeFileWatcher(quick(state_dir=state_dir)) as first,
        RealtimeFileWatcher(quick(state_dir=state_dir)) as second,
    ):
        await first.start_monitoring([tmp_path], mirror.take)
        with pytest.raises(InUseError):
            await second.start_monitoring([tmp_path], mirror.take)
        await second.stop_monitoring()
        (tmp_path / "a.json").write_text("1")
        await until(lambda: mirror.files == walk(tmp_path))


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path, no_leaks: None) -> None:
    """At whatever point of the start: a process that was just begun is ended too."""
    for steps in (1, 3, 30):
        watcher = RealtimeFileWatcher(quick())
        starting = asyncio.ensure_future(watcher.start_monitoring([tmp_path], Mirror().take))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
        else:  # this process stood still, and the service went on: it was ready first
            await watcher.stop_monitoring()
        assert not watcher.running


async def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path, no_leaks: None) -> None:
    """With the name of the option."""
    from shardwatch.shard.contract.errors import ServiceTimeoutError

    watcher = RealtimeFileWatcher(quick(ready_timeout_s=0.001))
    with pytest.raises(ServiceTimeoutError, match="ready_timeout_s"):
        await watcher.start_monitoring([tmp_path], Mirror().take)


async def test_changed_filters_are_told(tmp_path: Path, state_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What came in is scanned, what went out is told as deleted."""
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "b.yaml").write_text("1")
    async with RealtimeFileWatcher(quick(state_dir=state_dir)) as watcher:
        await watcher.start_monitoring([tmp_path], Mirror().take)
    mirror = Mirror()
    with caplog.at_level(logging.WARNING):
        async with RealtimeFileWatcher(quick(state_dir=state_dir, ast_file_patterns=["*.yaml"])) as watcher:
            await watcher.start_monitoring([tmp_path], mirror.take)
            await until(lambda: any(event.path.name == "a.json" for event in mirror.events))
    assert any("filters changed" in record.getMessage() for record in caplog.records)
    assert [event.event_type for event in mirror.events if event.path.name == "a.json"] == ["deleted"]


async def test_the_examples_of_the_manual_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/api.md, as it is printed there; the tree is changed by the test."""
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    examples = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    watch, queue = (example for example in examples if "state_dir" not in example)  # the others need a service
    names: dict[str, Any] = {}
    exec(watch, names)
    printed = ""

    def is_told() -> bool:
        nonlocal printed
        printed += capsys.readouterr().out
        return f"created {tmp_path}/a.json" in printed

    async def work(tree: Path) -> None:
        save(tree / "a.json", "1")
        await until(is_told)

    names["work"] = work
    await names["main"](tmp_path)
    exec(queue, names)
    assert await names["work"](tmp_path) == (True, 1)
