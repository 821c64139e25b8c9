"""`shardwatch ship` against a real nats-server: whatever is killed or lost, consumers elsewhere end equal to the tree.

Each test has its own server. Two consumers apply the rule of docs/fleet.md, which they take from its example: one runs through,
the other begins at the end of the test.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import nats_credentials
import pytest
from cli_process import GUARD_S, Command, put, run
from fleet_example import EXAMPLE, fleet_example
from fleet_follower import Follower
from fleet_scene import EQUAL_S, assert_shipped, change, heads, shipping
from jetstream import NatsServer, everything
from nats.js.client import JetStreamContext
from running import Running, running, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.protocol.bodies import NOTHING, Message
from shardwatch.bridge.protocol.layouts import StreamWish

pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.usefixtures("no_leaks")]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def follower(server: NatsServer) -> Iterator[Follower]:
    it = Follower(server, fleet_example())
    try:
        yield it
    finally:
        it.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for n in range(30):
        (root / f"f{n}.json").write_text("{}")
    (root / os.fsdecode(b"b\xe9.json")).write_text("{}")
    return root


def test_everything_that_can_be_killed_is_killed(state_dir: Path, root: Path, server: NatsServer, follower: Follower) -> None:
    """ship, the service and the server, with -9, while files change."""
    service = Running(state_dir, settings_for(root, shards=1))
    try:
        with shipping(state_dir, server) as ship:
            assert_shipped(service, server, root, follower.example)
            change(root, 1)
            server.kill()
            change(root, 2)
            server.start()
            assert_shipped(service, server, root, follower.example)
            change(root, 3)
            deliver(ship.process.pid, signal.SIGKILL)
            change(root, 4)
        with shipping(state_dir, server):
            service.kill("aggregator")
            change(root, 5)
            assert_shipped(service, server, root, follower.example)
            generation = heads(server)["one"]["generation"]
            service.kill_all()
            service.stop()
            change(root, 6)
            service = Running(state_dir, settings_for(root, shards=1))
            assert_shipped(service, server, root, follower.example)
            assert heads(server)["one"]["generation"] == generation, "nothing was lost, so nothing is shipped again"
    finally:
        service.stop()


def test_what_is_lost_is_shipped_again(state_dir: Path, root: Path, server: NatsServer, follower: Follower) -> None:
    """The group, the index, and the stream; a file that goes while nobody looks goes from mirrors that run, too."""
    settings = settings_for(root, shards=1)
    with running(state_dir, settings) as service, shipping(state_dir, server):
        assert_shipped(service, server, root, follower.example)
        service.client.drop("ship")
        change(root, 1)
        assert_shipped(service, server, root, follower.example)
        server.ask(lambda js: js.delete_stream("shardwatch"))
        change(root, 2)
        assert_shipped(service, server, root, follower.example)
    (root / "kept.json").unlink()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (state_dir / name).unlink(missing_ok=True)
    with running(state_dir, settings) as service, shipping(state_dir, server):
        change(root, 3)
        assert_shipped(service, server, root, follower.example)


def test_another_number_of_partitions(state_dir: Path, root: Path, server: NatsServer, follower: Follower) -> None:
    """Every path has another subject. A file that went in the meantime goes from mirrors that run. Who is killed after the last
    batch of a generation, and before it is said to be complete, says so when it is started again.
    """
    with running(state_dir, settings_for(root, shards=1)) as service:
        with shipping(state_dir, server, "--partitions", "12"):
            assert_shipped(service, server, root, follower.example)
        (root / "f0.json").unlink()
        service.client.sync(GUARD_S)
        service.client.drop("ship")  # nobody is told that it went
        with shipping(state_dir, server, "--partitions", "3"):
            assert_shipped(service, server, root, follower.example)
            subjects = {subject.split(".")[2] for subject, body in everything(server, "shardwatch") if body["type"] == "event"}
            assert subjects <= {"0", "1", "2"}
            ended = heads(server)["one"]["life"]
        notebook = state_dir / "ship.json"
        notebook.write_text(notebook.read_text().replace('"complete":true', '"complete":false'))  # killed just before that
        with shipping(state_dir, server, "--partitions", "3"):
            eventually(lambda: (head := heads(server)["one"])["complete"] and head["life"] != ended, EQUAL_S)


def test_two_services_are_two_sources(
    state_dir: Path, tmp_path: Path, root: Path, server: NatsServer, follower: Follower
) -> None:
    """Each has its own files in the stream. A name that another service ships is refused, until it is taken over."""
    other = tmp_path / "other"
    other.mkdir()
    put(other / "a.json", "{}")
    one, two = state_dir / "1", state_dir / "2"
    for place in (one, two):
        place.mkdir(mode=0o700)
    with running(one, settings_for(root, shards=1)) as first, running(two, settings_for(other, shards=1)) as second:
        with shipping(one, server):
            with shipping(two, server, source="two"):
                assert_shipped(first, server, root, follower.example)
                assert_shipped(second, server, other, follower.example, source="two")
                refused = run("ship", server.url, "--source", "two", "--state-dir", str(one), check=False)
                assert refused.returncode == 4 and "another `shardwatch ship` is running" in refused.stderr
            refused = run("ship", server.url, "--source", "one", "--state-dir", str(two), check=False)
            assert refused.returncode == 4 and "is shipped by another service" in refused.stderr
            assert_shipped(first, server, root, follower.example)
        with shipping(two, server, "--take-over", source="one"):
            assert_shipped(second, server, other, follower.example, source="one")
        refused = run("ship", server.url, "--source", "one", "--state-dir", str(one), check=False)
        assert refused.returncode == 4 and "--take-over" in refused.stderr


def test_what_cannot_be_used_is_refused_with_a_remedy(state_dir: Path, tmp_path: Path, root: Path, server: NatsServer) -> None:
    """Nothing is published then, and no credentials are shown."""
    locked = NatsServer(tmp_path / "locked", 'authorization { user: "u", password: "secret" }')
    narrow = NatsServer(tmp_path / "narrow", "max_payload: 4096")

    def refused(url: str, *more: str, **environ: str) -> str:
        done = run("ship", url, "--source", "one", "--state-dir", str(state_dir), *more, check=False, environ=environ)
        assert done.returncode in (2, 3), done.stderr
        assert "secret" not in done.stderr and "wrong" not in done.stderr
        return done.stderr

    async def other_settings(js: JetStreamContext) -> None:
        await js.add_stream(name="old", subjects=["shardwatch.>"])

    try:
        with running(state_dir, settings_for(root, shards=1)) as service:
            assert "give --create" in refused(server.url)
            assert "2.10.20 is needed" in refused(server.url, "--create", "--replicas", "3")
            server.ask(other_settings)
            assert "discard is old, and must be new" in refused(server.url, "--stream", "old")
            assert "overlap" in refused(server.url, "--create")
            assert "set max_payload" in refused(narrow.url, "--create")
            assert "offers no TLS" in refused(server.url.replace("nats:", "tls:"), "--create"), "nor is it shipped in plain text"
            assert "NATS_CREDS" in refused(locked.url)
            assert "NATS_CREDS" in refused(locked.url.replace("//", "//u:secret@"))
            with_password = locked.url.replace("//", "//u:wrong@")
            found = run("ship", "--state-dir", str(state_dir), check=False, environ={"NATS_URL": with_password})
            assert found.returncode == 2 and "refuses the credentials" in found.stderr and "wrong" not in found.stderr
            narrow.kill()
            assert "no NATS server answers" in refused(narrow.url)
            assert "ship" not in {row["name"] for row in service.client.groups()}, "nothing has begun"
            with_password = locked.url.replace("//", "//u:secret@")
            more = ["--source", "one", "--create", "--state-dir", str(state_dir)]
            with Command("ship", *more, NATS_URL=with_password) as ship:
                ship.complains("shipping one")
                files = len(walk(root, service.settings))
                eventually(lambda: len(everything(locked, "shardwatch", with_password)) > files, EQUAL_S)
                assert ship.end(signal.SIGTERM) == 143
                assert "secret" not in ship.errors()
    finally:
        locked.kill()
        narrow.kill()


def test_a_file_of_credentials(state_dir: Path, tmp_path: Path, root: Path) -> None:
    """A server that knows its users by signed tokens lets in whoever has such a file, and nobody else."""
    good, bad = nats_credentials.made(), nats_credentials.made()
    files = [tmp_path / "good.creds", tmp_path / "bad.creds"]
    for file, credentials in zip(files, (good, bad), strict=True):
        file.write_text(credentials.file)
    server = NatsServer(tmp_path / "nats", good.configuration)
    more = [server.url, "--source", "one", "--create", "--state-dir", str(state_dir)]
    try:
        with running(state_dir, settings_for(root, shards=1)):
            for environ in ({}, {"NATS_CREDS": str(files[1])}):
                refused = run("ship", *more, check=False, environ=environ)
                assert refused.returncode == 2 and "refuses the credentials" in refused.stderr
            seed = good.file.index("\nSU") + 20
            files[1].write_text(good.file[:seed] + ("B" if good.file[seed] == "A" else "A") + good.file[seed + 1 :])
            refused = run("ship", *more, check=False, environ={"NATS_CREDS": str(files[1])})
            assert refused.returncode == 2 and "refuses the credentials" in refused.stderr, "the checksum of its key is wrong"
            files[1].write_text("nothing of that kind")
            refused = run("ship", *more, check=False, environ={"NATS_CREDS": str(files[1])})
            assert refused.returncode == 2 and "NATS_CREDS" in refused.stderr
            with Command("ship", *more, NATS_CREDS=str(files[0])) as ship:
                ship.complains("shipping one")
    finally:
        server.kill()


@pytest.mark.parametrize("below", [0, 1, 2, 3])
def test_what_is_removed_has_a_lower_sequence(server: NatsServer, below: int) -> None:
    """Also where nothing has: the first message of a stream is the first of its first generation."""

    async def purged() -> None:
        broker = await Broker.connected(access(server.url, {}))
        try:
            await broker.create("shardwatch", "shardwatch.>", StreamWish())
            messages = [Message(f"shardwatch.{n}", NOTHING, b"{}") for n in range(2)]
            assert await broker.put("shardwatch", [(message, 0) for message in messages]) == [1, 2]
            await broker.purge("shardwatch", "shardwatch.>", below)
        finally:
            await broker.close()

    asyncio.run(purged())
    left = [subject for subject, _ in everything(server, "shardwatch")]
    assert left == ["shardwatch.0", "shardwatch.1"][max(0, below - 1) :]


def test_the_example_of_the_docs_is_the_file_that_runs(state_dir: Path, root: Path, server: NatsServer) -> None:
    """docs/fleet.md shows it, and it says what it applies."""
    assert EXAMPLE.read_text().strip() in (ROOT / "docs/fleet.md").read_text()
    with running(state_dir, settings_for(root, shards=1)), shipping(state_dir, server):
        command = [sys.executable, str(EXAMPLE), server.url, "shardwatch", "shardwatch"]
        with Command(command=command) as example:
            path = os.fsencode(root / "f0.json")
            while example.line() != b"created one " + path:
                pass  # the other files
            (root / "f0.json").unlink()
            while example.line() != b"deleted one " + path:
                pass
