"""The line to the aggregator: frames and beats go up, replies come down."""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Iterator

from ..contract.errors import WireError
from ..contract.process.life import new_epoch
from ..contract.process.log import Sparse
from ..contract.state.layout import Layout
from ..contract.wire import zmtp
from ..contract.wire.frames import OtherVersionError, Reply, decode_down
from .connection import LineConnection


class Line:
    """Owned by one thread; nothing here blocks. It connects again by itself, as long as `tend` is called when it is due.

    Attributes:
        news: a descriptor that can be read as long as `replies` has something to do.
        room: one that can be read as long as `send` may succeed.
        outdated: an aggregator of another wire version answers, and began later, so the code was replaced while this process
            ran: nothing that it sends is taken.
    """

    def __init__(
        self, shard: str, layout: Layout, service: str, log: logging.Logger, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._service = service
        self._log = log
        self._clock = clock
        self.outdated = False
        self._begun = new_epoch()
        self._bad_replies = Sparse(log)
        self._news, self._room = selectors.DefaultSelector(), selectors.DefaultSelector()
        now, topic = clock(), zmtp.subscription(shard.encode() + b"\0")
        self._up = LineConnection(layout.facts_socket, b"PUSH", b"", self._news, self._room, now)
        self._down = LineConnection(layout.acks_socket, b"SUB", topic, self._news, None, now)
        self.news = self._news.fileno()
        self.room = self._room.fileno()

    def next_due(self) -> int | None:
        """When `tend` has something to do, in monotonic ns; None: never, as it is."""
        up, down = self._up.retry_at, self._down.retry_at
        if up is None or down is None:
            return down if up is None else up
        return min(up, down)

    def tend(self) -> None:
        """Connects again, where that is due."""
        if self.next_due() is not None:
            now = self._clock()
            self._up.tend(now)
            self._down.tend(now)

    def send(self, body: bytes) -> bool:
        """Whether it was taken; False: nobody listens, or there is no room. `room` is readable when that may have changed."""
        if not self._up.send(body, self._clock()):
            return False
        self._log.debug("sent %d bytes to the aggregator", len(body))
        return True

    def replies(self) -> Iterator[Reply]:
        """Those that have come. What can't be read, or is another service's, is refused, with a line in the log."""
        now = self._clock()
        messages = self._down.read(now)
        if not messages:  # then it was the other one that made `news` readable; it stays so as long as there is something
            self._up.read(now)
        for message in messages:
            try:
                reply = decode_down(message[-1])
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
        self._up.close()
        self._down.close()
        self._news.close()
        self._room.close()
