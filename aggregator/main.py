"""The aggregator process: one loop over the facts that come in and the requests of extract workers."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zmq

from shardwatch.aggregator.engine import Engine
from shardwatch.aggregator.group_store import GroupStore
from shardwatch.aggregator.index_open import open_index
from shardwatch.aggregator.receive import Receiver
from shardwatch.aggregator.serve import Server
from shardwatch.shard.contract.errors import ShardwatchError, WireError
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.life import Lock, Pulse, die_with_parent
from shardwatch.shard.contract.limits import BEAT_S, FRAME_BYTES_MAX, SILENT_S, next_beat
from shardwatch.shard.contract.log import open_log
from shardwatch.shard.contract.planfile import read_plan
from shardwatch.shard.contract.settings import Settings, read_settings
from shardwatch.shard.contract.wire import Beat, decode_up, encode

log = logging.getLogger("shardwatch.aggregator")

_LOCK_WAIT_S = 10.0
#: Entries and time after which a transaction is committed while more frames wait.
_COMMIT_ENTRIES = 20_000
_COMMIT_S = 0.05
#: How long the last replies ("stopping") may take on their way, milliseconds.
_LINGER_MS = 100
#: Requests answered before facts are looked at again.
_REQUESTS = 200
#: Seconds between collections of tombstones that no group needs any more.
_COLLECT_S = 60.0


class Aggregator:
    """Owns the sockets, the index and the groups."""

    def __init__(self, layout: Layout, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock(layout.lock("aggregator"), wait_s=_LOCK_WAIT_S)
        self._index, notes = open_index(layout.index_db, settings)
        self._receiver = Receiver(self._index, lambda: read_plan(layout.plan))
        self._index.commit()
        self._store = GroupStore(layout.groups_db, durability=settings.durability)
        self._engine = Engine(self._index, self._receiver, settings, notes)
        self._server = Server(self._index, self._store, self._engine, settings)
        self._context = zmq.Context()
        os.umask(0o077)  # ipc sockets are made with what the umask leaves
        self._facts = self._bind(zmq.PULL, layout.endpoint(layout.facts_socket), rcvhwm=4096)
        self._acks = self._bind(zmq.PUB, layout.endpoint(layout.acks_socket))
        self._extract = self._bind(zmq.ROUTER, layout.endpoint(layout.extract_socket))
        self._extract.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._pulse = Pulse(layout.pulse_socket)
        self._index.on_progress = self._pulse.beat
        self._stopping = False
        self._beat_at = 0.0
        self._turned_at = time.monotonic()
        self._collect_at = time.monotonic() + _COLLECT_S

    def _bind(self, kind: int, endpoint: str, *, rcvhwm: int = 1000) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, rcvhwm)
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        socket.bind(endpoint)
        return socket

    def stop(self) -> None:
        self._stopping = True

    def run(self, wakeup_fd: int) -> None:
        """Runs until `stop`, or until standard input ends (supervisord is dead)."""
        poller = zmq.Poller()
        poller.register(self._facts, zmq.POLLIN)
        poller.register(self._extract, zmq.POLLIN)
        poller.register(wakeup_fd, zmq.POLLIN)
        if stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode):
            poller.register(0, zmq.POLLIN)
        while not self._stopping:
            self._pulse.beat()
            ready = dict(poller.poll(self._timeout_ms()))
            self._discount_stall()
            if wakeup_fd in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup_fd, 4096)
            if 0 in ready and not os.read(0, 4096):
                log.warning("standard input ended: supervisord is gone, leaving")
                return
            if self._facts in ready:
                self._take_facts()
            if self._extract in ready:
                self._take_requests()
            now = time.monotonic()
            if now >= self._beat_at:
                self._beat(now)
            self._receiver.settle_syncs(now)
            self._answer(self._server.tick())
            self._reply(touched_only=True)

    def _timeout_ms(self) -> int:
        now = time.monotonic()
        wait = self._beat_at - now
        due = self._server.next_due()
        if due is not None:
            wait = min(wait, due)
        deadline = self._receiver.next_deadline()
        if deadline is not None:
            wait = min(wait, deadline - now)
        return max(0, int(wait * 1000) + 1)

    def _discount_stall(self) -> None:
        """A judge that was itself stopped (a suspended laptop) does not blame the others for its silence."""
        now = time.monotonic()
        if now - self._turned_at > SILENT_S:
            self._receiver.discount(now - self._turned_at)
        self._turned_at = now

    # -- facts

    def _take_facts(self) -> None:
        begun = time.monotonic()
        entries = 0
        while entries < _COMMIT_ENTRIES:
            try:
                body = self._facts.recv(zmq.DONTWAIT)
            except zmq.Again:
                break
            now = time.monotonic()
            try:
                message = decode_up(body)
            except WireError as error:
                self._engine.refused += 1
                log.warning("dropped: %s", error)
                continue
            if isinstance(message, Beat):
                self._receiver.beat(message, now)
            else:
                entries += self._receiver.frame(message, now)
            if now - begun >= _COMMIT_S:
                break
        self._index.commit()
        self._receiver.settle_syncs(time.monotonic())
        self._reply(touched_only=True)
        self._answer(self._server.on_commit())

    def _reply(self, *, touched_only: bool) -> None:
        for shard, reply in self._receiver.replies(touched_only=touched_only):
            self._acks.send_multipart([shard.encode() + b"\0", encode(reply)])

    def _beat(self, now: float) -> None:
        self._beat_at = next_beat(now, BEAT_S)
        if self._receiver.reload_plan():
            self._index.commit()
        self._reply(touched_only=False)
        if now >= self._collect_at:
            self._collect_at = now + _COLLECT_S
            old = time.time_ns() - int(self._settings.replay_s * 1e9)
            self._index.collect(self._server.passed(), old)

    # -- requests

    def _take_requests(self) -> None:
        requests = []
        for _ in range(_REQUESTS):
            try:
                parts = self._extract.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            requests.append((parts[:-1], parts[-1]))
        self._answer(self._server.handle_many(requests))

    def _answer(self, replies: list[tuple[list[bytes], bytes]]) -> None:
        for envelope, body in replies:
            try:
                self._extract.send_multipart([*envelope, body], zmq.DONTWAIT)
            except zmq.ZMQError as error:
                if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                    raise
                self._server.undelivered(body)  # the worker went away, or takes nothing: its batch is free at once

    def close(self) -> None:
        """Commits, and leaves exact positions on disk."""
        self._answer(self._server.close())
        self._store.close()
        self._index.close()
        self._context.destroy(linger=_LINGER_MS)
        self._pulse.close()
        self._lock.close()


def serve(layout: Layout, settings: Settings, install: Callable[[Callable[[], None]], int]) -> None:
    """Runs one aggregator; `install` gets its `stop` and returns a descriptor that becomes readable with every signal."""
    aggregator = Aggregator(layout, settings)
    try:
        aggregator.run(install(aggregator.stop))
    finally:
        aggregator.close()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="shardwatch-aggregator", description="The index and the groups of a service; supervisord starts it."
    )
    parser.add_argument("--state-dir", required=True, type=Path)
    options = parser.parse_args(argv)
    die_with_parent()
    layout = Layout(options.state_dir.absolute())
    open_log()

    def install(stop: Callable[[], None]) -> int:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGTERM, lambda *_: stop())
        signal.signal(signal.SIGINT, lambda *_: stop())
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        return reader

    try:
        serve(layout, read_settings(layout.settings), install)
    except (ShardwatchError, OSError) as error:
        log.error("%s", error)
        print(f"shardwatch-aggregator: error: {error}", file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
