"""`RealtimeFileWatcher` without a service: a source of the test's own takes its place. The real one: test_api_watcher."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from api_bench import Bench, FakeDelivery, at, until

from shardwatch import FileEvent, RealtimeFileWatcher, WatcherConfig
from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError, UsageError
from shardwatch.supervisor.api import watcher as api

pytestmark = pytest.mark.usefixtures("quick")

# Starting -------------------------------------------------------------------------------------------------------------


async def test_start_gives_the_engine_the_settings(bench: Bench, root: Path) -> None:
    """Roots are absolute and each is there once; str and Path are both taken, in a list or alone."""
    await bench.watcher.start_monitoring([root, str(root), root / ".." / "root"], bench.take)
    assert bench.watcher.running
    assert bench.source.settings.roots == (os.fsencode(root),)
    assert bench.watcher.state_dir == bench.source.state_dir
    await bench.watcher.stop_monitoring()
    assert not bench.watcher.running
    await bench.watcher.start_monitoring(str(root), bench.take)
    assert bench.source.settings.roots == (os.fsencode(root),)


async def test_a_missing_path_is_left_out_with_a_warning(bench: Bench, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As the specification says; a file is no directory either."""
    (root / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        await bench.watcher.start_monitoring([root / "none", root / "file", root], bench.take)
    assert bench.source.settings.roots == (os.fsencode(root),)
    assert [record.getMessage() for record in caplog.records] == [
        f"Watch path does not exist or is not a directory: {root / name}" for name in ("none", "file")
    ]


@pytest.mark.parametrize("paths", [["none"], []])
async def test_no_path_at_all_is_an_error(bench: Bench, paths: list[str], tmp_path: Path) -> None:
    """And leaves nothing behind."""
    with pytest.raises(UsageError, match="none of the watch paths"):
        await bench.watcher.start_monitoring([tmp_path / path for path in paths], bench.take)
    assert not bench.watcher.running
    assert list(tmp_path.iterdir()) == []


async def test_a_handler_must_be_callable(bench: Bench, root: Path) -> None:
    """Said before anything starts."""
    for wrong in (None, 3, "print"):
        with pytest.raises(UsageError, match="handler"):
            await bench.watcher.start_monitoring([root], wrong)  # type: ignore[arg-type]


async def test_starting_twice_is_an_error(bench: Bench, root: Path) -> None:
    """Also while the first start goes on; the running one is not disturbed."""
    gate = asyncio.Event()
    bench.prepare = lambda source: setattr(source, "starts_when", gate)
    first = asyncio.ensure_future(bench.watcher.start_monitoring([root], bench.take))
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="monitors already"):
        await bench.watcher.start_monitoring([root], bench.take)
    gate.set()
    await first
    with pytest.raises(UsageError, match="monitors already"):
        await bench.watcher.start_monitoring([root], bench.take)
    assert bench.watcher.running


async def test_a_failed_start_leaves_nothing(root: Path) -> None:
    """The source is stopped, the temporary directory removed; the watcher can be started again."""
    bench = Bench()
    bench.prepare = lambda source: setattr(source, "start_error", ServiceError("no"))
    with pytest.raises(ServiceError):
        await bench.watcher.start_monitoring([root], bench.take)
    assert bench.source.log == ["start", "stop"]
    assert not bench.source.state_dir.exists()
    bench.prepare = lambda source: None
    async with bench.watcher:
        await bench.watcher.start_monitoring([root], bench.take)
        state_dir = bench.source.state_dir
        assert state_dir.exists()
    assert not state_dir.exists()


async def test_stop_ends_a_start(bench: Bench, root: Path) -> None:
    """The starter hears of it, and the source is stopped."""
    bench.prepare = lambda source: setattr(source, "starts_when", asyncio.Event())
    starting = asyncio.ensure_future(bench.watcher.start_monitoring([root], bench.take))
    await asyncio.sleep(0.001)
    await bench.watcher.stop_monitoring()
    with pytest.raises(UsageError, match="stopped before"):
        await starting
    assert bench.source.log == ["start", "stop"]


async def test_a_cancelled_start_leaves_nothing(bench: Bench, root: Path) -> None:
    """As under a timeout."""
    bench.prepare = lambda source: setattr(source, "starts_when", asyncio.Event())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.watcher.start_monitoring([root], bench.take), 0.01)
    assert bench.source.log == ["start", "stop"]
    assert not bench.watcher.running


# Handing over ---------------------------------------------------------------------------------------------------------


async def test_a_batch_is_acked_after_the_handler_returned(bench: Bench, root: Path) -> None:
    """And counted then."""
    await bench.watcher.start_monitoring([root], bench.take)
    delivery = bench.source.give(at("/r/a.json"), at("/r/b.json"))
    await delivery.settled.wait()
    assert delivery.fate == ["ack"]
    assert bench.batches == [[at("/r/a.json"), at("/r/b.json")]]
    stats = bench.watcher.get_stats()
    assert (stats["events_processed"], stats["batches_processed"], stats["processing_errors"]) == (2, 1, 0)
    assert bench.watcher.stats.events_processed == 2


async def test_every_kind_of_handler(bench: Bench, root: Path) -> None:
    """Plain ones run in a thread; coroutine functions, partials of them, and callable objects run in the loop."""
    import threading

    where: list[str] = []

    def plain(events: list[FileEvent]) -> None:
        where.append(threading.current_thread().name)

    async def coroutine(events: list[FileEvent]) -> None:
        where.append(threading.current_thread().name)

    class Callable_:
        async def __call__(self, events: list[FileEvent]) -> None:
            await coroutine(events)

    class Handler:
        async def on_events(self, events: list[FileEvent]) -> None:
            await coroutine(events)

    async def more(prefix: str, events: list[FileEvent]) -> None:
        await coroutine(events)

    main = threading.current_thread().name
    handlers: list[Any] = [coroutine, Callable_(), Handler(), partial(more, "x"), lambda events: coroutine(list(events))]
    for handler in [plain, *handlers]:
        await bench.watcher.start_monitoring([root], event_callback=handler)
        await bench.source.give(at("/r/a.json")).settled.wait()
        await bench.watcher.stop_monitoring()
    assert where[0].startswith("shardwatch-watcher")
    assert where[1:] == [main] * len(handlers)


async def test_a_raising_handler_is_counted_and_asked_again(bench: Bench, root: Path) -> None:
    """The batch goes back; what the service set aside is asked for again."""

    def fail(events: list[FileEvent]) -> None:
        raise ValueError("no")

    await bench.watcher.start_monitoring([root], fail)
    delivery = bench.source.give(at("/r/a.json"))
    await delivery.settled.wait()
    assert delivery.fate == ["nack"]
    assert bench.watcher.get_stats()["processing_errors"] == 1
    assert bench.watcher.get_stats()["events_processed"] == 0
    await until(lambda: "retry" in bench.source.log)


async def test_what_was_set_aside_comes_again_however_much_else_there_is(bench: Bench, root: Path, quick: None) -> None:
    """There is no moment in which nothing is pending, and still the service is asked for it."""
    asked: list[bool] = []

    def take(events: list[FileEvent]) -> None:
        asked.append("retry" in bench.source.log)
        if len(asked) == 1:
            raise ValueError("no")

    await bench.watcher.start_monitoring([root], take)
    last = [bench.source.give(at(f"/r/{number}.json"), more=True) for number in range(50)][-1]
    await last.settled.wait()
    assert len(asked) == 50 and asked[-1]


async def test_a_move_is_two_events_unless_asked_for(bench: Bench, root: Path, tmp_path: Path) -> None:
    """A caller who knows three kinds meets no fourth; and no list is longer than the batch size."""
    move = at("/r/b.json", "moved", moved_from=Path("/r/a.json"))
    bench.watcher.config.batch_size = 2
    await bench.watcher.start_monitoring([root], bench.take)
    await bench.source.give(move, at("/r/c.json")).settled.wait()
    assert [[e.event_type for e in batch] for batch in bench.batches] == [["deleted", "created"], ["modified"]]
    other = Bench(state_dir=tmp_path / "other", report_moves=True)
    async with other.watcher:
        await other.watcher.start_monitoring([root], other.take)
        await other.source.give(move).settled.wait()
    assert other.batches == [[move]]


async def test_the_lease_is_kept_while_the_handler_works(root: Path) -> None:
    """Also if the handler is slower than the lease is long, and the service refuses once."""
    done = asyncio.Event()
    bench = Bench(lease_s=0.003)

    async def slow(events: list[FileEvent]) -> None:
        await done.wait()

    async with bench.watcher:
        await bench.watcher.start_monitoring([root], slow)
        delivery = bench.source.give(at("/r/a.json"))
        refuse = iter([True])
        extend = delivery.extend

        async def extend_or_refuse() -> None:
            await extend()
            if next(refuse, False):
                raise ServiceError("busy")

        delivery.extend = extend_or_refuse  # type: ignore[method-assign]
        await until(lambda: delivery.fate.count("extend") >= 3)
        assert bench.watcher.get_stats()["queue_size"] == 1
        done.set()
        await delivery.settled.wait()
        assert delivery.fate[-1] == "ack"


async def test_fresh_tells_an_object_to_forget(bench: Bench, root: Path) -> None:
    """If it has `on_fresh`; one that raises is told again."""
    calls: list[str] = []

    class Handler:
        def on_events(self, events: list[FileEvent]) -> None:
            calls.append("events")

        def on_fresh(self) -> None:
            calls.append("fresh")
            if len(calls) == 1:
                raise ValueError("not yet")

    await bench.watcher.start_monitoring([root], Handler())
    fates = []
    for _ in range(2):
        delivery = FakeDelivery([], fresh=True)
        bench.source.pending.put_nowait(delivery)
        await delivery.settled.wait()
        fates += delivery.fate
    assert calls == ["fresh", "fresh"]
    assert fates == ["nack", "ack"]
    assert bench.watcher.get_stats()["fresh_starts"] == 2


async def test_fresh_without_on_fresh_is_acked(bench: Bench, root: Path) -> None:
    """The files follow as `created`."""
    await bench.watcher.start_monitoring([root], bench.take)
    delivery = FakeDelivery([], fresh=True)
    bench.source.pending.put_nowait(delivery)
    await delivery.settled.wait()
    assert delivery.fate == ["ack"]
    assert bench.batches == []


async def test_a_service_that_is_away_is_asked_again(bench: Bench, root: Path) -> None:
    """The watcher lives on."""
    await bench.watcher.start_monitoring([root], bench.take)
    bench.source.pending.put_nowait(NotRunningError("away"))
    delivery = bench.source.give(at("/r/a.json"))
    await delivery.settled.wait()
    assert delivery.fate == ["ack"]


async def test_queue_size_has_the_services_backlog(bench: Bench, root: Path) -> None:
    """As long as the service says that there is more."""
    await bench.watcher.start_monitoring([root], bench.take)
    bench.source.give(at("/r/a.json"), more=True)
    await until(lambda: bench.watcher.get_stats()["queue_size"] == 77)
    bench.source.give(at("/r/b.json"))
    await until(lambda: bench.watcher.get_stats()["queue_size"] == 0)


# Events from elsewhere ------------------------------------------------------------------------------------------------


async def test_every_event_is_in_one_place(bench: Bench, root: Path) -> None:
    """Queued, filtered, duplicate, or an error with its reason."""
    for name in ("good.json", "big.json", "noise.py"):
        (root / name).write_text("x" * (50 if name == "big.json" else 5))
    (root / "directory.json").mkdir()
    os.mkfifo(root / "pipe.json")
    (root / "link.json").symlink_to(root / "good.json")
    (root / "dangling.json").symlink_to(root / "nothing.json")
    bench.watcher.config.max_file_size = 20
    good, deleted = at(root / "good.json", "created"), at(root / "gone.json", "deleted")
    events = [
        good,
        at(root / "good.json", "modified", 2.0, file_size=4),
        at(root / "noise.py"),
        at(root / "x.json", is_directory=True),
        deleted,
        at(root / "link.json"),
        *(at(root / name) for name in ("big.json", "directory.json", "pipe.json", "dangling.json", "good.json/x.json")),
        at("/\0.json"),
        at("/" + "x" * 300 + ".json"),
    ]
    result = await bench.watcher.process_file_events(events)
    assert [(e.path.name, e.event_type) for e in result.queued] == [
        ("good.json", "created"),
        ("gone.json", "deleted"),
        ("link.json", "modified"),
    ]
    assert result.queued[0].file_size == 4
    assert result.queued[2].file_size == 5
    assert result.queued[2].mtime_ns is not None
    assert result.duplicates == [good]
    assert result.filtered == events[2:4]
    assert {path.name[:14]: reason for path, reason in result.errors.items()} == {
        "big.json": "too large",
        "directory.json": "not a regular file"[:18],
        "pipe.json": "not a regular file",
        "dangling.json": "vanished",
        "x.json": "vanished",
        "\0.json": "unreadable",
        "x" * 14: "unreadable",
    }
    again = await bench.watcher.process_file_events([deleted])
    assert again.duplicates == [deleted]
    stats = bench.watcher.get_stats()
    assert (stats["events_queued"], stats["events_filtered"], stats["duplicates"], stats["queue_size"]) == (3, 2, 2, 3)


async def test_an_unreadable_file_is_an_error(bench: Bench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the kernel's answer is given by the test."""
    (root / "a.json").write_text("{}")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = await bench.watcher.process_file_events([at(root / "a.json")])
    assert result.errors == {root / "a.json": "unreadable"}


async def test_a_full_queue_is_an_error(root: Path) -> None:
    """The caller may try again later."""
    bench = Bench(queue_size=1)
    async with bench.watcher:
        result = await bench.watcher.process_file_events([at("/a.json", "deleted"), at("/b.json", "deleted")])
    assert [e.path for e in result.queued] == [Path("/a.json")]
    assert result.errors == {Path("/b.json"): "queue full"}


async def test_the_older_event_of_a_path_is_the_duplicate(bench: Bench) -> None:
    """Whatever their order in the list."""
    newer, older = at("/a.json", "deleted", 2.0), at("/a.json", "created", 1.0)
    result = await bench.watcher.process_file_events([newer, older])
    assert (result.queued, result.duplicates, result.errors) == ([newer], [older], {})


@pytest.mark.parametrize("reason", ["vanished", "too large", "not a regular file"])
async def test_a_move_to_a_name_that_is_refused_deletes_the_old_one(bench: Bench, root: Path, reason: str) -> None:
    """The old name is gone, whatever has become of the new one. It may be made again by a later event."""
    bench.watcher.config.max_file_size = 20
    new = root / "new.json"
    if reason == "too large":
        new.write_text("x" * 50)
    elif reason == "not a regular file":
        new.mkdir()
    (root / "again.json").write_text("{}")
    moves = [
        at(new, "moved", moved_from=root / "old.json"),
        at(root / "b.json", "moved", 1.0, moved_from=root / "again.json"),
    ]
    result = await bench.watcher.process_file_events([*moves, at(root / "again.json", "created", 2.0)])
    assert result.errors == {new: reason, root / "b.json": "vanished"}
    assert [(e.path.name, e.event_type) for e in result.queued[:2]] == [("old.json", "deleted"), ("again.json", "deleted")]
    assert [(e.path.name, e.event_type) for e in result.queued[2:]] == [("again.json", "created")]
    assert (result.filtered, result.duplicates) == ([], [])
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: bool(bench.batches))
    taken = [(e.path.name, e.event_type) for e in bench.batches[0]]
    assert taken == [("old.json", "deleted"), ("again.json", "modified")]


async def test_of_several_moves_to_a_path_each_deletes_its_old_name(bench: Bench, root: Path) -> None:
    """The file that is there now came with the last one; the same move twice is told once."""
    (root / "a.json").write_text("{}")
    first, second = (at(root / "a.json", "moved", when, moved_from=root / f"{when}.json") for when in (1.0, 2.0))
    again = at(root / "a.json", "moved", 2.0, moved_from=root / "2.0.json")
    result = await bench.watcher.process_file_events([first, second, again])
    told = [(e.path.name, e.event_type, e.moved_from and e.moved_from.name) for e in result.queued]
    assert told == [("1.0.json", "deleted", None), ("a.json", "moved", "2.0.json")]
    assert (result.duplicates, result.errors) == ([second], {})


async def test_processed_events_reach_the_handler(bench: Bench, root: Path) -> None:
    """At once while it monitors; those that came before it are durable and come when it starts."""
    before = at("/before.json", "deleted")
    assert (await bench.watcher.process_file_events([before])).success
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: bench.batches == [[before]])
    during = at(root / "during.json", "deleted")
    await bench.watcher.process_file_events([during])
    await until(lambda: bench.batches == [[before], [during]])
    await until(lambda: bench.watcher.get_stats()["queue_size"] == 0)


async def test_a_temporary_directory_keeps_events_until_the_start(root: Path) -> None:
    """Even through a start that fails."""
    bench = Bench()
    event = at("/before.json", "deleted")
    await bench.watcher.process_file_events([event])
    bench.prepare = lambda source: setattr(source, "start_error", ServiceError("no"))
    with pytest.raises(ServiceError):
        await bench.watcher.start_monitoring([root], bench.take)
    bench.prepare = lambda source: None
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: bench.batches == [[event]])
    await bench.watcher.stop_monitoring()
    assert not bench.source.state_dir.exists()


async def test_one_bad_event_does_not_hold_up_the_others(bench: Bench, root: Path) -> None:
    """After some failures each is handed over alone; the bad one stays, and is tried later and later."""
    taken: list[str] = []

    async def picky(events: list[FileEvent]) -> None:
        if any(event.path.name == "bad.json" for event in events):
            raise ValueError("bad")
        taken.extend(event.path.name for event in events)

    await bench.watcher.process_file_events([at(f"/{name}.json", "deleted") for name in ("a", "bad", "b")])
    await bench.watcher.start_monitoring([root], picky)
    await until(lambda: sorted(taken) == ["a.json", "b.json"])
    assert bench.watcher.get_stats()["processing_errors"] >= 3
    await bench.watcher.stop_monitoring()
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: [e.path.name for batch in bench.batches for e in batch] == ["bad.json"])


async def test_a_foreign_state_directory_is_refused(tmp_path: Path) -> None:
    """And not written to; nor is a file one."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        await RealtimeFileWatcher(WatcherConfig(state_dir=tmp_path)).process_file_events([at("/a.json", "deleted")])
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]
    with pytest.raises(UsageError, match="can't be prepared: not a directory"):
        file = tmp_path / "precious"
        await RealtimeFileWatcher(WatcherConfig(state_dir=file)).process_file_events([at("/a.json", "deleted")])


# Stopping -------------------------------------------------------------------------------------------------------------


async def test_stop_hands_over_what_is_pending_first(bench: Bench, root: Path) -> None:
    """Of the service, after a sync, and of the queue."""
    await bench.watcher.start_monitoring([root], bench.take)
    deliveries = [bench.source.give(at(f"/r/{i}.json")) for i in range(5)]
    await bench.watcher.process_file_events([at("/q.json", "deleted")])
    await bench.watcher.stop_monitoring()
    assert [delivery.fate for delivery in deliveries] == [["ack"]] * 5
    assert sorted(e.path.name for batch in bench.batches for e in batch) == [*(f"{i}.json" for i in range(5)), "q.json"]
    assert [word for word in bench.source.log if word != "release"] == ["start", "sync", "stop"]
    assert bench.watcher.get_stats()["events_processed"] == 6


async def test_stop_twice_and_without_a_start(bench: Bench, root: Path) -> None:
    """Does nothing; two at the same time end together."""
    await bench.watcher.stop_monitoring()
    await bench.watcher.start_monitoring([root], bench.take)
    await asyncio.gather(bench.watcher.stop_monitoring(), bench.watcher.stop_monitoring())
    await bench.watcher.stop_monitoring()
    assert [word for word in bench.source.log if word != "release"] == ["start", "sync", "stop"]


async def test_stop_does_not_wait_for_a_failing_handler(bench: Bench, root: Path) -> None:
    """It is asked once more; what it does not take stays."""

    def fail(events: list[FileEvent]) -> None:
        raise ValueError("no")

    await bench.watcher.start_monitoring([root], fail)
    deliveries = [bench.source.give(at("/r/a.json")) for _ in range(3)]
    await bench.watcher.process_file_events([at("/q.json", "deleted")])
    await bench.watcher.stop_monitoring()
    assert all("ack" not in delivery.fate for delivery in deliveries)
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: bench.batches == [[at("/q.json", "deleted")]])


@pytest.mark.parametrize("error", [ServiceTimeoutError("late"), TimeoutError()])
async def test_stop_goes_on_when_the_sync_fails(bench: Bench, root: Path, error: Exception) -> None:
    """What is known is handed over all the same."""
    bench.prepare = lambda source: setattr(source, "sync_error", error)
    await bench.watcher.start_monitoring([root], bench.take)
    delivery = bench.source.give(at("/r/a.json"))
    await bench.watcher.stop_monitoring()
    assert delivery.fate == ["ack"]


async def test_stop_interrupts_a_handler_that_hangs(bench: Bench, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events count as not taken, from either source, and stay."""
    monkeypatch.setattr(api, "STOP_HAND_OVER_S", 0.05 - api.STOP_SYNC_S)
    interrupted = asyncio.Event()

    async def hang(events: list[FileEvent]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    await bench.watcher.start_monitoring([root], hang)
    delivery = bench.source.give(at("/r/a.json"))
    await until(lambda: bench.watcher.get_stats()["queue_size"] == 1)
    await bench.watcher.process_file_events([at("/q.json", "deleted")])
    await bench.watcher.stop_monitoring()
    assert interrupted.is_set()
    assert delivery.fate == ["nack"]
    assert bench.source.log[-1] == "stop"
    await bench.watcher.start_monitoring([root], bench.take)
    await until(lambda: bench.batches == [[at("/q.json", "deleted")]])


async def test_stop_from_inside_the_handler_is_refused(bench: Bench, root: Path) -> None:
    """It would wait for itself; from a task of its own it works."""
    errors: list[Exception] = []
    stopping: list[asyncio.Task[None]] = []

    async def handler(events: list[FileEvent]) -> None:
        try:
            await bench.watcher.stop_monitoring()
        except UsageError as error:
            errors.append(error)
        stopping.append(asyncio.ensure_future(bench.watcher.stop_monitoring()))

    await bench.watcher.start_monitoring([root], handler)
    delivery = bench.source.give(at("/r/a.json"))
    await until(lambda: stopping)
    await stopping[0]
    assert len(errors) == 1
    assert delivery.fate == ["ack"]


async def test_a_kept_root_that_is_missing_is_waited_for(bench: Bench, root: Path, tmp_path: Path) -> None:
    """If the state directory knows it; the service says when it comes back."""
    from shardwatch.shard.contract.state.planfile import Anchor, Plan, write_plan

    gone = os.fsencode(tmp_path / "unplugged")
    state = tmp_path / "state"
    state.mkdir()
    write_plan(state / "plan.json", Plan(1, (Anchor(gone, "s0", gone),)))
    (state / "supervisord.conf").write_text("")
    await bench.watcher.start_monitoring([tmp_path / "unplugged", root], bench.take)
    assert bench.source.settings.roots == (gone, os.fsencode(root))
    await bench.watcher.stop_monitoring()
    (state / "plan.json").write_text("{")
    with pytest.raises(UsageError, match="none of the watch paths"):
        await bench.watcher.start_monitoring([tmp_path / "unplugged"], bench.take)
