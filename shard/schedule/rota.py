"""Gives each anchor its turn to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from ..territory.place import Place


class Rota:
    """Owned by one thread."""

    def __init__(self, anchors_min: int) -> None:
        """`anchors_min`: so many anchors are looked at in one turn, if there are as many."""
        self._anchors_min = anchors_min
        #: The anchor whose turn it is next.
        self._next = 0

    def take(self, places: Sequence[Place]) -> Sequence[Place]:
        """The anchors to look at now: all, if they are few. Of many it is a part, so that each has its turn within four."""
        many = max(self._anchors_min, -(-len(places) // 4))
        if many >= len(places):
            return places
        begin, self._next = self._next, (self._next + many) % len(places)
        return [*places, *places][begin : begin + many]
