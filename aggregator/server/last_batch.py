"""Finds the batch with which a group has received everything that changed during a hold, and that is marked `settled`.
Pure.

Used by `holding` only. A restart of the aggregator forgets it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.units import Fate


class _Awaited(Struct):
    """The last batch of one group."""

    #: The ticks of everything that changed during the hold are not later than this one.
    tick: int
    #: The number of the batch once it has been handed out, 0 before.
    batch: int = 0


class LastBatches:
    """The groups whose last batch has not been acknowledged yet."""

    def __init__(self, index: IndexPort) -> None:
        self._index = index
        #: By the group's key.
        self._awaited: dict[int, _Awaited] = {}

    def await_all(self, groups: Collection[Group]) -> None:
        """Everything that changed during a hold is in the index. The groups that have not been handed all of it wait for their
        last batch from now on, and no other groups do.
        """
        tick = self._index.tick
        self._awaited = {group.key: self._awaited[group.key] for group in groups if group.key in self._awaited}
        for group in groups:
            if not group.has_handed_out(self._index, tick):
                self._awaited[group.key] = _Awaited(tick)

    def batch_leased(self, group: Group, number: int) -> bool:
        """A batch has just been handed out. Returns True if it is the last one, which is to be marked.

        A last batch that fails is not the last one any more. When its events are handed out again, the last one is found anew.
        """
        awaited = self._found(group)
        if awaited is None:
            return False
        awaited.batch = number
        return True

    def nothing_left(self, group: Group) -> None:
        """A pull found nothing. If no last batch is on lease, there will be none, because the pending changes were undone."""
        if self._found(group) is not None:
            del self._awaited[group.key]

    def _found(self, group: Group) -> _Awaited | None:
        """The last batch of the group, if it has just been handed out."""
        awaited = self._awaited.get(group.key)
        if awaited is None:
            return None
        if awaited.batch:
            fate = group.batches.fate(awaited.batch)
            if fate is Fate.ACKED:
                del self._awaited[group.key]
            if fate is not Fate.ENDED:
                return None
        return awaited if group.has_handed_out(self._index, awaited.tick) else None
