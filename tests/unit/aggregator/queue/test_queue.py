"""`EventQueue` in one process: order, deduplication, leases, bounds. Time is a variable of the test."""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch import EventQueue, FileEvent
from shardwatch.aggregator.queue import event_queue as queue_module
from shardwatch.aggregator.queue import store as store_module
from shardwatch.aggregator.queue.event_queue import DUPLICATE, FULL, QUEUED, boottime
from shardwatch.shard.contract.errors import ServiceError, ServiceTimeoutError, UsageError


class Clock:
    """A boot clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(tmp_path: Path, clock: Clock) -> AsyncIterator[EventQueue]:
    """An empty queue with room for ten events and a lease of 60 s."""
    async with EventQueue(tmp_path / "q.db", queue_size=10, clock=clock) as queue:
        yield queue


def at(path: str, kind: str = "modified", time: float = 1.0, size: int | None = None, **more: object) -> FileEvent:
    return FileEvent(Path(path), kind, time, size, **more)  # type: ignore[arg-type]


def names(events: list[FileEvent]) -> list[str]:
    return [str(event.path) for event in events]


# Order and deduplication ----------------------------------------------------------------------------------------------


async def test_what_goes_in_comes_out(queue: EventQueue) -> None:
    """All fields are kept, and a name's bytes whatever they are."""
    event = FileEvent(Path(os.fsdecode(b"/r/\xff\n'x.json")), "created", 12.5, 7, tick=3, priority=2, mtime_ns=99)
    assert await queue.enqueue_file_event(event) is True
    assert await queue.dequeue_batch() == [event]
    assert await queue.dequeue_batch() == []


async def test_first_in_first_out(queue: EventQueue) -> None:
    """Also across batches, and whatever the timestamps say."""
    for i, name in enumerate("cab"):
        assert await queue.enqueue_file_event(at(f"/{name}", time=10.0 - i))
    assert names(await queue.dequeue_batch(2)) == ["/c", "/a"]
    assert names(await queue.dequeue_batch(2)) == ["/b"]


async def test_priorities_come_first(tmp_path: Path) -> None:
    """By glob or by the event's own; first in first out within one."""
    async with EventQueue(tmp_path / "q.db", priorities={"*.ast.json": 2, "slow/": -1, "/r/**": 1}) as queue:
        for name in ("/x/a.json", "/slow/a.json", "/r/a.json", "/r/a.ast.json", "/x/b.ast.json", "/r/b.json"):
            await queue.enqueue_file_event(at(name))
        await queue.enqueue_file_event(at("/x/urgent", priority=9))
        events = await queue.dequeue_batch()
    assert [(str(e.path), e.priority) for e in events] == [
        ("/x/urgent", 9),
        ("/r/a.ast.json", 2),
        ("/x/b.ast.json", 2),
        ("/r/a.json", 1),
        ("/r/b.json", 1),
        ("/x/a.json", 0),
        ("/slow/a.json", 0),
    ]


async def test_the_same_event_again_is_a_duplicate(queue: EventQueue) -> None:
    """False, and nothing is written."""
    assert await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    assert not await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    assert len(queue) == 1


async def test_a_newer_state_takes_the_older_ones_place(queue: EventQueue) -> None:
    """In the line too: a path that changes all the time must not starve. What was created stays created."""
    await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    await queue.enqueue_file_event(at("/b"))
    assert await queue.enqueue_file_event(at("/a", "modified", 2.0, 6)) is True
    assert not await queue.enqueue_file_event(at("/a", "modified", 2.0, 6))
    assert await queue.dequeue_batch() == [at("/a", "created", 2.0, 6), at("/b")]


async def test_an_older_state_changes_nothing(queue: EventQueue) -> None:
    """False: the newer one is pending already."""
    await queue.enqueue_file_event(at("/a", "deleted", 2.0))
    assert not await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    assert await queue.dequeue_batch() == [at("/a", "deleted", 2.0)]


async def test_another_state_of_the_same_instant_counts_as_newer(queue: EventQueue) -> None:
    """A coarse clock must not hide a deletion."""
    await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    assert await queue.enqueue_file_event(at("/a", "deleted", 1.0))
    assert await queue.dequeue_batch() == [at("/a", "deleted", 1.0)]


async def test_a_file_and_a_directory_of_one_name_are_two_things(queue: EventQueue) -> None:
    """In the order in which they came."""
    events = [at("/a", "deleted", 1.0), at("/a", "created", 2.0, is_directory=True)]
    assert [await queue.enqueue_file_event(event) for event in events] == [True, True]
    assert await queue.dequeue_batch() == events


async def test_a_move_is_kept_as_a_deletion_and_a_creation(queue: EventQueue) -> None:
    """Each half finds its own path's history."""
    await queue.enqueue_file_event(at("/a", "modified", 1.0, 3))
    assert await queue.enqueue_file_event(at("/b", "moved", 2.0, 4, moved_from=Path("/a")))
    assert not await queue.enqueue_file_event(at("/b", "moved", 2.0, 4, moved_from=Path("/a")))
    assert await queue.dequeue_batch() == [at("/a", "deleted", 2.0), at("/b", "created", 2.0, 4)]


async def test_many_at_once_are_answered_one_by_one(queue: EventQueue) -> None:
    """One transaction; the reason is there for who asks."""
    events = [at("/a"), at("/a"), at("/m", "moved", moved_from=Path("/n")), *(at(f"/{i}") for i in range(8))]
    outcomes = await queue.put_all(events)
    assert outcomes == [QUEUED, DUPLICATE, QUEUED, *[QUEUED] * 7, FULL]
    assert await queue.enqueue_file_events([at("/a"), at("/a", time=2.0)]) == [False, True]
    assert await queue.enqueue_file_events([]) == []


async def test_half_a_move_is_none(tmp_path: Path) -> None:
    """The half that found room stays, and the answer says: again."""
    async with EventQueue(tmp_path / "q.db", queue_size=1) as queue:
        assert not await queue.enqueue_file_event(at("/m", "moved", moved_from=Path("/n")))
        assert await queue.dequeue_batch() == [at("/n", "deleted")]


# Bounds ---------------------------------------------------------------------------------------------------------------


async def test_a_full_queue_says_so(queue: EventQueue) -> None:
    """What is leased takes room too; a newer state of what is pending does not; an ack makes room."""
    assert all([await queue.enqueue_file_event(at(f"/{i}")) for i in range(10)])
    assert not await queue.enqueue_file_event(at("/more"))
    assert await queue.enqueue_file_event(at("/3", time=2.0))
    events = await queue.dequeue_batch(1)
    assert not await queue.enqueue_file_event(at("/more"))
    await queue.ack(events)
    assert await queue.enqueue_file_event(at("/more"))


async def test_stats_and_len(queue: EventQueue) -> None:
    """`len` counts what waits; an empty queue is true all the same."""
    assert queue
    assert len(queue) == 0
    await queue.enqueue_file_events([at("/a"), at("/b")])
    await queue.dequeue_batch(1)
    assert len(queue) == 1
    assert queue.stats() == {"pending": 1, "leased": 1, "queue_size": 10}


# Leases ---------------------------------------------------------------------------------------------------------------


async def test_acked_is_gone(queue: EventQueue, clock: Clock) -> None:
    """Also after the time at which the lease would have ended."""
    await queue.enqueue_file_event(at("/a"))
    assert await queue.ack(await queue.dequeue_batch()) == []
    clock.now += 61
    assert await queue.dequeue_batch() == []
    assert queue.stats()["leased"] == 0


async def test_unacked_comes_back_after_the_lease(queue: EventQueue, clock: Clock) -> None:
    """At its old place in the line, and it says how often it was tried."""
    await queue.enqueue_file_event(at("/a"))
    (first,) = await queue.dequeue_batch()
    await queue.enqueue_file_event(at("/b"))
    clock.now += 59
    assert names(await queue.dequeue_batch(1)) == ["/b"]
    clock.now += 1
    (again,) = await queue.dequeue_batch(1)
    assert (str(again.path), again.attempts, first.attempts) == ("/a", 1, 0)


async def test_a_late_ack_is_refused(queue: EventQueue, clock: Clock) -> None:
    """Another has the event by then; while nobody has, a late ack is as good as any."""
    await queue.enqueue_file_event(at("/a"))
    first = await queue.dequeue_batch()
    clock.now += 61
    second = await queue.dequeue_batch()
    assert await queue.ack(first) == first
    assert await queue.nack(first) == first
    clock.now += 61
    assert await queue.ack(second) == []
    assert await queue.ack(second) == second


async def test_an_ack_needs_only_the_specified_fields(queue: EventQueue) -> None:
    """Who keeps the fields and not the object may ack too, in the object that had leased it."""
    await queue.enqueue_file_event(at("/a"))
    (event,) = await queue.dequeue_batch()
    copy = FileEvent(event.path, event.event_type, event.timestamp)
    assert await queue.ack([copy]) == []
    assert await queue.ack([copy]) == [copy]
    assert await queue.ack([]) == []


async def test_nacked_returns_to_its_place(queue: EventQueue) -> None:
    """At once, before what came later."""
    await queue.enqueue_file_events([at("/a"), at("/b")])
    assert await queue.nack(await queue.dequeue_batch(1)) == []
    assert [(str(e.path), e.attempts) for e in await queue.dequeue_batch()] == [("/a", 1), ("/b", 0)]


async def test_nacked_with_a_pause_waits(queue: EventQueue, clock: Clock) -> None:
    """Nobody can ack it meanwhile."""
    await queue.enqueue_file_event(at("/a"))
    events = await queue.dequeue_batch()
    assert await queue.nack(events, retry_s=5) == []
    assert await queue.ack(events) == events
    assert await queue.ack([at("/a")]) == [at("/a")]
    assert await queue.dequeue_batch() == []
    clock.now += 5
    assert names(await queue.dequeue_batch()) == ["/a"]


async def test_a_leased_path_is_not_handed_out_twice(queue: EventQueue) -> None:
    """It becomes pending again, and comes once the lease has ended."""
    await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    first = await queue.dequeue_batch()
    assert await queue.enqueue_file_event(at("/a", "modified", 2.0, 6))
    assert await queue.enqueue_file_event(at("/a", "created", 3.0, is_directory=True))
    assert await queue.dequeue_batch() == []
    await queue.ack(first)
    assert await queue.dequeue_batch() == [
        at("/a", "modified", 2.0, 6),
        at("/a", "created", 3.0, is_directory=True),
    ]


async def test_a_failed_path_that_changed_again_comes_once(queue: EventQueue) -> None:
    """As one event, at the failed one's place, with the newer state."""
    await queue.enqueue_file_event(at("/a", "created", 1.0, 5))
    first = await queue.dequeue_batch()
    await queue.enqueue_file_events([at("/b"), at("/a", "modified", 2.0, 6)])
    await queue.nack(first)
    assert await queue.dequeue_batch() == [at("/a", "created", 2.0, 6), at("/b")]
    assert queue.stats() == {"pending": 0, "leased": 2, "queue_size": 10}


async def test_a_failed_newer_state_wins_over_an_older_one(queue: EventQueue) -> None:
    """Whichever came last, the later timestamp is the state."""
    await queue.enqueue_file_event(at("/a", "deleted", 5.0))
    first = await queue.dequeue_batch()
    await queue.enqueue_file_event(at("/a", "modified", 2.0, 6))
    await queue.nack(first)
    assert await queue.dequeue_batch() == [at("/a", "deleted", 5.0)]


async def test_closing_gives_back(tmp_path: Path, clock: Clock) -> None:
    """What was leased by the object, that is; another object's leases stay, and a pause stays a pause."""
    one, two = (EventQueue(tmp_path / "q.db", clock=clock) for _ in range(2))
    await one.enqueue_file_events([at("/a"), at("/b"), at("/c")])
    await one.nack(await one.dequeue_batch(1), retry_s=30)
    await one.dequeue_batch(1)
    kept = await two.dequeue_batch(1)
    await one.close()
    await one.close()
    assert names(await two.dequeue_batch()) == ["/b"]
    assert await two.ack(kept) == []
    clock.now += 30
    assert names(await two.dequeue_batch()) == ["/a"]
    await two.close()


async def test_a_pause_outlives_its_process(tmp_path: Path, clock: Clock) -> None:
    """Killed before it could close the queue: what it had on lease comes at once, and what was to wait waits."""
    one, two = (EventQueue(tmp_path / "q.db", clock=clock) for _ in range(2))
    await one.enqueue_file_events([at("/a"), at("/b")])
    await one.nack(await one.dequeue_batch(1), retry_s=30)
    await one.dequeue_batch(1)
    dead = store_module._identity().replace(f" {os.getpid()} ", " 4194305 ")
    with closing(sqlite3.connect(tmp_path / "q.db")) as db, db:
        db.execute("UPDATE owner SET identity = ? WHERE id = ?", (dead, one._store._owner))
    assert names(await two.dequeue_batch()) == ["/b"]
    clock.now += 30
    assert names(await two.dequeue_batch()) == ["/a"]
    await two.close()
    await one.close()


@pytest.mark.parametrize("closed", [True, False])
async def test_a_pause_ends_with_its_boot(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    """The clock begins again with each boot: what was to wait until a time of the last one would wait for days."""
    one = EventQueue(tmp_path / "q.db", clock=clock)
    await one.enqueue_file_event(at("/a"))
    await one.nack(await one.dequeue_batch(), retry_s=30)
    if closed:
        await one.close()
    clock.now = 1.0
    monkeypatch.setattr(store_module, "_boot", lambda: "the next one")
    async with EventQueue(tmp_path / "q.db", clock=clock) as two:
        assert names(await two.dequeue_batch()) == ["/a"]
    await one.close()


# Waiting --------------------------------------------------------------------------------------------------------------


async def test_waiting_ends_when_something_comes(queue: EventQueue) -> None:
    """Long before the time is over."""
    waiting = asyncio.ensure_future(queue.dequeue_batch(wait_s=30))
    while not queue._waiting:
        await asyncio.sleep(0)
    await queue.enqueue_file_event(at("/a"))
    assert names(await waiting) == ["/a"]


async def test_waiting_ends_when_a_lease_ends(queue: EventQueue) -> None:
    """A nack, or the ack of a path that is pending again, makes something available too."""
    await queue.enqueue_file_event(at("/a"))
    first = await queue.dequeue_batch()
    waiting = asyncio.ensure_future(queue.dequeue_batch(wait_s=30))
    while not queue._waiting:
        await asyncio.sleep(0)
    await queue.nack(first)
    assert names(await waiting) == ["/a"]


async def test_waiting_sees_what_another_object_enqueued(tmp_path: Path) -> None:
    """As another process would."""
    async with EventQueue(tmp_path / "q.db") as one, EventQueue(tmp_path / "q.db") as two:
        waiting = asyncio.ensure_future(one.dequeue_batch(wait_s=30))
        while not one._waiting:
            await asyncio.sleep(0)
        await two.enqueue_file_event(at("/a"))
        assert names(await waiting) == ["/a"]


async def test_waiting_for_nothing_ends(queue: EventQueue) -> None:
    """With an empty list."""
    assert await queue.dequeue_batch(wait_s=0.01) == []
    assert not queue._waiting


async def test_waiting_is_woken_from_another_thread(queue: EventQueue) -> None:
    """The object is shared by threads, each with a loop of its own."""
    waiting = asyncio.ensure_future(queue.dequeue_batch(wait_s=30))
    while not queue._waiting:
        await asyncio.sleep(0)
    other = threading.Thread(target=lambda: asyncio.run(queue.enqueue_file_event(at("/a"))))
    other.start()
    assert names(await waiting) == ["/a"]
    other.join()


# Threads and durability -----------------------------------------------------------------------------------------------


async def test_threads_share_one_object(tmp_path: Path) -> None:
    """Four put, four take: every event is handed out exactly once."""
    total = 400
    queue = EventQueue(tmp_path / "q.db")
    taken: list[str] = []

    async def put(first: int) -> None:
        for i in range(first, total, 4):
            assert await queue.enqueue_file_event(at(f"/{i}"))

    async def take() -> None:
        while len(taken) < total:
            events = await queue.dequeue_batch(7)
            assert await queue.ack(events) == []
            taken.extend(names(events))
            await asyncio.sleep(0)

    def run(work: object) -> None:
        asyncio.run(work)  # type: ignore[arg-type]

    threads = [threading.Thread(target=run, args=(put(i),)) for i in range(4)]
    threads += [threading.Thread(target=run, args=(take(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sorted(taken) == sorted(f"/{i}" for i in range(total))
    assert queue.stats()["pending"] == queue.stats()["leased"] == 0
    await queue.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
async def test_durability_is_sqlites(tmp_path: Path, durability: str, synchronous: int) -> None:
    """NORMAL survives every crash of a process, FULL a loss of power; both in WAL mode, mode 0600."""
    path = tmp_path / "q.db"
    async with EventQueue(path, durability=durability) as queue:
        assert await queue.enqueue_file_event(at("/a"))
        with queue._store._using() as db:
            assert db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert names(await queue.dequeue_batch()) == ["/a"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_cancelled_take_gives_back(tmp_path: Path) -> None:
    """The thread had leased the events, and nobody would ever see them."""
    async with EventQueue(tmp_path / "q.db", durability="power") as queue:
        await queue.enqueue_file_event(at("/a"))
        taking = asyncio.ensure_future(queue.dequeue_batch())
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert names(await queue.dequeue_batch(wait_s=30)) == ["/a"]


async def test_a_cancelled_take_waits_for_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for that, as everybody does: else the events would wait for the end of a lease that nobody has."""
    async with EventQueue(tmp_path / "q.db", durability="power") as queue:
        await queue.enqueue_file_event(at("/a"))
        other = sqlite3.connect(tmp_path / "q.db", isolation_level=None, check_same_thread=False)
        begun, cancelled, tried = threading.Event(), threading.Event(), threading.Event()
        take, nack = queue._store.take, queue._store.nack

        def locking(limit: int, lease_s: float) -> object:
            begun.set()
            assert cancelled.wait(30)
            found = take(limit, lease_s)
            other.execute("BEGIN IMMEDIATE")
            return found

        def trying(keys: list[tuple[bytes, bool, int | None]], retry_s: float) -> list[bool]:
            try:
                return nack(keys, retry_s)
            finally:
                tried.set()

        with monkeypatch.context() as patch:
            patch.setattr(queue._store, "take", locking)
            patch.setattr(queue._store, "nack", trying)
            taking = asyncio.ensure_future(queue.dequeue_batch())
            while not begun.is_set():
                await asyncio.sleep(0)
            taking.cancel()
            cancelled.set()
            with pytest.raises(asyncio.CancelledError):
                await taking
            assert tried.wait(30)
        other.execute("ROLLBACK")
        other.close()
        assert names(await queue.dequeue_batch(wait_s=30)) == ["/a"]


async def test_a_pickled_queue_is_the_same_file(tmp_path: Path) -> None:
    """What multiprocessing's spawn needs."""
    async with EventQueue(tmp_path / "q.db", queue_size=3, lease_s=7, priorities={"*.x": 1}) as queue:
        await queue.enqueue_file_event(at("/a"))
        async with pickle.loads(pickle.dumps(queue)) as copy:
            assert (copy.queue_size, copy.lease_s, copy.priorities) == (3, 7.0, {"*.x": 1})
            assert names(await copy.dequeue_batch()) == ["/a"]


def test_the_boot_clock_goes_forward() -> None:
    """It is what leases are measured by."""
    assert 0 < boottime() <= boottime()


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"queue_size": 0}, {"queue_size": True}, {"lease_s": 0}, {"lease_s": float("inf")}, {"durability": "none"}],
    ids=str,
)
def test_wrong_arguments_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    """Nothing is made then."""
    with pytest.raises(UsageError):
        EventQueue(tmp_path / "q.db", **wrong)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


async def test_wrong_calls_are_refused(queue: EventQueue) -> None:
    """With what they should have been."""
    with pytest.raises(UsageError, match="event_type"):
        await queue.enqueue_file_event(at("/a", "opened"))
    with pytest.raises(UsageError, match="batch_size"):
        await queue.dequeue_batch(0)
    with pytest.raises(UsageError, match="retry_s"):
        await queue.nack([], retry_s=-1)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """It is not made in silence: a mistyped path would lose events."""
    with pytest.raises(UsageError, match="no-such"):
        EventQueue(tmp_path / "no-such" / "q.db")


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    """Neither text, nor another program's database, nor a queue of another version is touched."""
    text = tmp_path / "text"
    text.write_text("hello" * 1000)
    with pytest.raises(UsageError, match="can't be used as a queue"):
        EventQueue(text)
    assert text.read_text() == "hello" * 1000
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    content = other.read_bytes()
    with pytest.raises(UsageError, match="another program"):
        EventQueue(other)
    assert other.read_bytes() == content
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA application_id = {0x73687771}")
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(UsageError, match="format 2"):
        EventQueue(newer)


@pytest.mark.parametrize("durability", ["process", "power"])
async def test_a_closed_queue_says_so(tmp_path: Path, durability: str) -> None:
    """With the remedy; also one whose thread has ended with it."""
    queue = EventQueue(tmp_path / "q.db", durability=durability)
    assert len(await queue.dequeue_batch()) == 0
    await queue.close()
    with pytest.raises(UsageError, match="closed"):
        await queue.enqueue_file_event(at("/a"))
    with pytest.raises(UsageError, match="closed"):
        len(queue)


async def test_a_failing_disk_is_told(queue: EventQueue) -> None:
    """As an error that may be tried again, and the event is not in the queue."""
    with queue._store._using() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ServiceError, match="full") as caught:
        await queue.enqueue_file_event(at("/" + "x" * 100_000))
    assert caught.value.retryable
    assert len(queue) == 0
    assert await queue.enqueue_file_event(at("/a"))


async def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on meanwhile; in the end it is an error that may be tried again."""
    path = tmp_path / "q.db"
    async with EventQueue(path) as queue:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(queue.enqueue_file_event(at("/a")))
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert await waiting
        monkeypatch.setattr(queue_module, "BUSY_S_MAX", 0.0)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceTimeoutError) as caught:
            await queue.enqueue_file_event(at("/b"))
        assert caught.value.retryable
        other.execute("ROLLBACK")
        other.close()


# Any sequence ---------------------------------------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "take", "ack", "nack", "late"]),
        st.sampled_from(["/a", "/b", "/c"]),
        st.sampled_from(["created", "modified", "deleted"]),
    ),
    max_size=40,
)


@given(steps=_STEPS)
async def test_whoever_applies_all_ends_with_the_last_state(
    steps: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is acked, nacked or forgotten in between: of each path the last state put is the last one acked."""
    clock = Clock()
    last: dict[str, FileEvent] = {}
    applied: dict[str, FileEvent] = {}
    leased: list[FileEvent] = []
    async with EventQueue(tmp_path_factory.mktemp("q") / "q.db", clock=clock) as queue:

        async def ack() -> None:
            refused = await queue.ack(leased)
            applied.update((str(event.path), event) for event in leased if event not in refused)
            leased.clear()

        for time, (step, path, kind) in enumerate(steps):
            if step == "put":
                last[path] = at(path, kind, time)
                assert await queue.enqueue_file_event(last[path])
            elif step == "take":
                taken = await queue.dequeue_batch(2)
                assert not {event.path for event in taken} & {event.path for event in leased}
                leased.extend(taken)
            elif step == "ack":
                await ack()
            elif step == "nack":
                await queue.nack(leased)
                leased.clear()
            else:
                clock.now += 61
                leased.clear()
        await ack()
        clock.now += 61
        while events := await queue.dequeue_batch():
            leased.extend(events)
            await ack()
        assert queue.stats()["pending"] == queue.stats()["leased"] == 0
    assert {p: e.timestamp for p, e in applied.items()} == {p: e.timestamp for p, e in last.items()}
    for path, event in last.items():
        assert (applied[path].event_type == "deleted") == (event.event_type == "deleted")
