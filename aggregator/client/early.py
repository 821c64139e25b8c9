"""Pulls the next batch while the present one is worked on. Pure: it is made of flows (`conversation`).

Such a batch is *pulled ahead*: the service keeps it for us, and may give it to a worker that is free. So it is begun (`extend`)
before anybody sees it, and if the service says that it is not ours any more, it is dropped as if it had never come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from shardwatch.shard.contract.errors import ShardwatchError

from .batch import Glimpse, acked_with, give_back, glance
from .conversation import Alone, Ask, Conversation, Flow
from .owed import Acknowledged, OwedAck
from .replies import RequestError
from .requests import Request


class Early:
    """What one loop has pulled ahead: one batch at most.

    Args:
        pull: makes the request for it.
        begin: makes the request that begins the batch of that id, and acknowledges another one.
        patience_s: seconds for which a service that is away is looked for.
        owed: the acknowledgement that goes with it.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[], Request],
        begin: Callable[[str, Acknowledged], Request],
        patience_s: float,
        owed: OwedAck,
    ) -> None:
        self._conversation = conversation
        self._pull = pull
        self._begin = begin
        self._patience_s = patience_s
        self._owed = owed
        #: The number of the pull whose reply is not here yet.
        self._asked: int | None = None
        #: The batch that is kept for us, and not begun.
        self._kept: Glimpse | None = None

    def ask(self) -> Flow[None]:
        """Pulls the next batch. Does not wait for it, and never raises ShardwatchError: what is wrong will be said when something
        is waited for.
        """
        with contextlib.suppress(ShardwatchError):
            self._asked = yield Alone(self._conversation.send(self._pull()))

    def begin(self, acknowledged: Acknowledged) -> Flow[tuple[bytes, Glimpse] | None]:
        """The batch that was pulled ahead, which has begun: the reply to its pull, and what `glance` says of it; None: there is
        none, or it is somebody else's by now. With it goes what is owed.

        Raises ShardwatchError if the service does not answer.
        """
        body = yield from self._arrived()
        kept = self._kept
        if body is None or kept is None:
            return None
        try:
            began: bytes = yield Ask(self._begin(kept.id, acknowledged), self._patience_s)
        except RequestError:
            kept = None  # what is owed goes once more, with the next pull
        else:
            self._owed.told(acknowledged, acked_with(began))
        self._kept = None
        return None if kept is None else (body, kept)

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
        body: bytes | None = yield Alone(self._conversation.take(self._asked))
        self._asked = None
        self._kept = None if body is None else glance(body).batch
        return body
