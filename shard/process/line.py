"""The line to the aggregator: frames and beats go up, replies come down."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import zmq

from ..contract.errors import WireError
from ..contract.limits import FRAME_BYTES_MAX
from ..contract.process.life import new_epoch
from ..contract.process.log import Sparse
from ..contract.state.layout import Layout
from ..contract.wire.frames import OtherVersionError, Reply, decode_down

_RECONNECT_MS = 10
_RECONNECT_MS_MAX = 200
#: As numbers: pyzmq's enumerations cost more than the question, which is asked several times for each save.
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_POLLOUT: Final = int(zmq.POLLOUT)
_DONTWAIT: Final = int(zmq.DONTWAIT)


class Line:
    """Owned by one thread; nothing here blocks. It reconnects by itself.

    It is waited for by two descriptors, which libzmq makes readable when it has news for a socket. (zmq.Poller would make several
    system calls for each socket at each wait.) A descriptor stays readable until its news is taken in, and what was taken in is
    not told again. So take replies before the first wait, and then until there are none; `send` before each wait that `room` is
    to end.

    Attributes:
        outdated: an aggregator of another wire version answers, and began later, so the code was replaced while this process
            ran: nothing that it sends is taken.
    """

    def __init__(self, shard: str, layout: Layout, service: str, log: logging.Logger) -> None:
        self._service = service
        self._log = log
        self.outdated = False
        self._begun = new_epoch()
        self._bad_replies = Sparse(log)
        self._context = zmq.Context()
        self._up = self._socket(zmq.PUSH)
        self._up.setsockopt(zmq.IMMEDIATE, 1)
        self._up.connect(layout.endpoint(layout.facts_socket))
        self._down = self._socket(zmq.SUB)
        self._down.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        self._down.setsockopt(zmq.SUBSCRIBE, shard.encode() + b"\0")
        self._down.connect(layout.endpoint(layout.acks_socket))
        #: Descriptors to be polled for reading: `send` may succeed, and there may be replies.
        self.room = int(self._up.getsockopt(zmq.FD))
        self.news = int(self._down.getsockopt(zmq.FD))

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX)
        return socket

    def send(self, body: bytes) -> bool:
        """Whether it was taken; False: nobody listens, or there is no room. `room` is readable when that may have changed."""
        if not _events(self._up) & _POLLOUT:
            return False
        try:
            self._up.send(body, _DONTWAIT)
        except zmq.Again:
            return False
        self._log.debug("sent %d bytes to the aggregator", len(body))
        return True

    def replies(self) -> Iterator[Reply]:
        """Those that have come. What can't be read, or is another service's, is refused, with a line in the log."""
        while _events(self._down) & _POLLIN:
            try:
                reply = decode_down(self._down.recv_multipart(_DONTWAIT)[-1])
            except WireError as error:
                self._bad_replies.warning(f"refused: {error}")
                self.outdated |= isinstance(error, OtherVersionError) and error.begun > self._begun
                continue
            if reply.service != self._service:
                self._bad_replies.warning("refused: a reply of another service")
                continue
            yield reply

    def close(self) -> None:
        """What was not sent yet is dropped."""
        self._context.destroy(linger=0)


def _events(socket: zmq.Socket[bytes]) -> int:
    """What the socket is ready for, once it has taken in all news that libzmq has for it."""
    return int(socket.getsockopt(_EVENTS))
