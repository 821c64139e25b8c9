"""A consumer of docs/fleet.md, running beside a test."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType

import nats
import nats.errors
from cli_process import GUARD_S
from jetstream import NatsCluster, NatsServer


class Follower:
    """The example, running in a thread."""

    def __init__(self, server: NatsServer | NatsCluster, example: ModuleType) -> None:
        self.example = example
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._follow())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _follow(self) -> None:
        while not self._over.is_set():
            following = asyncio.ensure_future(self.example.follow(self._server.url, "shardwatch", "shardwatch"))
            over = asyncio.ensure_future(self._over.wait())
            await asyncio.wait({following, over}, return_when=asyncio.FIRST_COMPLETED)
            for task in (following, over):
                task.cancel()
            for ended in await asyncio.gather(following, over, return_exceptions=True):
                if not isinstance(ended, (asyncio.CancelledError, nats.errors.Error, OSError, bool)):
                    raise RuntimeError("the example ended") from ended
            await asyncio.sleep(0.05)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(GUARD_S)
