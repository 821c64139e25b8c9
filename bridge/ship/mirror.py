"""The layout `paths`: a message for each path, which replaces the one before it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from shardwatch.aggregator.protocol.messages import Event

from ..jetstream.broker import Broker
from ..protocol.bodies import end_message, messages
from ..protocol.names import Subjects
from .deletions import OldDeletions
from .publisher import Publisher


class Mirror:
    """An Outlet.

    Args:
        keep_s: seconds for which a deletion stays.
    """

    def __init__(self, broker: Broker, stream: str, names: Subjects, keep_s: float) -> None:
        self._names = names
        self._publisher = Publisher(broker, stream)
        self._deletions = OldDeletions(broker, stream, names, keep_s)
        self._generation = 0

    @property
    def lasts(self) -> tuple[int, ...]:
        return ()

    def resume(self, generation: int, lasts: tuple[int, ...]) -> None:
        self._generation = generation

    async def put(self, events: Collection[Event]) -> None:
        await self._publisher.publish(messages(events, self._names, self._generation))

    async def put_ends(self, partitions: int) -> None:
        await self._publisher.publish([end_message(self._names, self._generation, n) for n in range(partitions)])

    async def tend(self) -> None:
        """There is nothing to be done."""

    async def tidy(self, swept: int, note: Callable[[int], None]) -> None:
        """Removes old deletions."""
        await self._deletions.remove(self._generation, swept, note)
