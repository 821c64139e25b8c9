"""A service whose changes are shipped to a nats-server of its own, and what each part costs."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import processes
import session
from jetstream import NatsServer
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from rows import OURS
from sides import GUARD_S, HERE, ConsumerProcess, Service, Side

#: As `ship` does it where nothing else is said.
SOURCE = "perf"


class HeadsSeen:
    """What a source's heads say, with the moment at which each was published. It listens in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._changed = threading.Condition()
        self._last: dict[str, Any] = {}
        self._listens = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._follow(),))
        self._thread.start()
        assert self._listens.wait(GUARD_S)

    async def _follow(self) -> None:
        client = await nats.connect(self._url)
        try:
            await client.subscribe(f"shardwatch.{SOURCE}.head", cb=self._came)
            await client.flush()
            self._listens.set()
            await self._over.wait()
        finally:
            await client.close()

    async def _came(self, message: Msg) -> None:
        with self._changed:
            self._last = {**json.loads(message.data), "at": time.monotonic()}
            self._changed.notify()

    def until(self, condition: Callable[[dict[str, Any]], bool], guard_s: float) -> dict[str, Any]:
        """The first head that is so, with `at`, in monotonic seconds. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._last) and condition(self._last), guard_s):
                raise TimeoutError(f"no such head within {guard_s:g} s; the last one: {self._last}")
            return dict(self._last)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()


class Shipping(Side):
    """A service on a tree, ready; a nats-server with an empty store; and `ship`, once it is begun, with further arguments. A
    context manager.
    """

    def __init__(self, tree: Path, *more: str) -> None:
        super().__init__(OURS)
        self._more = more
        self.home = session.place(where=session.disk())
        self.server = NatsServer(self.home / "nats")
        self.service = Service(tree, consumer=False)
        self.heads = HeadsSeen(self.server.url)
        self.ship: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        super().close()
        if self.ship is not None:
            session.deliver(self.ship.pid, signal.SIGKILL)
            self.ship.wait()
        self.heads.close()
        self.service.close()
        self.server.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def begin(self, guard_s: float) -> float:
        """Starts `ship`. Seconds from its launch until the stream has every file."""
        command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "ship", self.server.url, "--create"]
        command += ["--source", SOURCE, "--state-dir", str(self.service.state_dir), *self._more]
        begin = time.monotonic()
        self.ship = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.completed(0, guard_s) - begin

    def again(self, guard_s: float) -> float:
        """Begins a new generation: every file is shipped again. Seconds until the stream has it, and nothing older."""
        last = self.heads.until(lambda head: bool(head["complete"]), GUARD_S)
        begin = time.monotonic()
        self.service.client.reset("ship")
        return self.completed(last["generation"], guard_s) - begin

    def completed(self, generation: int, guard_s: float) -> float:
        """When a later generation was complete."""
        return float(self.heads.until(lambda head: head["generation"] > generation and head["complete"], guard_s)["at"])

    def paths(self) -> int:
        """Of which the stream holds a state."""

        async def asked(stream: JetStreamContext) -> int:
            found = (await stream.stream_info("shardwatch", subjects_filter=f"shardwatch.{SOURCE}.*.end")).state
            return found.messages - len(found.subjects or {}) - 1  # the head

        return self.server.ask(asked)

    def disk_bytes(self) -> int:
        """Of the server's store."""
        return sum(path.stat().st_blocks * 512 for path in (self.home / "nats/js").rglob("*"))

    def worker(self, group: str) -> None:
        """Starts a FleetClient in a process of its own. It is there once it has received every file."""
        command = [sys.executable, str(HERE / "use_fleet.py"), self.server.url, str(self.home / f"{group}.store"), group]
        self.consumer = ConsumerProcess(command, "")

    def usage(self) -> processes.Usage:
        """Of `ship`, of the service, of the server and of the consumer, each by its name."""
        assert self.ship is not None
        service = self.service.usage()
        names = {"ship": cpu_of(self.ship.pid), "server": cpu_of(self.server.pid), **service.cpu_by_name}
        consumer_s = None if self.consumer is None else cpu_of(self.consumer.pid)
        return processes.Usage(sum(names.values()), cpu_by_name=names, consumer_s=consumer_s)


def cpu_of(pid: int) -> float:
    """Processor seconds of one process."""
    return processes.usage([pid]).cpu_s
