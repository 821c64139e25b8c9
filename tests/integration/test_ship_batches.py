"""`shardwatch ship --layout batches` against a real nats-server: a log of batches, which is kept for a while.

A consumer of the docs runs through; FleetClients and another such consumer begin when the log has lost its beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, Command, put, run
from fleet_example import BATCHES_EXAMPLE, fleet_example
from fleet_follower import Follower
from jetstream import NatsServer, everything
from nats.js.client import JetStreamContext
from running import Running, running, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch.fleet import AsyncFleetClient, FleetClient
from shardwatch.shard.contract.errors import ServiceError

pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.usefixtures("no_leaks")]

ROOT = Path(__file__).parents[2]
#: Guard of everything that includes that programs are started again.
EQUAL_S = 90.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for n in range(30):
        (root / f"f{n}.json").write_text("{}")
    (root / os.fsdecode(b"b\xe9.json")).write_text("{}")
    return root


@contextlib.contextmanager
def shipping(state_dir: Path, server: NatsServer) -> Iterator[Command]:
    more = ["--layout", "batches", "--partitions", "4", "--create", "--state-dir", str(state_dir)]
    with Command("ship", server.url, "--source", "one", *more) as ship:
        ship.complains("shipping one")
        yield ship


@contextlib.contextmanager
def following(server: NatsServer) -> Iterator[Follower]:
    follower = Follower(server, fleet_example(BATCHES_EXAMPLE))
    try:
        yield follower
    finally:
        follower.close()


def there(root: Path, service: Running) -> dict[bytes, int]:
    return {path: size for path, (size, _) in walk(root, service.settings).items()}


def assert_equal(root: Path, service: Running, *followers: Follower) -> None:
    """Waits until these hold what the tree holds."""
    service.client.sync(GUARD_S, patience_s=GUARD_S)

    def equal() -> bool:
        for follower in followers:
            mirror = {
                path: event["size"]
                for (_, path), (_, event) in list(follower.example.mirror.items())
                if event["event_type"] != "deleted" and not event["is_directory"]
            }
            assert mirror == there(root, service)
        return True

    eventually(equal, EQUAL_S, every_s=0.1)


def taken(client: FleetClient, group: str, sizes: dict[bytes, int | None]) -> int:
    """Applies what there is for the group now. How many generations began."""
    fresh = 0
    for batch in client.batches(group, follow=False, max=7):
        fresh += batch.fresh is not None
        sizes.update({os.fsencode(event.path): event.size for event in batch.events if not event.is_directory})
        batch.ack()
    return fresh


def present(sizes: dict[bytes, int | None]) -> dict[bytes, int]:
    return {path: size for path, size in sizes.items() if size is not None}


def forget(server: NatsServer) -> None:
    """The log loses everything that is in it, as it does when time passes; then other things come."""

    async def purged(js: JetStreamContext) -> None:
        last = (await js.stream_info("shardwatch")).state.last_seq
        await js.purge_stream("shardwatch", seq=last)  # the last head stays: a ship that runs has one

    server.ask(purged)


def test_a_log_is_a_mirror_for_all_who_read_it(state_dir: Path, root: Path, server: NatsServer, tmp_path: Path) -> None:
    """Also for those who begin, or were away, when the log does not have everything any more: they have it told again. Meanwhile
    ship and the server are killed.
    """
    service = Running(state_dir, settings_for(root, shards=1))
    sizes: dict[bytes, int | None] = {}
    late: dict[bytes, int | None] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(service.stop)
        with shipping(state_dir, server) as ship:
            first = stack.enter_context(following(server))
            assert_equal(root, service, first)
            client = stack.enter_context(FleetClient(tmp_path / "store", server.url, away_s=2.0))
            assert taken(client, "g", sizes) == 4 and present(sizes) == there(root, service)
            put(root / "f1.json", "xxx")
            server.kill()
            (root / "f2.json").unlink()
            server.start()
            assert_equal(root, service, first)
            deliver(ship.process.pid, signal.SIGKILL)
        with shipping(state_dir, server):
            put(root / "f3.json", "xxxx")
            assert_equal(root, service, first)
            assert taken(client, "g", sizes) == 0, "it was not away for long"
            assert present(sizes) == there(root, service)
            (root / "f4.json").unlink()
            client.sync("one", EQUAL_S)
            forget(server)
            for n in range(20):
                put(root / f"new{n}.json", "x" * n)  # there is something in each partition
            client.sync("one", EQUAL_S)
            assert taken(client, "g", sizes) >= 4, "it was told to begin again"
            assert present(sizes) == there(root, service), "what went is gone"
            forget(server)
            second = stack.enter_context(following(server))
            put(root / "f5.json", "yyyyy")
            assert_equal(root, service, first, second)
            other = stack.enter_context(FleetClient(tmp_path / "other", server.url, away_s=2.0))
            forget(server)
            for n in range(20):
                put(root / f"new{n}.json", "y" * n)
            client.sync("one", EQUAL_S)
            taken(other, "other", late)
            assert present(late) == there(root, service)
        generations = {body["generation"] for _, body in everything(server, "shardwatch") if body["type"] == "batch"}
        assert len(generations) == 1, "what is older is removed"
        forget(server)
        with pytest.raises(ServiceError, match="nobody ships it"):
            taken(stack.enter_context(FleetClient(tmp_path / "third", server.url, away_s=2.0)), "third", {})


async def taken_by_twin(server: NatsServer, store: Path) -> dict[bytes, int | None]:
    """What a group has that uses asyncio."""
    sizes: dict[bytes, int | None] = {}
    async with AsyncFleetClient(store, server.url, away_s=2.0) as client:
        async for batch in client.batches("twin", follow=False):
            sizes.update({os.fsencode(event.path): event.size for event in batch.events if not event.is_directory})
            await batch.ack()
    return sizes


def test_either_layout_has_a_stream_of_its_own(state_dir: Path, root: Path, server: NatsServer, tmp_path: Path) -> None:
    """A stream that was made for the other one is refused, with what helps. The log is kept as long as was asked for."""
    assert BATCHES_EXAMPLE.read_text().strip() in (ROOT / "docs/fleet.md").read_text()
    place = ["--state-dir", str(state_dir)]

    async def facts(js: JetStreamContext) -> tuple[float | None, int | None]:
        config = (await js.stream_info("log")).config
        return config.max_age, config.max_bytes

    with running(state_dir, settings_for(root, shards=1)) as service:
        with shipping(state_dir, server):
            service.client.sync(GUARD_S)
            eventually(lambda: len(asyncio.run(taken_by_twin(server, tmp_path / "twin"))) >= 31, EQUAL_S)
        refused = run("ship", server.url, "--source", "one", *place, check=False)
        assert refused.returncode == 2 and "it is as --layout batches wants it" in refused.stderr
        assert "give --layout batches" in refused.stderr and "--stream" in refused.stderr
        log = ["--layout", "batches", "--stream", "log", "--prefix", "log", "--keep-s", "3600", "--keep-bytes", str(1 << 30)]
        with Command("ship", server.url, "--source", "one", "--create", *log, *place) as ship:
            ship.complains("shipping one")
            assert server.ask(facts) == (3600, 1 << 30)
        refused = run("ship", server.url, "--source", "one", *log[:-3], "700", *place, check=False)
        assert refused.returncode == 2 and "max_age is 3600 s, and not 700 s" in refused.stderr
        refused = run("ship", server.url, "--source", "one", "--stream", "log", "--prefix", "log", *place, check=False)
        assert refused.returncode == 2 and "it is as --layout batches wants it" in refused.stderr
        wrong = run("ship", server.url, "--layout", "both", *place, check=False)
        assert wrong.returncode == 2 and "paths" in wrong.stderr
