"""Gives each anchor its turn to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..territory.place import Place

#: Anchors whose identity is looked at in one go.
_ANCHORS_A_TURN: Final = 64


class Rota:
    """Owned by one thread."""

    def __init__(self) -> None:
        #: The anchor whose turn it is next.
        self._next = 0

    def take(self, places: Sequence[Place]) -> Sequence[Place]:
        """The anchors to look at now: all, if they are few. Of many it is a part, so that each has its turn within four."""
        many = max(_ANCHORS_A_TURN, -(-len(places) // 4))
        if many >= len(places):
            return places
        begin, self._next = self._next, (self._next + many) % len(places)
        return [*places, *places][begin : begin + many]
