"""What groups, and the requests about them, ask of the index: the one interface between the two. Pure.

`aggregator.index.backlog.Backlog` implements it. tests/unit/aggregator/groups/test_index_port.py says what each implementation
has to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..index.holders import Holders
from ..index.portion import Count, Portion
from ..index.row import Row


class IndexPort(Protocol):
    """Rows by lane, in the order of their ticks, and who holds what.

    Rows become visible in that order, and no call changes a row. Every call is bounded: `pending` and `count` by their `limit` or
    earlier, which they say; the others by what they are given.
    """

    @property
    def incarnation(self) -> str:
        """Tells this index from every other, also from an earlier or later one in its place."""

    @property
    def tick(self) -> int:
        """The last tick that was given."""

    @property
    def collected(self) -> int:
        """Highest tick of a deletion that is forgotten."""

    @property
    def holders(self) -> Holders:
        """Which groups hold which paths, as it follows from the positions that the groups note there."""

    def lanes(self) -> list[int]:
        """Priorities in use, highest first."""

    def pending(self, lane: int, after: int, limit: int) -> Portion:
        """Rows of a lane whose tick is later than `after`, at most `limit` (1 or more) of them, and how far that is."""

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        """Counts rows of a lane with a tick after `after` and up to `upto`, which is later, but not more than `limit` (1 or more)
        of them.
        """

    def rows_at(self, lane: int, ticks: Sequence[int]) -> Sequence[Row]:
        """The rows of a lane that still have one of these ticks, oldest first."""

    def rows_of(self, path: bytes) -> Sequence[Row]:
        """The rows of a path that are events: of a file, of a directory, or of both, at most one each, oldest first."""

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        """A tick such that whatever was committed after a time (ns since 1970) has a later one; and the time of the first note
        about that. The tick is None if the time is before that note, or if there is none.
        """

    def given_by(self, tick: int) -> int | None:
        """A time (ns since 1970) by which a tick was given, about a minute after that for the last day; None if nothing is noted
        of it yet."""

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out, so each of them gets a new tick when it changes."""
