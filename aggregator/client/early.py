"""Pulls the next batch while the present one is worked on. Pure: it is made of flows (`conversation`).

Such a batch is *pulled ahead*: the service keeps it for us, and may give it to a worker that is free. So it is begun (`extend`)
before anybody sees it, and if the service says that it is not ours any more, it is dropped as if it had never come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from shardwatch.shard.contract.errors import ShardwatchError

from .batch import Glimpse, give_back, glance
from .conversation import Alone, Ask, Conversation, Flow
from .owed import OwedAck
from .replies import RequestError
from .requests import Request


class Early:
    """What one loop has pulled ahead: one batch at most.

    Args:
        pull: makes the request for it.
        begin: makes the request that begins the batch of that id.
        end: makes the request that acknowledges the batch of that id, and begins what was pulled ahead.
        patience_s: seconds for which a service that is away is looked for.
        owed: what is acknowledged with it.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[], Request],
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
        #: The number of the pull whose reply is not here yet.
        self._asked: int | None = None
        #: Whether it will bring a batch, as far as is known.
        self._has_more = False
        #: The batch that is kept for us, and not begun.
        self._kept: Glimpse | None = None

    def ask(self) -> Flow[None]:
        """Pulls the next batch, unless that was done. Does not wait for it, and never raises ShardwatchError: what is wrong will
        be said when something is waited for.
        """
        if self._asked is not None:
            return
        with contextlib.suppress(ShardwatchError):
            self._asked = yield Alone(self._conversation.send(self._pull()))
            self._has_more = True

    def begin(self) -> Flow[tuple[bytes, Glimpse] | None]:
        """The batch that was pulled ahead, which has begun: the reply to its pull, and what `glance` says of it; None: there is
        none, or it is somebody else's by now. What is owed is acknowledged with it.

        Raises ShardwatchError if the service does not answer.
        """
        if self._asked is None:
            return None
        begun: str | None = None
        if self._owed.batch is not None and self._has_more:
            body, begun = yield from self._end_and_begin(self._owed.batch, self._asked)
        else:
            yield from self._owed.send()
            body = yield from self._arrived()
        while body is None or self._kept is not None:
            if body is not None and (kept := self._kept) is not None:
                is_ours = yield from self._has_begun(kept, begun)
                self._kept = None
                if is_ours:
                    return body, kept
            if self._asked is None:
                return None
            body = yield from self._arrived()  # it was lost, or is somebody else's; what was asked for after it may be ours
        return None

    def _has_begun(self, kept: Glimpse, begun: str | None) -> Flow[bool]:
        """Begins it, unless it is what has `begun`. False if it is somebody else's by now."""
        try:
            if begun != kept.id:
                yield Ask(self._begin(kept.id), self._patience_s)
        except RequestError:
            return False
        return True

    def _end_and_begin(self, batch: str, asked: int) -> Flow[tuple[bytes | None, str | None]]:
        """Acknowledges a batch and begins what was pulled ahead, in one request, and pulls the next one. This does not wait for
        the reply to the pull that was `asked` before, so the service is never without work. Returns that reply, and what has
        begun, as far as they came.
        """
        body: bytes | None = None
        ended: bytes | None = None
        with contextlib.suppress(ShardwatchError):
            number = yield Alone(self._conversation.send(self._end(batch)))
            self._asked = None
            yield from self.ask()
            body = yield from self._taken(asked)
            self._has_more = body is None or (self._kept is not None and self._kept.more)
            ended = yield Alone(self._conversation.take(number))
        return body, None if ended is None else self._owed.ended(ended)

    def leave(self) -> Flow[None]:
        """Gives it back. If that is impossible, the service does so itself: at the latest when its lease ends."""
        with contextlib.suppress(ShardwatchError):
            yield from self._arrived()
        if self._kept is not None:
            yield from give_back(self._kept)
            self._kept = None

    def _arrived(self) -> Flow[bytes | None]:
        """The reply to the pull, if one was sent and can still be answered."""
        if self._asked is None:
            return None
        asked, self._asked = self._asked, None
        return (yield from self._taken(asked))

    def _taken(self, asked: int) -> Flow[bytes | None]:
        body: bytes | None = yield Alone(self._conversation.take(asked))
        self._kept = None if body is None else glance(body).batch
        return body
