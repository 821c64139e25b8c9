"""The clients against a real socket: batches, errors, restarts of the service in the middle, both examples of the docs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from service_fake import FakeService
from waiting import eventually

from shardwatch.aggregator.client import owed
from shardwatch.aggregator.client.asynchronous import AsyncExtractClient
from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.protocol.messages import line
from shardwatch.shard.contract.errors import NotRunningError, ServiceTimeoutError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def service(state_dir: Path) -> Iterator[FakeService]:
    service = FakeService(state_dir).start()
    yield service
    service.stop()


#: Seconds that an answer may take: a guard, for a machine that stands still at times.
GUARD_S = 60.0


@pytest.fixture
def client(service: FakeService) -> Iterator[ExtractClient]:
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as client:
        yield client


def test_batches_are_pulled_and_acked(service: FakeService, client: ExtractClient) -> None:
    """The ten lines of the README: typed events, then nothing is left."""
    service.put("/r/a", "/r/b", "/r/c")
    seen = []
    for batch in client.batches("g", max=2, follow=False, from_="start"):
        seen += [(e.event_type, e.path, e.size, e.is_directory) for e in batch.events]
        assert batch.fresh is None
        batch.ack()
        batch.ack()
    assert seen == [("created", p, 1, False) for p in ("/r/a", "/r/b", "/r/c")]
    assert client.pull("g") is None


def test_exact_names_come_through(service: FakeService, client: ExtractClient) -> None:
    """`path` can be opened whatever its bytes are; `line` prints it as the wire has it."""
    service.put(b"/r/\xff\n.json")
    batch = client.pull("g", from_="start")
    assert batch is not None
    event = batch.events[0]
    assert os.fsencode(event.path) == b"/r/\xff\n.json"
    assert '"path":"/r/�\\n.json"'.encode() in line(event)
    assert b'"path_b64":"L3Iv/wouanNvbg=="' in line(event)
    assert os.fsencode(event.path) == b"/r/\xff\n.json"


def test_the_next_batch_is_on_its_way(service: FakeService, client: ExtractClient) -> None:
    """While there is more, it is kept for the loop; a worker that is free gets it, and everybody else what the loop leaves."""
    service.put(*(f"/r/{n}" for n in range(5)))
    loop = client.batches("g", max=1, from_="start")
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        assert next(loop).events[0].path == "/r/0"
        eventually(lambda: _kept(other) == 1)
        taken = [batch.events[0].path for _ in range(4) if (batch := other.pull("g", max=1))]
        assert taken == ["/r/2", "/r/3", "/r/4", "/r/1"]
        service.put("/r/5", "/r/6", "/r/7")
        assert next(loop).events[0].path == "/r/5"  # what is not its any more it never saw
        eventually(lambda: _kept(other) == 1)
        service.restart(clean=False)
        assert next(loop).events[0].path == "/r/6"  # nor what it could not know to be its still
        eventually(lambda: _kept(other) == 1)
        loop.close()
        assert _kept(other) == 0
        again = other.pull("g")
        assert again is not None and (again.events[0].path, again.attempt) == ("/r/6", 1)
    loop = client.batches("g", max=1, ahead=0)
    assert next(loop).more
    assert _kept(client) == 0
    loop.close()


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_ack_that_nobody_waits_for_survives_a_crash(service: FakeService, client: ExtractClient, ahead: int) -> None:
    """Of the service: the loop asks again, and nothing comes twice. What was owed at the end of the loop is done then too."""
    service.put(*(f"/r/{n}" for n in range(4)))
    loop = client.batches("g", max=1, from_="start", ahead=ahead)
    got = []
    for number, batch in enumerate(loop):
        got.append(batch.events[0].path)
        assert batch.ack(wait=False)
        if number in (1, 2):
            service.restart(clean=False)
        elif number == 3:
            worker = _put_once_it_waits(service, "/r/4")
        elif number == 4:
            break
    worker.join()
    loop.close()
    assert got == [f"/r/{n}" for n in range(5)]
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        assert other.pull("g") is None
        (group,) = other.groups()
        assert (group["backlog"], group["leased"]) == (0, 0)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_loop_whose_service_went_away_says_so(
    service: FakeService, wait: bool, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it had asked for, without `follow`. Once the service is back, everything else comes."""
    monkeypatch.setattr(owed, "ACK_PATIENCE_S", 0.05)
    service.put(*(f"/r/{n}" for n in range(4)))
    where = service.layout.state_dir
    if asynchronous:
        async with AsyncExtractClient(where, timeout_s=GUARD_S) as client:
            batches = client.batches("g", max=1, from_="start", follow=False)
            batch = await anext(batches)
            await batch.ack(wait=wait)
            await asyncio.to_thread(service.stop, clean=False)
            with pytest.raises(NotRunningError):
                await anext(batches)
    else:
        with ExtractClient(where, timeout_s=GUARD_S) as blocking:
            loop = blocking.batches("g", max=1, from_="start", follow=False)
            next(loop).ack(wait=wait)
            service.stop(clean=False)
            with pytest.raises(NotRunningError):
                next(loop)
    service.start()
    with ExtractClient(where, timeout_s=GUARD_S) as other:
        leases = other.groups()[0]["leases"]  # of what was not acknowledged, and nobody else may have before that ends
        for lease in leases:
            other.release("g", batch=lease["batch"])
        left = {batch.events[0].path for batch in other.batches("g", max=1, follow=False)}
    assert left - {"/r/0"} == {"/r/1", "/r/2", "/r/3"}


def _kept(client: ExtractClient) -> int:
    """Batches that are pulled ahead and not begun."""
    return sum(lease.get("ahead", False) for group in client.groups() for lease in group["leases"])


def test_a_loop_that_was_forked_leaves_its_parents_batch_alone(service: FakeService, client: ExtractClient) -> None:
    """The child has no reply to wait for: what was pulled ahead is the parent's."""
    service.put("/r/a", "/r/b", "/r/c")
    loop = client.batches("g", max=1, from_="start")
    next(loop).ack()
    child = os.fork()
    if child == 0:  # no assertion may leave the child
        code = 1
        try:
            batch = next(loop)
            batch.ack()
            code = 0 if batch.events[0].path == "/r/c" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert next(loop).events[0].path == "/r/b"
    loop.close()


def test_a_child_that_leaves_its_parents_loop_gives_nothing_back(service: FakeService, client: ExtractClient) -> None:
    """By an exception, that is. What it acknowledges itself it does not leave to a request that never comes."""
    service.put("/r/a", "/r/b")
    loop = client.batches("g", max=1, from_="start", ahead=0)
    first = next(loop)
    child = os.fork()
    if child == 0:  # no assertion may leave the child
        try:
            loop.throw(SystemExit())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert first.ack()
    second = next(loop)
    child = os.fork()
    if child == 0:
        try:
            second.ack(wait=False)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert [(group["leased"], group["backlog"]) for group in client.groups()] == [(0, 0)]
    loop.close()


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("done", [True, False])
async def test_a_loop_that_was_left_ends_before_its_client(service: FakeService, done: bool, turns: int) -> None:
    """An asynchronous one ends some time after `break`: what it owes is told all the same, and what it has is given back."""
    service.put("/r/a", "/r/b")
    async with AsyncExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as client:
        async for batch in client.batches("g", max=1, from_="start"):
            if done:
                await batch.ack(wait=False)
            break
        for _ in range(turns):  # of the event loop: it has begun to end, or has not
            await asyncio.sleep(0)
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as blocking:
        (group,) = blocking.groups()
    assert (group["leases"], group["backlog"]) == ([], 1 if done else 2)


@pytest.mark.parametrize("done", [True, False])
def test_a_client_that_is_closed_ends_its_loops(service: FakeService, done: bool) -> None:
    """What it owes is told, and what it has is given back."""
    service.put("/r/a")
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as client:
        loop = client.batches("g", from_="start")
        batch = next(loop)
        if done:
            assert batch.ack(wait=False)
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        again = other.pull("g")
    assert (again is None) is done
    loop.close()


#: Acknowledges a batch in a daemon thread, which does something else after that until the process ends.
DAEMON = """
import sys, threading
from shardwatch import ExtractClient
acknowledged = threading.Event()
def work():
    with ExtractClient(sys.argv[1], timeout_s=60.0) as client:
        for batch in client.batches("g", max=1, from_="start", ahead=0):
            batch.ack(wait=False)
            acknowledged.set()
            threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
acknowledged.wait()
"""


def test_what_a_daemon_thread_owes_at_the_end_of_its_process_is_told(service: FakeService, client: ExtractClient) -> None:
    """Its loop was not left, and never will be."""
    service.put("/r/a", "/r/b")
    subprocess.run([sys.executable, "-c", DAEMON, service.layout.state_dir], check=True, timeout=GUARD_S)
    assert [(group["leased"], group["backlog"]) for group in client.groups()] == [(0, 1)]


def test_many_open_files_are_no_trouble(state_dir: Path) -> None:
    """A service that is away is waited for in a process with more files than select(2) can name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        with ExtractClient(state_dir) as client, pytest.raises(NotRunningError, match="no service answers"):
            client.pull("g", patience_s=0.1)


def test_a_waiting_pull_is_woken(service: FakeService, client: ExtractClient) -> None:
    """Long before its wait is over."""
    putting = _put_once_it_waits(service, "/r/new")
    batch = client.pull("g", wait_s=600, from_="start")
    putting.join()
    assert batch is not None
    assert batch.events[0].path == "/r/new"
    assert repr(batch).endswith("of 'g': 1>")


def test_what_a_loop_leaves_is_released(service: FakeService, client: ExtractClient) -> None:
    """A batch that is neither acked nor nacked when the loop ends is pending again at once, uncounted."""
    service.put("/r/a")
    for _ in client.batches("g", from_="start"):
        break
    again = client.pull("g", wait_s=30)
    assert again is not None
    assert (again.attempt, len(again)) == (1, 1)


def test_nack_extend_and_release(service: FakeService, client: ExtractClient) -> None:
    """The life of a lease, seen from a worker."""
    service.put("/r/a")
    batch = client.pull("g", from_="start", lease_s=30)
    assert batch is not None
    assert batch.lease_s == 30
    batch.extend(60)
    batch.extend()
    batch.nack("boom", retry_s=0)
    second = client.pull("g", wait_s=30)
    assert second is not None
    assert second.attempt == 2
    with pytest.raises(RequestError, match="nacked") as refused:
        batch.ack()
    assert (refused.value.code, refused.value.retryable) == ("lease_expired", False)
    second.release()
    assert client.release("g") == 0
    third = client.pull("g", wait_s=30)
    assert third is not None
    third.nack()


def test_the_other_requests(service: FakeService, client: ExtractClient) -> None:
    """One call for each op."""
    service.put("/r/a")
    assert client.hello()["server"] == "shardwatch"
    peek = client.pull("g", from_="start", peek=True)
    assert peek is not None
    assert peek.id is None and peek.created
    for batch in client.batches("g", follow=False):
        batch.ack()
    assert client.seek("g", "start")
    assert [g["backlog"] for g in client.groups()] == [1]
    assert client.retry("g") == 0
    assert client.sync()["ok"]
    assert client.status()["ready"] is True
    ready = client.ready()
    assert ready is not None and ready["files"] == 1
    service.engine.is_ready = False
    assert client.ready(0.01) is None
    assert client.hold("make", 60) and client.hold("make", 60)
    assert client.request("pull", group="g")["why"] == "held"
    assert client.unhold("make") and not client.unhold("make")
    client.drop("g")
    assert client.groups() == []
    with pytest.raises(RequestError, match="no group"):
        client.drop("g")


def test_no_service_is_said_at_once(state_dir: Path) -> None:
    """Absent, and dead with its socket left behind."""
    with ExtractClient(state_dir) as client:
        with pytest.raises(NotRunningError, match="no service answers"):
            client.status()
        service = FakeService(state_dir)
        service.layout.extract_socket.touch()
        with pytest.raises(NotRunningError, match="shardwatch up"):
            client.pull("g")


def test_a_service_that_hangs_is_a_timeout(service: FakeService) -> None:
    """It listens, but never answers."""
    service.deaf = True
    with ExtractClient(service.layout.state_dir, timeout_s=0.2) as client, pytest.raises(ServiceTimeoutError):
        client.status()


def _parked(client: ExtractClient) -> bool:
    return any(group["waiting_pulls"] == 1 for group in client.groups())


def _put_once_it_waits(service: FakeService, path: str) -> threading.Thread:
    """Puts a file when a pull waits; returns the thread that does it, which was started."""

    def put() -> None:
        with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
            eventually(lambda: _parked(other))
        service.put(path)

    thread = threading.Thread(target=put)
    thread.start()
    return thread


def _grown(got: list[str], length: int) -> bool:
    return len(got) == length


def test_a_restart_in_a_wait_is_survived(service: FakeService, client: ExtractClient) -> None:
    """`batches` goes on with the new service, after a clean end and after a crash; the open batch can be acked there."""
    service.put("/r/0")
    got: list[str] = []

    def work() -> None:
        for batch in client.batches("g", from_="start"):
            got.extend(e.path for e in batch.events)
            if len(got) == 1:
                service.restart(clean=False)
            batch.ack()
            if got[-1] == "/r/end":
                return

    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: got == ["/r/0"])
    eventually(lambda: service.do(lambda: True))
    for n, clean in ((1, True), (2, False)):
        with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
            eventually(partial(_parked, other))
        service.restart(clean=clean)
        service.put(f"/r/{n}")
        eventually(partial(_grown, got, n + 1))
    service.put("/r/end")
    worker.join(30)
    assert got == ["/r/0", "/r/1", "/r/2", "/r/end"]


def test_patience_has_no_end_by_default(service: FakeService, client: ExtractClient, caplog: pytest.LogCaptureFixture) -> None:
    """`batches` waits for a service that is away for longer than any time-out of its own, and the log says so, once."""
    assert client.pull("g") is None
    service.stop()
    client.timeout_s = 0.1
    got: list[str] = []

    def work() -> None:
        for batch in client.batches("g"):
            got.extend(event.path for event in batch.events)
            batch.ack()
            return

    worker = threading.Thread(target=work)
    worker.start()

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "shardwatch.aggregator.client"]

    eventually(said)
    assert worker.is_alive()
    client.timeout_s = GUARD_S  # once it is back it is given time
    service.start()
    service.put("/r/a")
    worker.join(30)
    assert got == ["/r/a"]
    assert [line.split(": ")[0].split(" is ")[1] for line in said()] == ["waited for", "back"]


@pytest.mark.parametrize("away", [True, False])
def test_closing_ends_another_threads_wait(service: FakeService, client: ExtractClient, away: bool) -> None:
    """In a pull that waits, and in one that looks for a service which is away; both would go on for ever."""
    assert client.pull("g") is None
    if away:
        service.stop()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            next(client.batches("g"))
        except NotRunningError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    if not away:
        with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
            eventually(lambda: _parked(other))
    client.close()
    worker.join(30)
    assert [str(error).split(" (")[0] for error in errors] == ["the client is closed"]
    with pytest.raises(NotRunningError, match="closed"):
        client.hello()


def test_a_child_has_a_connection_of_its_own(service: FakeService, client: ExtractClient) -> None:
    """A client that was used before a fork works in the child, under another worker's name; the parent's goes on."""
    service.put("/r/a", "/r/b")
    mine = client.pull("g", max=1, from_="start")
    assert mine is not None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion may leave the child
        code = 1
        try:
            theirs = client.pull("g", max=1)
            if theirs is not None:
                os.write(write, f"{client.worker} {theirs.events[0].path}".encode())
                theirs.ack()
                client.close()
                code = 0
        finally:
            os._exit(code)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    worker, path = os.read(read, 1000).decode().split()
    os.close(read)
    assert {path, mine.events[0].path} == {"/r/a", "/r/b"}
    assert worker != client.worker and f"-{child}-" in worker
    mine.ack()
    assert client.pull("g") is None


@pytest.mark.parametrize("waits", [True, False])
def test_a_group_that_is_lost_begins_anew(service: FakeService, client: ExtractClient, waits: bool) -> None:
    """Dropped, or gone with its state directory: `fresh` comes first, then every file that is there."""
    service.put("/r/a")
    batches = client.batches("g", from_="now")
    service.put("/r/b")
    putting = _put_once_it_waits(service, "/r/c")
    batch = next(batches)
    putting.join()
    assert [event.path for event in batch.events] == ["/r/c"]
    batch.ack()
    dropping = threading.Thread(target=lambda: _dropped(service, once_it_waits=waits))
    dropping.start()
    if not waits:
        dropping.join()
    notice = next(batches)
    dropping.join()
    assert notice.fresh is not None and notice.events == []
    notice.ack()
    told = next(batches)
    assert sorted(event.path for event in told.events) == ["/r/a", "/r/b", "/r/c"]
    batches.close()


def test_the_loss_of_a_group_is_told_until_it_is_acknowledged(service: FakeService, client: ExtractClient) -> None:
    """A worker that ends right after it was told has not forgotten anything: the next one is told."""
    service.put("/r/a")
    batches = client.batches("g", from_="start")
    next(batches).ack()
    _dropped(service, once_it_waits=False)
    assert next(batches).fresh is not None
    batches.close()
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        again = other.batches("g", from_="start")
        notice = next(again)
        assert notice.fresh is not None
        notice.ack()
        assert [event.event_type for event in next(again).events] == ["created"]
        again.close()


@pytest.mark.parametrize("end", ["ack", "nack", "extend"])
def test_a_batch_is_settled_however_long_the_service_is_away(
    service: FakeService, client: ExtractClient, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In a loop that goes on for ever: the service goes while the worker works, and is back after all default patience."""
    service.put("/r/a")
    batches = client.batches("g", from_="start")
    batch = next(batches)
    service.stop()
    worker = threading.Thread(target=getattr(batch, end))
    client.timeout_s = 0.1
    worker.start()
    eventually(lambda: any("is waited for" in record.getMessage() for record in caplog.records))
    assert worker.is_alive()
    client.timeout_s = GUARD_S  # once it is back it is given time
    service.start()
    worker.join(30)
    assert not worker.is_alive()
    left = {"ack": 0, "nack": 1, "extend": 1}[end]
    assert client.groups()[0]["leased"] + client.groups()[0]["backlog"] + client.groups()[0]["retrying"] >= left
    batches.close()


def test_a_batch_that_is_settled_too_late_ends_no_loop(service: FakeService, client: ExtractClient) -> None:
    """Its lease is over, or its group is gone: `ack` says False, and the loop goes on. A batch that was pulled alone raises."""
    service.put("/r/a")
    batches = client.batches("g", from_="start", lease_s=0.05)
    batch = next(batches)
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        again = other.pull("g", wait_s=30)
        assert again is not None and not batch.ack()
        again.ack()
        service.put("/r/b")
        batch = next(batches)
        other.drop("g")
        batch.nack("too late")
    assert next(batches).fresh is not None
    batches.close()
    alone = client.pull("g", from_="start", lease_s=0.05)
    assert alone is not None
    service.restart()
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        assert other.pull("g", wait_s=30) is not None
    with pytest.raises(RequestError, match="lease"):
        alone.ack()


def _dropped(service: FakeService, *, once_it_waits: bool) -> None:
    with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
        if once_it_waits:
            eventually(lambda: _parked(other))
        other.drop("g")


def test_patience_ends(service: FakeService, client: ExtractClient) -> None:
    """A service that stays away is an error, not an endless loop."""
    assert client.pull("g") is None
    service.stop()
    with pytest.raises(NotRunningError):
        for _ in client.batches("g", patience_s=0.2):
            pass


def test_a_group_is_told_of_a_lost_index(service: FakeService, client: ExtractClient) -> None:
    """`fresh` is a field of the batch, and there are no events beside it."""
    service.put("/r/a")
    assert client.pull("g", from_="start") is not None
    service.do(service.index.become_another)
    batch = client.pull("g")
    assert batch is not None and batch.fresh is not None
    assert (batch.events, batch.fresh.reason) == ([], "the index was built anew")
    batch.ack()
    again = client.pull("g", wait_s=30)
    assert again is not None and again.events[0].event_type == "created"


async def test_the_async_client_does_the_same(service: FakeService) -> None:
    """Every call once, then a restart in the middle of a wait."""
    await asyncio.to_thread(service.put, "/r/a", b"/r/\xff")
    async with AsyncExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as client:
        seen = []
        async for batch in client.batches("g", max=1, follow=False, from_="start"):
            seen += [os.fsencode(e.path) for e in batch.events]
            await batch.extend(60)
            await batch.ack()
        assert seen == [b"/r/a", b"/r/\xff"]
        assert await client.seek("g", 0)
        for end in ("nack", "release"):
            again = await client.pull("g", wait_s=30)
            assert again is not None
            await (again.nack("x", retry_s=0) if end == "nack" else again.release())
        assert (await client.hello())["v"] == 1
        assert (await client.sync())["ok"]
        assert (await client.status())["ready"]
        assert await client.ready() is not None
        assert await client.retry("g") == 0
        assert await client.hold("make", 60) and await client.unhold("make")
        assert len(await client.groups()) == 1
        assert await client.release("g") == 0
        with pytest.raises(RequestError):
            await client.extend("g", "x-1", 1)
        async for batch in client.batches("g", follow=False):
            await batch.ack()
        assert await client.seek("g", 0)
        async with contextlib.aclosing(client.batches("g", max=1)) as loop:
            assert (await anext(loop)).more
        assert [group["leased"] for group in await client.groups()] == [0]
        async for batch in client.batches("g", max=1, follow=False, ahead=0):
            await batch.ack()
        waiting = asyncio.create_task(client.pull("g", wait_s=60, patience_s=GUARD_S))

        def parked() -> bool:
            with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as other:
                return _parked(other)

        await asyncio.to_thread(eventually, parked)
        await asyncio.to_thread(service.restart, clean=False)
        await asyncio.to_thread(service.put, "/r/new")
        woken = await waiting
        assert woken is not None and woken.events[0].path == "/r/new"
        await client.drop("g")


async def test_the_async_client_says_what_is_wrong(state_dir: Path) -> None:
    """No service; one that hangs; a loop that ends with a batch in hand."""
    async with AsyncExtractClient(state_dir, timeout_s=GUARD_S) as client:
        with pytest.raises(NotRunningError):
            await client.status()
        service = await asyncio.to_thread(FakeService(state_dir).start)
        await asyncio.to_thread(service.put, "/r/a")
        loop = client.batches("g", from_="start")
        assert (await anext(loop)).attempt == 1
        await loop.aclose()
        again = await client.pull("g", wait_s=30)
        assert again is not None and again.attempt == 1
        service.deaf = True
        client.timeout_s = 0.2
        with pytest.raises(ServiceTimeoutError):
            await client.status()
        await asyncio.to_thread(service.stop)


def _example(command: list[str], service: FakeService) -> None:
    with subprocess.Popen([*command, str(service.layout.extract_socket), "g"], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        try:
            assert [worker.stdout.readline() for _ in range(2)] == ["fresh \n", "created /r/a\n"]
            service.put("/r/a", size=2)
            assert worker.stdout.readline() == "modified /r/a\n"
            with ExtractClient(service.layout.state_dir, timeout_s=GUARD_S) as client:
                eventually(lambda: client.groups()[0]["leased"] == 0)
        finally:
            worker.kill()


def test_the_python_example_works(service: FakeService) -> None:
    """examples/protocol/worker.py, as it stands."""
    service.put("/r/a")
    _example([sys.executable, str(ROOT / "examples/protocol/worker.py")], service)


@pytest.mark.needs("node", "npm")
def test_the_javascript_example_works(service: FakeService, tmp_path: Path, node_zeromq: Path) -> None:
    """examples/protocol/worker.mjs, as it stands, with npm's zeromq."""
    service.put("/r/a")
    shutil.copy(ROOT / "examples/protocol/worker.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(node_zeromq)
    _example(["node", str(tmp_path / "worker.mjs")], service)


@pytest.mark.parametrize("name", ["worker.py", "worker.mjs"])
def test_the_examples_are_those_of_the_docs(name: str) -> None:
    """docs/protocol.md shows the files that run."""
    text = (ROOT / "docs/protocol.md").read_text()
    assert (ROOT / "examples/protocol" / name).read_text().strip() in text
