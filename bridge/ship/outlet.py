"""How the changes of a source get into a stream: what each layout has a class of its own for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from shardwatch.aggregator.protocol.messages import Event


class LookAgain(Exception):
    """The stream, or the group, is not in the state that it was left in: connect anew and look."""


class Outlet(Protocol):
    """Of one source, over one connection. Every method may be called again after it has failed; each raises what Broker raises,
    and LookAgain where somebody else has begun to ship the source.
    """

    @property
    def lasts(self) -> tuple[int, ...]:
        """For each partition the sequence of the last message of the generation, if the layout needs it (`Progress.lasts`)."""
        ...

    def resume(self, generation: int, lasts: tuple[int, ...]) -> None:
        """All that follows is of this generation, of which this much is there."""
        ...

    async def put(self, events: Collection[Event]) -> None:
        """Returns when the stream has all of it."""
        ...

    async def put_ends(self, partitions: int) -> None:
        """Says in each of so many partitions that all of the generation is there."""
        ...

    async def tend(self) -> None:
        """Does what has to be done now and then, also while nothing changes."""
        ...

    async def tidy(self, swept: int, note: Callable[[int], None]) -> None:
        """Removes what nobody needs any more, above a sequence up to which that was done. It may take long; `note` is told the
        sequence, now and then. Only of a generation that is complete.
        """
        ...
