"""`EventQueue` shared by processes, and what is left of it when one of them is killed with -9. No test waits for a time."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

from shardwatch import EventQueue, FileEvent
from shardwatch.aggregator.queue import store as queue_store

_PUT = """
import asyncio, sys
from pathlib import Path
from shardwatch import EventQueue, FileEvent
async def main():
    queue = EventQueue(sys.argv[1], durability=sys.argv[2])
    i = 0
    while True:
        assert await queue.enqueue_file_event(FileEvent(Path(f"/{i}"), "created", float(i)))
        print(i, flush=True)
        i += 1
asyncio.run(main())
"""

_PUT_MANY = """
import asyncio, sys
from pathlib import Path
from shardwatch import EventQueue, FileEvent
async def main():
    queue = EventQueue(sys.argv[1])
    i = 0
    while True:
        events = [FileEvent(Path(f"/{i}/{n}"), "created", 1.0) for n in range(100)]
        assert all(await queue.enqueue_file_events(events))
        print(i, flush=True)
        i += 1
asyncio.run(main())
"""

_TAKE = """
import asyncio, sys
from shardwatch import EventQueue
async def main():
    queue = EventQueue(sys.argv[1], lease_s=3600)
    done = await queue.dequeue_batch(2)
    assert await queue.ack(done) == []
    held = await queue.dequeue_batch(3)
    print("held", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""

_SHARE = """
import asyncio, sys
from pathlib import Path
from shardwatch import EventQueue, FileEvent
async def main():
    number, count = int(sys.argv[2]), int(sys.argv[3])
    async with EventQueue(sys.argv[1]) as queue:
        for i in range(count):
            assert await queue.enqueue_file_event(FileEvent(Path(f"/{number}/{i}"), "created", 1.0))
            for event in await queue.dequeue_batch(3):
                print(event.path)
                assert await queue.ack([event]) == []
asyncio.run(main())
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> str:
    """Kills with -9; returns what it had printed and nobody had read."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    # Not communicate(): it would pass over what readline() had read ahead.
    rest = process.stdout.read()
    process.communicate()
    return rest


def read_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


async def take_all(queue: EventQueue) -> list[FileEvent]:
    taken: list[FileEvent] = []
    while events := await queue.dequeue_batch(1000):
        assert await queue.ack(events) == []
        taken += events
    return taken


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_what_was_accepted_survives_kill_9(tmp_path: Path, durability: str) -> None:
    """Everything that the writer was told is in, in order, without a gap; at most the one it was not told of is more."""
    path = tmp_path / "q.db"
    writer = child(_PUT, path, durability)
    told = [*read_lines(writer, 500), *kill(writer).split()]
    async with EventQueue(path) as queue:
        found = [event.path.name for event in await take_all(queue)]
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1


async def test_a_list_is_in_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whatever the moment at which the writer is killed."""
    path = tmp_path / "q.db"
    for _ in range(3):
        writer = child(_PUT_MANY, path)
        told = [*read_lines(writer, 5), *kill(writer).split()]
        async with EventQueue(path) as queue:
            found = [str(event.path.parent) for event in await take_all(queue)]
        assert {d: found.count(d) for d in found} == dict.fromkeys(found, 100)
        assert found[: 100 * len(told) : 100] == [f"/{i}" for i in told]


async def test_a_killed_workers_events_are_free_at_once(tmp_path: Path) -> None:
    """The lease was for an hour; what it had acked is gone; a worker that lives keeps its lease."""
    path = tmp_path / "q.db"
    async with EventQueue(path) as queue:
        await queue.enqueue_file_events([FileEvent(Path(f"/{i}"), "created", float(i)) for i in range(10)])
        killed = child(_TAKE, path)
        assert read_lines(killed, 1) == ["held"]
        alive = child(_TAKE, path)
        assert read_lines(alive, 1) == ["held"]
        assert await queue.dequeue_batch() == []
        kill(killed)
        back = await queue.dequeue_batch()
        assert [(event.path.name, event.attempts) for event in back] == [("2", 1), ("3", 1), ("4", 1)]
        kill(alive)
        assert [event.path.name for event in await queue.dequeue_batch()] == ["7", "8", "9"]


async def test_reopening_after_a_crash_frees_the_leases(tmp_path: Path) -> None:
    """Where the only user of the file was killed."""
    path = tmp_path / "q.db"
    async with EventQueue(path) as queue:
        await queue.enqueue_file_events([FileEvent(Path(f"/{i}"), "created", float(i)) for i in range(5)])
    worker = child(_TAKE, path)
    assert read_lines(worker, 1) == ["held"]
    kill(worker)
    async with EventQueue(path) as queue:
        assert [event.path.name for event in await queue.dequeue_batch()] == ["2", "3", "4"]


async def test_processes_share_one_file(tmp_path: Path) -> None:
    """Four put and take at the same time, having made the file together: every event comes out once."""
    path, count = tmp_path / "q.db", 100
    processes = [child(_SHARE, path, number, count) for number in range(4)]
    taken = [line for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    async with EventQueue(path) as queue:
        taken += [str(event.path) for event in await take_all(queue)]
    assert sorted(taken) == sorted(f"/{number}/{i}" for number in range(4) for i in range(count))


def _in_fork(queue: EventQueue, name: str) -> None:
    async def main() -> None:
        assert await queue.enqueue_file_event(FileEvent(Path(name), "created", 2.0))
        assert len(await queue.dequeue_batch(1)) == 1
        os._exit(7)  # without a close: its lease dies with it

    asyncio.run(main())


async def test_a_fork_may_use_its_parents_queue(tmp_path: Path) -> None:
    """No connection passes a fork: parent and child each open the file anew, and the child's leases are its own."""
    async with EventQueue(tmp_path / "q.db") as queue:
        await queue.enqueue_file_event(FileEvent(Path("/parent"), "created", 1.0))
        mine = await queue.dequeue_batch()
        forked = multiprocessing.get_context("fork").Process(target=_in_fork, args=(queue, "/child"))
        forked.start()
        await asyncio.to_thread(forked.join)
        assert forked.exitcode == 7
        forked.close()
        assert await queue.ack(mine) == []
        (theirs,) = await queue.dequeue_batch()
        assert (theirs.path, theirs.attempts) == (Path("/child"), 1)
    async with EventQueue(tmp_path / "q.db") as queue:
        with queue._store._using() as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_who_lives_and_who_does_not() -> None:
    """A pid that was given to another process, a zombie, another boot: all dead. Another pid name space: unknown."""
    me = queue_store._identity()
    assert queue_store._alive(me)
    boot, space, pid, started = me.split(" ")
    assert not queue_store._alive(f"{boot} {space} {pid} {int(started) - 1}")
    assert not queue_store._alive(f"other-boot {space} {pid} {started}")
    assert queue_store._alive(f"{boot} pid:[1] 99999999 {started}")
    zombie = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = queue_store._identity(zombie.pid)
    assert queue_store._alive(identity)
    zombie.kill()
    eventually(lambda: not queue_store._alive(identity), what="the zombie counts as dead")
    zombie.communicate()
    assert not queue_store._alive(identity)
    # Where there is no /proc, the pid alone decides.
    assert not queue_store._alive(f"{boot} {space} {zombie.pid} -")
    assert queue_store._alive(f"{boot} {space} {pid} -")


async def test_nothing_is_left_open(tmp_path: Path, no_leaks: None) -> None:
    """Neither thread nor descriptor, in either durability."""
    for durability in ("process", "power"):
        async with EventQueue(tmp_path / f"{durability}.db", durability=durability) as queue:
            await queue.enqueue_file_events([FileEvent(Path(f"/{i}"), "created", 1.0) for i in range(100)])
            await queue.dequeue_batch(50)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["power.db", "process.db"]
