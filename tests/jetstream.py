"""A nats-server of a test's own, on a port that the server chooses, with its streams in a folder of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import nats
import nats.js.errors
from nats.js.client import JetStreamContext
from session import deliver
from waiting import eventually

T = TypeVar("T")
#: Longest time in which a server is there: a guard, for a machine that stands still at times.
_START_S = 60.0


class NatsServer:
    """One server with JetStream. A server that was killed comes back at the same port, with the same streams.

    Args:
        home: an empty folder.
        more: lines of its configuration.
    """

    def __init__(self, home: Path, more: str = "") -> None:
        self._home = home
        self._port = -1
        home.mkdir(exist_ok=True)
        self._configuration = home / "nats.conf"
        self._configuration.write_text(
            f'listen: "127.0.0.1:-1"\nports_file_dir: "{home}"\njetstream {{ store_dir: "{home}/js" }}\n{more}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

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
            command = ["nats-server", "-c", str(self._configuration), *port]
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

        async def asked() -> T:
            client = await nats.connect(url or self.url, connect_timeout=30, max_reconnect_attempts=2)
            try:
                return await question(client.jetstream(timeout=30))
            finally:
                await client.close()

        return asyncio.run(asked())


def everything(server: NatsServer, stream: str, url: str | None = None) -> list[tuple[str, dict[str, Any]]]:
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
