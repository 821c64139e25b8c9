"""What the aggregator keeps for its whole life: its lock, its sockets, its pulse. Databases may come and go meanwhile."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from typing import Final

import zmq

from shardwatch.aggregator.calls import Envelope, Outgoing
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.life import Lock, Pulse
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX, WINDOW_FRAMES_MAX

log = logging.getLogger("shardwatch.aggregator")

_LOCK_WAIT_S: Final = 10.0
#: How long the last replies ("stopping") may take on their way, milliseconds.
_LINGER_MS: Final = 100
#: Exit code of one whose state directory is gone.
EXIT_GONE: Final = 75
#: Frames and requests taken off a connection before they are read: what an honest shard, or worker, may have under way.
_REQUESTS_QUEUED: Final = 1000


class Sockets:
    """Owned by one thread. Raises InUseError, OSError, zmq.ZMQError."""

    def __init__(self, layout: Layout) -> None:
        self._lock = Lock(layout.lock("aggregator"), wait_s=_LOCK_WAIT_S)
        self._context = zmq.Context()
        self.facts = self._bind(zmq.PULL, layout.endpoint(layout.facts_socket), WINDOW_FRAMES_MAX)
        self.acks = self._bind(zmq.PUB, layout.endpoint(layout.acks_socket), 1)
        self.extract = self._bind(zmq.ROUTER, layout.endpoint(layout.extract_socket), _REQUESTS_QUEUED)
        self.extract.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.pulse = Pulse(layout.pulse_socket)
        self.stopping = False
        self._wakeup_reader, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def _bind(self, kind: int, endpoint: str, queued: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, queued)
        socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        before = os.umask(0o177)  # an ipc socket is made with what the umask leaves: 0600
        try:
            socket.bind(endpoint)
        finally:
            os.umask(before)
        return socket

    def stop(self) -> None:
        """Asks for the end, from a signal handler; the signal itself wakes the poll."""
        self.stopping = True

    def poller(self, *, facts: bool) -> zmq.Poller:
        """Of requests, signals and standard input, and of facts if they can be taken."""
        poller = zmq.Poller()
        poller.register(self.extract, zmq.POLLIN)
        poller.register(self._wakeup_reader, zmq.POLLIN)
        if facts:
            poller.register(self.facts, zmq.POLLIN)
        with contextlib.suppress(OSError):
            mode = os.fstat(0).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                poller.register(0, zmq.POLLIN)
        return poller

    def wait(self, poller: zmq.Poller, timeout_ms: int) -> dict[object, int]:
        """What is ready. Sets `stopping` where standard input ended: supervisord is gone."""
        self.pulse.beat()
        ready = dict(poller.poll(timeout_ms))
        if self._wakeup_reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup_reader, 4096)
        if 0 in ready and not os.read(0, 4096):
            log.warning("standard input ended: supervisord is gone, leaving")
            self.stopping = True
        return ready

    def requests(self, most: int) -> list[Outgoing]:
        """Requests that are there, at most so many."""
        found = []
        for _ in range(most):
            try:
                parts = self.extract.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            found.append((parts[:-1], parts[-1]))
        return found

    def answer(self, envelope: Envelope, body: bytes) -> bool:
        """Sends a reply; False where nobody takes it: the worker went away, or reads nothing."""
        try:
            self.extract.send_multipart([*envelope, body], zmq.DONTWAIT)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def leave_if_replaced(self) -> None:
        """Ends the process at once if another state directory, or none, has taken the place of ours: what is there now, sockets
        of the same names too, is not ours to touch."""
        if not self._lock.in_place():
            log.error("the state directory is gone: leaving")
            os._exit(EXIT_GONE)

    def close(self) -> None:
        self.leave_if_replaced()
        self._context.destroy(linger=_LINGER_MS)
        self.pulse.close()
        os.close(self._wakeup_reader)
        os.close(self.wakeup_fd)
        self._lock.close()


def until(deadline: float) -> int:
    """Milliseconds of a poll that ends at a time of `time.monotonic`."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)
