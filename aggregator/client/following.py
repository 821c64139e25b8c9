"""The loop of `batches`: pull after pull, through whatever happens to the service. Pure: it is made of flows (`conversation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..protocol.codes import FOLLOWED
from .batch import Glimpse, Handed, decode_pull, give_back, glance, handed
from .conversation import Ask, Conversation, Flow, Pause
from .early import Early
from .owed import Acknowledged, OwedAck
from .replies import RequestError
from .requests import Request

#: Longest wait of one pull of a loop that goes on for ever, seconds: the next one is sent at once.
WAIT_S_MAX: Final = 30.0


class Following:
    """What such a loop remembers from pull to pull: where a group begins that has to be made.

    A group that a later pull has to make anew is gone with all it knew: with the state directory, or because it was dropped.
    It then begins afresh: the service makes it together with the notice to forget everything, which is due until it is
    acknowledged, whatever becomes of this worker.

    Args:
        pull: makes the request, with that `from`, and with the batch that it acknowledges.
        from_: where the group begins if the first pull has to make it.
        owed: the acknowledgement that goes with the next request.
        follow: go on for ever; else until nothing came.
        patience_s: seconds for which a service that is away is looked for.
        early: pulls the next batch while one is worked on; None: nobody does.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[str | None, Acknowledged], Request],
        from_: str | None,
        owed: OwedAck,
        *,
        follow: bool,
        patience_s: float,
        early: Early | None = None,
    ) -> None:
        self._conversation = conversation
        self._pull = pull
        self._from = from_
        self._owed = owed
        self._follow = follow
        self._patience_s = patience_s
        self._early = early
        #: A batch that is on lease to us, and that nobody has seen yet.
        self._unseen: Glimpse | None = None

    def next(self) -> Flow[Handed | None]:
        """What is handed out next; None: the loop is over."""
        waits = self._conversation.pauses()
        while True:
            try:
                body, self._unseen = yield from self._next_body()
            except RequestError as error:
                if not (self._follow and error.code in FOLLOWED):
                    raise
                self._conversation.absence.noted(error)
                yield Pause(next(waits))
                continue
            if self._follow:
                self._from = "fresh"
            if self._early is not None and self._unseen is not None and self._unseen.more:
                yield from self._early.ask()
            found = handed(decode_pull(body), follows=self._follow, owed=self._owed)
            if found is not None or not self._follow:
                self._unseen = None
                return found
            waits = self._conversation.pauses()

    def _next_body(self) -> Flow[tuple[bytes, Glimpse | None]]:
        """The reply that has what comes next, and its batch, if there is one: what was pulled early, if it is still ours."""
        early = None if self._early is None else (yield from self._early.begin())
        if early is not None:
            return early
        acknowledged = yield from self._owed.offer()
        body: bytes = yield Ask(self._pull(self._from, acknowledged), self._patience_s)
        found = glance(body)
        self._owed.told(acknowledged, found.acked)
        return body, found.batch

    def leave(self) -> Flow[None]:
        """The loop is left: acknowledges what is owed, and gives back what nobody has seen. If that is impossible, the service
        finds out by itself."""
        yield from self._owed.leave()
        if self._unseen is not None:
            yield from give_back(self._unseen)
            self._unseen = None
        if self._early is not None:
            yield from self._early.leave()
