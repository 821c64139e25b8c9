"""What the aggregator keeps for its whole life: its lock, its sockets and its pulse. Databases may be closed and opened in
the meantime.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import selectors
import stat
import time
from collections.abc import Iterator
from typing import Any, Final

from shardwatch.shard.contract.process.life import Lock, Pulse
from shardwatch.shard.contract.state.layout import Layout

from ..protocol.messages import RefusedError
from ..server.call import Call, Envelope, LeaseName, Outgoing
from ..transport.door import TURNED_AWAY_MAX, Door

log = logging.getLogger("shardwatch.aggregator")

_LOCK_WAIT_S: Final = 10.0
#: How long the last replies ("stopping") may take on their way, seconds.
_LINGER_S: Final = 0.1
#: Exit code of one whose state directory is gone.
EXIT_GONE: Final = 75
#: Descriptors for everything but connections: databases, logs, what a library opens for a moment.
_FDS_RESERVED: Final = 64
#: Connections of shards at most, at each of their two sockets: a plan has 64 shards at most.
_SHARDS_MAX: Final = 256
#: Connections of workers, where descriptors allow it.
WORKERS_MAX: Final = 16_000
#: Longest time for which one turn takes what comes in, seconds.
_TURN_S: Final = 0.05


def rooms(descriptors: int) -> tuple[int, int]:
    """How many connections there may be at each of the shards' sockets, and at the workers'; so that descriptors are left."""
    left = max(0, descriptors - _FDS_RESERVED - TURNED_AWAY_MAX)
    shards = max(2, min(_SHARDS_MAX, left // 8))
    return shards, max(2, min(WORKERS_MAX, left - 2 * shards))


class Sockets:
    """Owned by one thread. Raises InUseError, OSError."""

    def __init__(self, layout: Layout) -> None:
        self._lock = Lock(layout.lock("aggregator"), wait_s=_LOCK_WAIT_S)
        self._selector = selectors.DefaultSelector()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        shards, workers = rooms(WORKERS_MAX * 2 if soft == resource.RLIM_INFINITY else soft)
        self.facts: Door[None] = Door(layout.facts_socket, b"PULL", self._selector, shards, crowded=False)
        self.acks: Door[None] = Door(layout.acks_socket, b"PUB", self._selector, shards, crowded=False)
        self.extract: Door[LeaseName] = Door(layout.extract_socket, b"ROUTER", self._selector, workers, crowded=True)
        self._doors: tuple[Door[Any], ...] = (self.facts, self.acks, self.extract)
        self.pulse = Pulse(layout.pulse_socket)
        #: Whether the pulse says that the service is ready.
        self.ready = False
        self.stopping = False
        self._wakeup_reader, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wakeup_reader, selectors.EVENT_READ, None)
        with contextlib.suppress(OSError):
            mode = os.fstat(0).st_mode
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                self._selector.register(0, selectors.EVENT_READ, None)
        #: Where the next turn begins among those that are ready: the first ones must not always be the first.
        self._turn = 0

    def stop(self) -> None:
        """Asks for the end, from a signal handler; the signal itself wakes the poll."""
        self.stopping = True

    def wait(self, timeout_ms: int, *, facts: bool = True) -> None:
        """Waits until a message can be taken (a fact only with `facts`), and takes what comes in off the connections, for 50 ms
        at most. Sets `stopping` where standard input ended: supervisord is gone."""
        self.pulse.beat(ready=self.ready)
        now = time.monotonic()
        if self.extract.ready or (facts and self.facts.ready):
            timeout_ms = 0
        due = [at for door in self._doors if door.timed and (at := door.next_due()) is not None]
        timeout_s = timeout_ms / 1000
        if due:
            timeout_s = max(0.0, min(timeout_s, min(due) - now))
        events = self._selector.select(timeout_s)
        now = time.monotonic()
        end = now + _TURN_S
        self._turn = (self._turn + 1) % max(1, len(events))
        for key, mask in events[self._turn :] + events[: self._turn]:
            if key.data is None:
                self._wake(key.fd)
            elif key.data[1] is None or key.data[1].events:  # else it was closed a moment ago
                key.data[0].handle(key.data[1], mask, now)
                if time.monotonic() >= end:
                    break
        if due:  # what has become due since then ends the next wait at once
            for door in self._doors:
                door.tick(now)

    def _wake(self, fd: int) -> None:
        if fd == self._wakeup_reader:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 4096)
        elif not os.read(fd, 4096):
            log.warning("standard input ended: supervisord is gone, leaving")
            self.stopping = True
            self._selector.unregister(fd)

    def fact(self) -> bytes | None:
        """The next frame of a shard that is there."""
        taken = self.facts.take()
        return None if taken is None else taken[1][-1]

    def asked(self) -> bool:
        """Whether a request is there by now. Takes what comes in off the connections, as `wait` does, and waits for nothing."""
        if not self.extract.ready:
            self.wait(0)
        return bool(self.extract.ready)

    def requests(self, most: int) -> Iterator[tuple[Envelope, bytes]]:
        """Requests that are there, at most so many, and as long as the turn lasts."""
        end = time.monotonic() + _TURN_S
        for _ in range(most):
            taken = self.extract.take()
            if taken is None:
                return
            connection, parts = taken
            if connection.away:
                self.extract.answer(connection.key, [*parts[:-1], _too_many(parts[-1], self.extract.most)], time.monotonic())
                self.extract.hang_up(connection)
            else:
                yield [connection.key, *parts[:-1]], parts[-1]
            if time.monotonic() >= end:
                return

    def owe(self, envelope: Envelope, size: int) -> None:
        """A reply of so many bytes is made, and will be given to `answer` in this turn."""
        self.extract.owe(envelope[0], size)

    def answer(self, reply: Outgoing) -> bool:
        """Sends a reply; False where nobody takes it: the worker went away, or reads nothing."""
        key, *parts = reply.envelope
        return self.extract.answer(key, [*parts, reply.body], time.monotonic(), reply.lease)

    def publish(self, shard: str, body: bytes) -> None:
        """Sends a shard its reply."""
        self.acks.publish(shard.encode() + b"\0", body, time.monotonic())

    def listening(self) -> list[str]:
        """Shards that hear what is published to them from now on, and did not before the last call. Some may be no shards."""
        return [topic.rstrip(b"\0").decode(errors="replace") for topic in self.acks.subscribed()]

    def departed(self) -> tuple[set[bytes], list[LeaseName]]:
        """Since the last call: first parts of the envelopes of workers that went away, and batches that did not reach them."""
        for door in (self.facts, self.acks):
            if door.parted:
                door.departed()
        return self.extract.departed() if self.extract.parted else (set(), [])

    def forget_gone(self) -> None:
        """Nobody is to be told of the workers that went away since the last call of `departed`: whoever knew them is gone. What
        did not reach them is kept for the next call."""
        for door in self._doors:
            door.forget_gone()

    def leave_if_replaced(self) -> None:
        """Ends the process at once if another state directory, or none, has taken the place of ours: what is there now, sockets
        of the same names too, is not ours to touch."""
        if not self._lock.in_place():
            log.error("the state directory is gone: leaving")
            os._exit(EXIT_GONE)

    def restore(self) -> None:
        """Makes those of its sockets again that were removed. Where that is impossible it is tried again at the next call."""
        for door in self._doors:
            with contextlib.suppress(OSError):
                door.restore()

    def close(self) -> None:
        self.leave_if_replaced()
        self.extract.flush(time.monotonic() + _LINGER_S)
        for door in self._doors:
            door.close()
        self._selector.close()
        self.pulse.close()
        os.close(self._wakeup_reader)
        os.close(self.wakeup_fd)
        self._lock.close()


def _too_many(body: bytes, most: int) -> bytes:
    """The reply to one who was let in to be told that there is no room."""
    call = Call([], body)
    with contextlib.suppress(RefusedError):
        call.read(body)
    why = f"{most} connections are open already, as many as descriptors allow"
    return call.error(RefusedError("busy", why, "ask again later; close connections, or raise the limit (`ulimit -n`)"))


def until(deadline: float) -> int:
    """Milliseconds of a poll that ends at a time of `time.monotonic`."""
    return max(0, int((deadline - time.monotonic()) * 1000) + 1)
