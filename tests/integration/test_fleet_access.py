"""What servers demand of `ship` and of workers: certificates on both sides, and users who may do what docs/fleet.md lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from certificates import Authority
from cli_process import Command, run
from jetstream import NatsServer
from running import running, settings_for

from shardwatch import ShardwatchError, UsageError
from shardwatch.fleet import AsyncFleetClient, FleetClient

pytestmark = [
    pytest.mark.needs("nats-server", "openssl"), pytest.mark.usefixtures("no_leaks"), pytest.mark.xdist_group("fleet_access"),
]  # fmt: skip

GUARD_S = 60.0
_INBOX = "_INBOX.>"
#: As docs/fleet.md lists them, for the stream and the prefix that are the default.
SHIP = (
    "shardwatch.one.>", "$JS.API.STREAM.INFO.shardwatch", "$JS.API.STREAM.MSG.GET.shardwatch", "$JS.API.STREAM.PURGE.shardwatch",
    "$JS.API.STREAM.CREATE.shardwatch",
)  # fmt: skip
WORKER = (
    "$JS.API.STREAM.INFO.shardwatch", "$JS.API.STREAM.INFO.KV_shardwatch-groups", "$JS.API.STREAM.MSG.GET.KV_shardwatch-groups",
    "$JS.API.CONSUMER.CREATE.shardwatch.>", "$JS.API.CONSUMER.CREATE.KV_shardwatch-groups.>",
    "$JS.API.CONSUMER.MSG.NEXT.shardwatch.*", "$JS.API.CONSUMER.MSG.NEXT.KV_shardwatch-groups.*", "$KV.shardwatch-groups.>",
    "$JS.API.STREAM.CREATE.KV_shardwatch-groups",
)  # fmt: skip
SYNC = "shardwatch-sync.>"
#: Needed only where an answer is lost.
_SELDOM = "$JS.API.STREAM.MSG.GET.KV_shardwatch-groups"
#: Needed only by the first worker.
_BUCKET = "$JS.API.STREAM.CREATE.KV_shardwatch-groups"


class User(NamedTuple):
    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]

    def line(self) -> str:
        """Of a server's configuration."""
        permissions = {"publish": list(self.publish) or {"deny": ">"}, "subscribe": list(self.subscribe) or {"deny": ">"}}
        return json.dumps({"user": self.name, "password": "word", "permissions": permissions})


def without(name: str, user: User) -> list[User]:
    """The same user, each time without one of the permissions."""
    lacking = [user._replace(publish=tuple(p for p in user.publish if p != left)) for left in user.publish]
    return [one._replace(name=f"{name}{n}") for n, one in enumerate([*lacking, user._replace(subscribe=())])]


SHIP_USER = User("ship", (*SHIP, _INBOX), (_INBOX, "shardwatch-sync.one"))
WORKER_USER = User("worker", (*WORKER, SYNC), (_INBOX,))
LACKING_SHIPS = without("ship-", SHIP_USER._replace(publish=SHIP))
LACKING_WORKERS = without("worker-", WORKER_USER._replace(publish=WORKER))
USERS = [SHIP_USER, WORKER_USER, *LACKING_SHIPS, *LACKING_WORKERS]


class Guarded(NamedTuple):
    """A server with certificates and users."""

    server: NatsServer
    home: Path

    def environ(self, user: str, certificate: str = "client") -> dict[str, str]:
        """Of a program that is this user."""
        return {
            "NATS_URL": self.server.url.replace("nats://", f"tls://{user}:word@"),
            "SSL_CERT_FILE": str(self.home / "authority.pem"),
            "NATS_CERT": str(self.home / f"{certificate}.pem"), "NATS_KEY": str(self.home / f"{certificate}.key"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    home = tmp_path_factory.mktemp("guarded") / "tls"
    authority = Authority(home)
    server, _ = authority.signed("server"), authority.signed("client")
    tls = f'cert_file: "{server.certificate}", key_file: "{server.key}", ca_file: "{authority.certificate}", verify: true'
    users = ", ".join(user.line() for user in USERS)
    it = NatsServer(home.parent / "nats", f"tls {{ {tls} }}\nauthorization {{ users: [{users}] }}")
    try:
        yield Guarded(it, home)
    finally:
        it.kill()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(5):
        (tree / f"f{n}.json").write_text("x" * n)
    return tree


def sizes_of(batches: list[Any]) -> dict[str, int | None]:
    return {Path(event.path).name: event.size for batch in batches for event in batch.events}


def refused(guarded: Guarded, monkeypatch: pytest.MonkeyPatch, store: Path, user: str) -> str:
    """What a worker is told."""
    for name, value in guarded.environ(user).items():
        monkeypatch.setenv(name, value)
    with FleetClient(store) as client, pytest.raises(ShardwatchError) as found:
        list(client.batches("g", follow=False))
    assert isinstance(found.value, UsageError) and "docs/fleet.md" in found.value.hint, found.value
    return str(found.value)


def test_permissions_and_certificates(
    state_dir: Path, tmp_path: Path, tree: Path, guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/fleet.md lists is enough for `ship`, both clients and their syncs, and nothing of it can be left out: what is
    missing is named at once, by `ship` and by workers.
    """
    arguments = ["ship", "--source", "one", "--create", "--state-dir", str(state_dir)]

    def ship_refused(user: str, certificate: str = "client", **more: str) -> str:
        done = run(*arguments, check=False, environ={**guarded.environ(user, certificate), **more})
        assert done.returncode in (2, 3) and "eof_received" not in done.stderr, done.stderr
        return done.stderr

    with running(state_dir, settings_for(tree, shards=1)) as service:
        create = LACKING_SHIPS[SHIP.index("$JS.API.STREAM.CREATE.shardwatch")]
        assert "stream.create" in ship_refused(create.name)
        assert "wants a certificate" in ship_refused("ship", NATS_CERT="", NATS_KEY="")
        Authority(tmp_path / "other").signed("client")
        strange = {"NATS_CERT": str(tmp_path / "other/client.pem"), "NATS_KEY": str(tmp_path / "other/client.key")}
        assert "refuses our certificate" in ship_refused("ship", **strange)
        assert "can't be trusted" in ship_refused("ship", SSL_CERT_FILE=str(tmp_path / "other/authority.pem"))
        environ: dict[str, Any] = guarded.environ("ship")
        with Command(*arguments, **environ) as ship:
            ship.complains("shipping one")
            first = LACKING_WORKERS[WORKER.index(_BUCKET)].name
            assert _BUCKET.lower() in refused(guarded, monkeypatch, tmp_path / first, first)
            for name, value in guarded.environ("worker").items():
                monkeypatch.setenv(name, value)
            there = {f"f{n}.json": n for n in range(5)}
            with FleetClient(tmp_path / "store") as client:
                assert client.sync("one", GUARD_S).source == "one"
                batches = []
                for batch in client.batches("g", follow=False):
                    batches.append(batch)
                    batch.ack()
                assert sizes_of(batches) == there
            assert asyncio.run(read_by_the_twin(tmp_path / "twin")) == there
            for user, subject in zip(LACKING_WORKERS, (*WORKER, _INBOX), strict=True):
                if subject in (_SELDOM, _BUCKET):  # the bucket is there by now
                    continue
                said = refused(guarded, monkeypatch, tmp_path / user.name, user.name)
                assert subject.rstrip(".>*").lower() in said.lower(), said
        for user, subject in zip(LACKING_SHIPS, (*SHIP, _INBOX), strict=True):
            if "CREATE" in subject:
                continue
            service.client.reset("ship")  # all of it comes again, so that there is something to remove
            said = ship_refused(user.name)
            assert "forbids it" in said and subject.rstrip(".>").lower() in said.lower(), said


async def read_by_the_twin(store: Path) -> dict[str, int | None]:
    batches = []
    async with AsyncFleetClient(store) as client:
        await client.sync("one", GUARD_S)
        async for batch in client.batches("g", follow=False):
            batches.append(batch)
            await batch.ack()
    return sizes_of(batches)
