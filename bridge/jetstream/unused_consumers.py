"""The consumers that were left on the servers: they count against the stream's `max_consumers` as long as they are there."""

from __future__ import annotations

from typing import NamedTuple


class Consumer(NamedTuple):
    """What a server keeps for one reader."""

    stream: str
    name: str


class UnusedConsumers:
    """Those whose connection was lost before they could be removed. The next connection has it done."""

    def __init__(self) -> None:
        self._left: list[Consumer] = []

    def left(self, consumer: Consumer) -> None:
        self._left.append(consumer)

    def taken(self) -> list[Consumer]:
        """All of them. They are forgotten: a server removes what is left all the same, some minutes later."""
        left, self._left = self._left, []
        return left
