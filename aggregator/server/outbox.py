"""Keeps the replies of one turn until everything that they say is durable. Pure."""

from __future__ import annotations

from ..protocol.messages import RefusedError
from .call import Call, Fields, LeaseName, Outgoing


class Outbox:
    """Each call is answered here once, by `answer` or by `refuse`."""

    def __init__(self) -> None:
        self._replies: list[tuple[Call, Outgoing]] = []
        #: Bytes of all that is kept.
        self.size = 0

    def answer(self, call: Call, fields: Fields, lease: LeaseName | None = None) -> None:
        """`lease`: the batch that the reply hands out."""
        self._keep(call, call.reply(fields), lease)

    def refuse(self, call: Call, error: RefusedError) -> None:
        self._keep(call, call.error(error), None)

    def _keep(self, call: Call, body: bytes, lease: LeaseName | None) -> None:
        self._replies.append((call, Outgoing(call.envelope, body, lease)))
        self.size += len(body)

    def has(self, call: Call) -> bool:
        """Whether the call was answered in this turn."""
        return any(answered is call for answered, _ in self._replies)

    def take(self) -> list[Outgoing]:
        """All of them, in the order in which they were given."""
        replies, self._replies, self.size = self._replies, [], 0
        return [reply for _, reply in replies]

    def take_refused(self, error: RefusedError) -> list[Outgoing]:
        """This error to everybody, instead of the replies: nothing of what they say came about."""
        replies, self._replies, self.size = self._replies, [], 0
        return [Outgoing(call.envelope, call.error(error)) for call, _ in replies]
