"""What a group of workers keeps durably: how far it is, and which state of each path it has. A worker may keep it in a database
of its own, so that this and its results are committed together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class FleetPosition(NamedTuple):
    """How far a partition was read."""

    #: The stream, and when it was made: another one begins again.
    stream: str
    group: str
    #: Of the last message that is done with.
    sequence: int
    #: Of the last message up to which all was read before anything of it could be removed.
    seen: int = 0


class SourceStanding(NamedTuple):
    """Which generations of a source are known, and how far they were read."""

    #: The highest one of which something was handed out, in one partition.
    begun: int = 0
    #: The highest one that is complete, whatever the partition.
    complete: int = 0
    #: Sequence of the last message of `begun` in this partition that is done with, if the partition is a log; else 0.
    read: int = 0
    #: The highest generation of which something was missed in this partition, so that another one is needed; 0: none.
    missed: int = 0


class PathKnown(NamedTuple):
    """The last state of a path that was acknowledged. (`generation`, `tick`) only grows."""

    generation: int
    tick: int
    #: False: the path was deleted.
    is_there: bool
    is_directory: bool


class Kept(NamedTuple):
    """What an acknowledged batch changes. `source` and exact path name a path."""

    partition: int
    #: What the partition's position must be still; None: there is none.
    before: FleetPosition | None
    after: FleetPosition
    #: Source -> numbers to which those of this partition are to be raised, if they are lower. `read` belongs to `begun`: where
    #: that is raised, `read` becomes what it is here.
    standings: Mapping[str, SourceStanding]
    #: Each pair (`generation`, `tick`) must be higher than the one that is there.
    paths: Mapping[tuple[str, bytes], PathKnown]
    #: To be forgotten; what is there must have a lower generation than this one.
    gone: Mapping[tuple[str, bytes], int]


@runtime_checkable
class FleetStore(Protocol):
    """Where a group keeps it: in one place for all workers that write to the same results.

    FleetClient calls it from the thread that uses the client, and never two methods at a time.
    """

    def position(self, partition: int) -> FleetPosition | None: ...

    def standing(self, source: str, partition: int) -> SourceStanding:
        """The highest `complete` of all partitions, and the others of this one; 0 where nothing is known."""
        ...

    def known(self, source: str, paths: Collection[bytes]) -> Mapping[bytes, PathKnown]:
        """Of those paths that are known."""
        ...

    def older(self, source: str, generation: int, after: bytes, most: int) -> Sequence[tuple[bytes, PathKnown]]:
        """Paths of a lower generation, in the order of their bytes, from the first one above `after` on; at most `most`."""
        ...

    def keep(self, kept: Kept) -> bool:
        """Commits all of it, with whatever the worker has written in the same transaction, durably.

        Returns False, and commits nothing of this, not what the worker has written either, if the position is not `before`, or
        if a path has a pair that is not lower.
        """
        ...

    def undo(self) -> None:
        """The batch was not acknowledged: rolls back what the worker has written since the last `keep`."""
        ...


class AsyncFleetStore(Protocol):
    """The same for AsyncFleetClient. A FleetStore may be used there, too: each method may return its result, or an awaitable."""

    def position(self, partition: int) -> Awaitable[FleetPosition | None]: ...

    def standing(self, source: str, partition: int) -> Awaitable[SourceStanding]: ...

    def known(self, source: str, paths: Collection[bytes]) -> Awaitable[Mapping[bytes, PathKnown]]: ...

    def older(self, source: str, generation: int, after: bytes, most: int) -> Awaitable[Sequence[tuple[bytes, PathKnown]]]: ...

    def keep(self, kept: Kept) -> Awaitable[bool]: ...

    def undo(self) -> Awaitable[None]: ...
