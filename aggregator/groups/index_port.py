"""The interface through which a group uses the index; `aggregator.index.backlog.Backlog` implements it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..index.holders import Holders
from ..index.row import Row


class IndexPort(Protocol):
    """Rows by lane, in the order of their ticks, and who holds what. Rows become visible in that order."""

    @property
    def incarnation(self) -> str: ...

    #: The last tick given, and the highest of a deletion that is forgotten.
    @property
    def tick(self) -> int: ...
    @property
    def collected(self) -> int: ...

    @property
    def holders(self) -> Holders: ...

    def lanes(self) -> list[int]: ...
    def pending(self, lane: int, after: int, limit: int) -> Sequence[Row]: ...
    def rows_at(self, lane: int, ticks: Sequence[int]) -> Sequence[Row]: ...
    def count(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]: ...
    def note_handed(self, lane: int, tick: int) -> None: ...
