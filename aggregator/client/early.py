"""Pulls the next batch while the present one is worked on. Pure: it is made of flows (`conversation`).

Such a batch is *pulled ahead*: the service keeps it for us, and may give it to a worker that is free. So it is begun (`extend`)
before anybody sees it, and if the service says that it is not ours any more, it is dropped as if it had never come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.codes import TOO_LATE
from . import requests
from .batch import ArrivedReply, Glimpse, PullReply, decode_pull, give_back, glance
from .conversation import Alone, Ask, Conversation, Flow
from .owed import OwedAck
from .replies import RequestError
from .requests import Request


class _Asked(NamedTuple):
    """A pull ahead: the number of its message, and its own."""

    number: int
    once: int


class _KeptBatch(NamedTuple):
    """A batch that is kept for us, and the number of its pull."""

    batch: Glimpse
    once: int


class Early:
    """What one loop has pulled ahead: one batch at most.

    Args:
        pull: makes the request for it, with its number.
        begin: makes the request that begins the batch of that id.
        end: makes the request that acknowledges the batch of that id, and begins what was pulled ahead.
        patience_s: seconds for which a service that is away is looked for.
        owed: what is acknowledged with it.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[int], Request],
        begin: Callable[[str], Request],
        end: Callable[[str], Request],
        patience_s: float,
        owed: OwedAck,
    ) -> None:
        self._conversation = conversation
        self._pull = pull
        self._begin = begin
        self._end = end
        self._patience_s = patience_s
        self._owed = owed
        #: The pull whose reply is not here yet.
        self._asked: _Asked | None = None
        #: Whether it will bring a batch, as far as is known.
        self._has_more = False
        #: The batch that is kept for us, and not begun.
        self._kept: _KeptBatch | None = None
        #: The number of the first pull of which it is not known whether it has handed us a batch; 0: there is none.
        self._lost = 0

    def ask(self) -> Flow[None]:
        """Pulls the next batch, unless that was done. Does not wait for it, and never raises ShardwatchError: what is wrong will
        be said when something is waited for.
        """
        if self._asked is not None:
            return
        once = requests.once()
        with contextlib.suppress(ShardwatchError):
            number = yield Alone(self._conversation.send(self._pull(once)))
            self._asked = _Asked(number, once)
            self._has_more = True

    def take_lost(self) -> int:
        """The number for the next pull, so that it brings what was lost with a reply to a pull ahead; 0: none was."""
        lost, self._lost = self._lost, 0
        return lost

    def begin(self) -> Flow[ArrivedReply | None]:
        """The batch that was pulled ahead, which has begun; None: there is none, or it is somebody else's by now. What is owed is
        acknowledged with it.

        Raises ShardwatchError if the service does not answer.
        """
        if self._asked is None:
            return None
        begun: str | None = None
        reply: PullReply | None = None
        if self._owed.batch is not None and self._has_more:
            body, reply, begun = yield from self._end_and_begin(self._owed.batch, self._asked)
        else:
            yield from self._owed.send()
            body = yield from self._arrived()
        while body is None or self._kept is not None:
            if body is not None and (kept := self._kept) is not None:
                is_ours = yield from self._has_begun(kept, begun)
                self._kept = None
                if is_ours:
                    return ArrivedReply(body, kept.batch, reply)
            if self._asked is None:
                return None
            reply = None
            body = yield from self._arrived()  # it was lost, or is somebody else's; what was asked for after it may be ours
        return None

    def _has_begun(self, kept: _KeptBatch, begun: str | None) -> Flow[bool]:
        """Begins it, unless it is what has `begun`. False if it is somebody else's by now, or nobody knows."""
        try:
            if begun != kept.batch.id:
                yield Ask(self._begin(kept.batch.id), self._patience_s)
        except RequestError as error:
            if error.code not in TOO_LATE:
                self._lost = self._lost or kept.once
            return False
        return True

    def _end_and_begin(self, batch: str, asked: _Asked) -> Flow[tuple[bytes | None, PullReply | None, str | None]]:
        """Acknowledges a batch and begins what was pulled ahead, in one request, and pulls the next one. This does not wait for
        the reply to the pull that was `asked` before, so the service is never without work. Returns that reply, as it came and
        decoded, and what has begun, as far as they came. Events are decoded while the service answers.
        """
        body: bytes | None = None
        reply: PullReply | None = None
        ended: bytes | None = None
        with contextlib.suppress(ShardwatchError):
            number = yield Alone(self._conversation.send(self._end(batch)))
            self._asked = None
            yield from self.ask()
            body = yield from self._taken(asked)
            self._has_more = body is None or (self._kept is not None and self._kept.batch.more)
            reply = None if body is None else decode_pull(body)
            ended = yield Alone(self._conversation.take(number))
        return body, reply, None if ended is None else self._owed.ended(ended)

    def leave(self) -> Flow[None]:
        """Gives it back. If that is impossible, the service does so itself: at the latest when its lease ends."""
        with contextlib.suppress(ShardwatchError):
            yield from self._arrived()
        if self._kept is not None:
            yield from give_back(self._kept.batch)
            self._kept = None

    def _arrived(self) -> Flow[bytes | None]:
        """The reply to the pull, if one was sent and can still be answered."""
        if self._asked is None:
            return None
        asked, self._asked = self._asked, None
        return (yield from self._taken(asked))

    def _taken(self, asked: _Asked) -> Flow[bytes | None]:
        body: bytes | None = yield Alone(self._conversation.take(asked.number))
        found = None if body is None else glance(body).batch
        self._kept = None if found is None else _KeptBatch(found, asked.once)
        if body is None:
            self._lost = self._lost or asked.once
        return body
