"""One connection of the line: to a socket of the aggregator, and made again by itself whenever it breaks.

It speaks ZMTP as libzmq would (`contract.wire.zmtp`). libzmq is not loaded for it: with its Python modules, its two threads and
what they keep, it was a fifth of the memory of a shard that rests.
"""

from __future__ import annotations

import os
import selectors
import socket
from pathlib import Path
from typing import Final

from ..contract.limits import FRAME_BYTES_MAX
from ..contract.wire import zmtp

#: Pauses before a connection is tried again, ns: each is twice as long as the one before.
_RETRY_NS: Final = 10_000_000
_RETRY_NS_MAX: Final = 200_000_000
_READ_BYTES: Final = 1 << 16
#: Bytes that the kernel is asked to keep of what was sent: a shard sends what it saw at the end of each of its turns, and the
#: aggregator is to have enough of it until the next one. The kernel may allow less (net.core.wmem_max).
_UNDERWAY_BYTES: Final = 1 << 20
#: Reads of one turn: who sends without end delays nothing else.
_READS_MAX: Final = 16
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class LineConnection:
    """Owned by one thread. Nothing here blocks or raises; what breaks is connected again. Times are monotonic nanoseconds.

    Args:
        path: the socket to connect to.
        kind: what this end is, in the words of ZeroMQ: PUSH, SUB.
        first: what is sent as soon as the two have greeted each other.
        news: is ready when `read` has something to do.
        room: is ready when `send` may succeed, if anything is ever to be sent.
        now: the time.

    Attributes:
        ready: whether the two have greeted each other, so that messages may be sent.
        retry_at: when `tend` tries to connect again; None: there is a connection.
    """

    def __init__(
        self,
        path: Path,
        kind: bytes,
        first: bytes,
        news: selectors.BaseSelector,
        room: selectors.BaseSelector | None,
        now: int,
    ) -> None:
        self._path = os.fspath(path)
        self._greeting = zmtp.GREETING + zmtp.ready(kind)
        self._first = first
        self._news = news
        self._room = room
        self._sock: socket.socket | None = None
        self._pause_ns = _RETRY_NS
        self.ready = False
        self.retry_at: int | None = None
        self._connect(now)

    def tend(self, now: int) -> None:
        """Connects again, if that is due."""
        if self.retry_at is not None and now >= self.retry_at:
            self._connect(now)

    def _connect(self, now: int) -> None:
        self._decoder = zmtp.Decoder(FRAME_BYTES_MAX)
        #: Of a message that is sent in part, or of the greeting, what there was no room for.
        self._rest = memoryview(b"")
        self.retry_at = None
        try:
            sock = self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNDERWAY_BYTES)
            sock.connect(self._path)
        except OSError:  # nobody listens yet, too many wait to be let in, or no descriptor is left
            self._break(now)
            return
        self._news.register(sock, _READ)
        self._write(self._greeting, now)

    def _break(self, now: int) -> None:
        """There is no connection any more; the next one begins after a pause."""
        if self._sock is not None:
            for selector in (self._news, self._room):
                if selector is not None and self._sock in selector.get_map():
                    selector.unregister(self._sock)
            self._sock.close()
            self._sock = None
        self.ready = False
        self.retry_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, _RETRY_NS_MAX)

    def send(self, body: bytes, now: int) -> bool:
        """Whether a message was taken: it is sent, or its end is kept and sent by `read`. False: there is no room, or nobody to
        send it to, and none of it was sent."""
        return self.ready and self._write_rest(now) and self._write(zmtp.message([body]), now)

    def _write(self, data: bytes | memoryview, now: int) -> bool:
        """Whether any of this was sent; if so, its end is kept."""
        if self._sock is None:
            return False
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            return False
        except OSError:
            self._break(now)
            return False
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self._news.modify(self._sock, _READ | _WRITE)
        return True

    def _write_rest(self, now: int) -> bool:
        """Whether nothing is left of what was sent in part."""
        if not self._rest:
            return True
        rest, self._rest = self._rest, memoryview(b"")
        if not self._write(rest, now):
            self._rest = rest
        elif not self._rest and self._sock is not None:
            self._news.modify(self._sock, _READ)
        return not self._rest

    def read(self, now: int) -> list[list[bytes]]:
        """The messages that have come. Also sends what was left of one, and goes on with the greeting."""
        self._write_rest(now)
        found: list[list[bytes]] = []
        for _ in range(_READS_MAX):
            if self._sock is None:
                break
            try:
                data = self._sock.recv(_READ_BYTES)
                if not data:
                    raise ConnectionError  # the other end is closed
                found += self._decoded(data, now)
            except BlockingIOError:
                break
            except (OSError, zmtp.ProtocolError):
                self._break(now)
                break
            if len(data) < _READ_BYTES:
                break
        return found

    def _decoded(self, data: bytes, now: int) -> list[list[bytes]]:
        decoder = self._decoder
        found = decoder.feed(data, len(data))  # each message takes a byte and more
        for name, body in decoder.commands:
            if name == b"PING" and self._write_rest(now):
                self._write(zmtp.pong(body), now)
        decoder.commands.clear()
        if decoder.ready and not self.ready and self._sock is not None:
            self.ready = True
            self._pause_ns = _RETRY_NS
            if self._first:
                self._write(self._first, now)
            if self._room is not None:
                self._room.register(self._sock, _WRITE)
        return found

    def close(self) -> None:
        """What was not sent yet is dropped. Idempotent."""
        if self._sock is not None:
            self._break(0)
        self.retry_at = None
