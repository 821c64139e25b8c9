"""The extract socket of a service over a real index without shards, in a thread: clients are tested against it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import zmq
from harness_serve import FakeEngine
from told_index import ToldIndex

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.server.serve import Server
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings

T = TypeVar("T")


class FakeService:
    """A ROUTER in the state directory. `do` runs a function in the service's thread, between two turns."""

    def __init__(self, state_dir: Path, **settings: Any) -> None:
        self.layout = Layout(state_dir)
        self.layout.run.mkdir(exist_ok=True)
        defaults: dict[str, Any] = {"roots": (), "include": (), "exclude": (), "batch_wait_ms": 0}
        self.settings = Settings(**(defaults | settings))
        self.index = ToldIndex()
        self.engine = FakeEngine()
        self.engine.syncs = _DoneSyncs()
        #: Requests are taken and thrown away: a service that hangs.
        self.deaf = False
        self._work: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        self._up = threading.Event()
        self._end = "run"
        self._thread: threading.Thread | None = None

    def start(self) -> FakeService:
        self._end = "run"
        self._up.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(30)
        return self

    def stop(self, *, clean: bool = True) -> None:
        if self._thread is not None:
            self._end = "stop" if clean else "crash"
            self._thread.join(30)
            assert not self._thread.is_alive()
            self._thread = None

    def restart(self, *, clean: bool = True) -> None:
        self.stop(clean=clean)
        self.start()

    def do(self, work: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future.result(30)

    def put(self, *paths: str | bytes, size: int = 1) -> None:
        """Files that are there now."""
        for path in paths:
            exact = path if isinstance(path, bytes) else path.encode()
            self.do(lambda p=exact: self.index.put(p, size=size))  # type: ignore[misc]

    def _run(self) -> None:
        self.index.reopen()
        store = GroupStore(self.layout.groups_db)
        registry = Registry(self.index, store, self.settings, time.monotonic(), time.time)
        server = Server(self.index, registry, self.engine, self.settings)
        context = zmq.Context()
        socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.bind(Layout.endpoint(self.layout.extract_socket))
        self._up.set()
        while self._end == "run":
            out = []
            if socket.poll(min(10, int(server.next_due() * 1000) + 1)):
                parts = socket.recv_multipart()
                if not self.deaf:
                    out += server.handle(parts[:-1], parts[-1])
            while not self._work.empty():
                work, future = self._work.get()
                future.set_result(work())
                out += server.on_commit()
            for reply in out + server.tick():
                try:
                    socket.send_multipart([*reply.envelope, reply.body])
                except zmq.ZMQError:
                    if reply.lease is not None:
                        server.undelivered(reply.lease)
        if self._end == "stop":
            for reply in server.close():
                with contextlib.suppress(zmq.ZMQError):
                    socket.send_multipart([*reply.envelope, reply.body])
            store.close()
        else:
            store.abandon()
        self.index.close()
        context.destroy(1000 if self._end == "stop" else 0)
        self.layout.extract_socket.unlink(missing_ok=True)


class _DoneSyncs(dict[int, Any]):
    """Every sync is done at once."""

    def __getitem__(self, key: int) -> Any:
        return {"ok": True}
