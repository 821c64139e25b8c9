"""A program of a service that is made to crash again and again, for as long as a test wants it to."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import psutil
from session import deliver


class Supervised(Protocol):
    """A service, ready or not."""

    process: subprocess.Popen[bytes]

    def programs(self) -> dict[str, dict[str, Any]]:
        """supervisord's view, by name."""


class Crashes:
    """A thread that kills every process of one shard with -9, save for stand-ins (or for nobody)."""

    def __init__(self, service: Supervised, shard: str, *, stand_ins_too: bool = False) -> None:
        self.kills = 0
        self.error: BaseException | None = None
        self._service = service
        self._shard = shard
        self._spared = () if stand_ins_too else ("stand-in",)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crashes")
        self._thread.start()

    def _run(self) -> None:
        try:
            killed = 0
            while not self._stop.wait(0.01):
                row = self._service.programs().get(self._shard)
                if row is not None and row["pid"] not in (0, killed) and row["breaker"] not in self._spared:
                    killed = int(row["pid"])
                    with contextlib.suppress(ProcessLookupError):
                        deliver(killed, signal.SIGKILL)
                        self.kills += 1
                alive = living(self._service, self._shard)
                assert len(alive) <= 1, alive
        except BaseException as error:
            self.error = error
            raise

    def stop(self) -> None:
        """Idempotent. Raises what ended the thread."""
        self._stop.set()
        self._thread.join(30)
        if self.error is not None:
            raise RuntimeError("two processes of one shard, or the thread died") from self.error


@contextlib.contextmanager
def crashing(service: Supervised, shard: str, **options: bool) -> Iterator[Crashes]:
    it = Crashes(service, shard, **options)
    try:
        yield it
    finally:
        it.stop()


def living(service: Supervised, shard: str) -> list[int]:
    """Processes of a shard that live, by their environment."""
    found = []
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(service.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE and child.environ().get("SHARD_ID") == shard:
                    found.append(child.pid)
    return found
