"""The line to the aggregator: frames and beats go up, replies come down."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import zmq

from ..contract.errors import WireError
from ..contract.limits import FRAME_BYTES_MAX
from ..contract.process.life import new_epoch
from ..contract.process.log import Sparse
from ..contract.state.layout import Layout
from ..contract.wire.frames import OtherVersionError, Reply, decode_down

_RECONNECT_MS = 10
_RECONNECT_MS_MAX = 200


class Line:
    """Owned by one thread; nothing here blocks. It reconnects by itself.

    Attributes:
        up: readable never, writable when `send` may succeed.
        down: readable when there are replies.
        outdated: an aggregator of another wire version answers, and began later, so the code was replaced while this process
            ran: nothing that it sends is taken.
    """

    def __init__(self, shard: str, layout: Layout, service: str, log: logging.Logger) -> None:
        self._service = service
        self.outdated = False
        self._begun = new_epoch()
        self._bad_replies = Sparse(log)
        self._context = zmq.Context()
        self.up = self._socket(zmq.PUSH)
        self.up.setsockopt(zmq.IMMEDIATE, 1)
        self.up.connect(layout.endpoint(layout.facts_socket))
        self.down = self._socket(zmq.SUB)
        self.down.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        self.down.setsockopt(zmq.SUBSCRIBE, shard.encode() + b"\0")
        self.down.connect(layout.endpoint(layout.acks_socket))

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX)
        return socket

    def send(self, body: bytes) -> bool:
        """Whether it was taken; False: nobody listens, or there is no room."""
        try:
            self.up.send(body, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def replies(self) -> Iterator[Reply]:
        """Those that have come. What can't be read, or is another service's, is refused, with a line in the log."""
        while True:
            try:
                parts = self.down.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                reply = decode_down(parts[-1])
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
