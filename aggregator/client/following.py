"""The loop of `batches`: pull after pull, through whatever happens to the service. Pure: it is made of flows (`conversation`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..protocol.codes import FOLLOWED
from .batch import Handed, PullReply, decode_pull, handed, notice
from .conversation import Ask, Conversation, Flow, Pause
from .replies import RequestError
from .requests import Request

#: Longest wait of one pull of a loop that goes on for ever, seconds: the next one is sent at once.
WAIT_S_MAX: Final = 30.0


class Following:
    """What such a loop remembers from pull to pull: where a group begins that has to be made, and whether it was lost.

    A group that a later pull had to make anew is gone with all it knew: with the state directory, or because it was dropped.
    It then begins at the start, and the worker is told to forget first, as by the service itself where only the index is lost.

    Args:
        pull: makes the request, with that `from`.
        from_: where the group begins if the first pull has to make it.
        follow: go on for ever; else until nothing came.
        patience_s: seconds for which a service that is away is looked for.
    """

    def __init__(
        self,
        conversation: Conversation,
        pull: Callable[[str | None], Request],
        group: str,
        from_: str | None,
        *,
        follow: bool,
        patience_s: float,
    ) -> None:
        self._conversation = conversation
        self._pull = pull
        self._group = group
        self._from = from_
        self._follow = follow
        self._patience_s = patience_s
        #: The group was there once.
        self._known = False

    def next(self) -> Flow[list[Handed]]:
        """What is handed out next, in this order; nothing: the loop is over."""
        waits = self._conversation.pauses()
        while True:
            try:
                body: bytes = yield Ask(self._pull(self._from), self._patience_s)
            except RequestError as error:
                if not (self._follow and error.code in FOLLOWED):
                    raise
                self._conversation.absence.noted(error)
                yield Pause(next(waits))
                continue
            found = self._answered(decode_pull(body))
            if found or not self._follow:
                return found
            waits = self._conversation.pauses()

    def _answered(self, reply: PullReply) -> list[Handed]:
        """The batch, if one came; before it the notice to forget all, if the group was lost."""
        lost = self._follow and self._known and reply.created
        self._known, self._from = True, "start" if self._follow else self._from
        found = handed(reply, follows=self._follow)
        return ([notice(self._group, "the group was lost, and made anew")] if lost else []) + ([found] if found else [])

    def leave(self, found: Sequence[Handed]) -> Flow[None]:
        """The loop ends in the middle of these: what is on lease still is given back."""
        for one in found:
            yield from one.lease.leave()
