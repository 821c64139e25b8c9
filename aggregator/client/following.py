"""The loop of `batches`: pull after pull, through whatever happens to the service. Pure: it is made of flows (`conversation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..protocol.codes import FOLLOWED
from . import requests
from .batch import ArrivedReply, Glimpse, Handed, Lease, give_back, glance, handed
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
        pull: makes the request, with that `from`, with the batch that it acknowledges, and with its number.
        from_: where the group begins if the first pull has to make it.
        owed: the acknowledgement that goes with the next request.
        follow: go on for ever; else until nothing came.
        patience_s: seconds for which a service that is away is looked for.
        early: pulls the next batch while one is worked on; None: nobody does.
        is_ours: whether this is the process in which the loop began. What it holds is none of a child's made with fork.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[str | None, Acknowledged, int], Request],
        from_: str | None,
        owed: OwedAck,
        *,
        follow: bool,
        patience_s: float,
        early: Early | None = None,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._conversation = conversation
        self._pull = pull
        self._from = from_
        self._owed = owed
        self._follow = follow
        self._patience_s = patience_s
        self._early = early
        self._is_ours = is_ours
        #: The batch that was handed out last, until the next one is asked for.
        self._last: Lease | None = None
        #: The number of the pull that is not answered yet: what it was handed and we never saw comes with it. 0: none is.
        self._once = 0
        #: A batch that is on lease to us, and that nobody has seen yet.
        self._unseen: Glimpse | None = None

    def next(self) -> Flow[Handed | None]:
        """What is handed out next; None: the loop is over."""
        self._last = None
        waits = self._conversation.pauses()
        while True:
            try:
                arrived = yield from self._next_reply()
                self._unseen = arrived.batch
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
            found = handed(arrived.decoded(), follows=self._follow, owed=self._owed)
            if found is not None or not self._follow:
                self._unseen = None
                self._last = None if found is None else found.lease
                return found
            waits = self._conversation.pauses()

    def _next_reply(self) -> Flow[ArrivedReply]:
        """The reply that has what comes next: what was pulled early, if it is still ours."""
        early = None if self._early is None else (yield from self._early.begin())
        if early is not None:
            return early
        lost = 0 if self._early is None else self._early.take_lost()
        self._once = lost or self._once or requests.once()
        acknowledged = yield from self._owed.offer()
        body: bytes = yield Ask(self._pull(self._from, acknowledged, self._once), self._patience_s)
        self._once = 0
        found = glance(body)
        self._owed.told(acknowledged, found.acked)
        return ArrivedReply(body, found.batch)

    def end_with_process(self, patience_s: float) -> Flow[None]:
        """The process ends before the loop was left, in a daemon thread perhaps: acknowledges what is owed. Whoever is in the
        loop still has its last batch, which the service hands out again when the lease ends.

        `patience_s`: seconds that are left for that, where the service is away.
        """
        if self._is_ours():
            yield from self._owed.leave(patience_s)

    def leave(self) -> Flow[None]:
        """The loop is left: gives back the last batch, unless what became of it was said, acknowledges what is owed, and gives
        back what nobody has seen. If that is impossible, the service finds out by itself. Idempotent.
        """
        if not self._is_ours():
            return
        last, self._last = self._last, None
        if last is not None:
            yield from last.leave()
        yield from self._owed.leave()
        if self._unseen is not None:
            yield from give_back(self._unseen)
            self._unseen = None
        if self._early is not None:
            yield from self._early.leave()
