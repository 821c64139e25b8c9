"""A stream of JetStream in memory, as ship and its consumers use it."""

from __future__ import annotations

from shardwatch.bridge.protocol.bodies import Message, stamp_of
from shardwatch.bridge.protocol.publishing import NONE, Last


class Stream:
    """A stream that keeps one message for each subject."""

    def __init__(self, created: str) -> None:
        self.created = created
        self.sequence = 0
        self.messages: dict[str, tuple[int, bytes]] = {}

    def put(self, message: Message, expected: int) -> int | None:
        if self.messages.get(message.subject, (0, b""))[0] != expected:
            return None
        self.sequence += 1
        self.messages[message.subject] = self.sequence, message.body
        return self.sequence

    def last(self, subject: str) -> Last:
        found = self.messages.get(subject)
        return NONE if found is None else Last(found[0], stamp_of(found[1]))

    def purge(self, below: int) -> None:
        self.messages = {subject: found for subject, found in self.messages.items() if found[0] >= below}

    def after(self, sequence: int) -> list[tuple[int, bytes]]:
        return sorted((n, body) for n, body in self.messages.values() if n > sequence)
