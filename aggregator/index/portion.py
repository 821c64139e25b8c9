"""What one bounded look at the queue found, and how far it got. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .row import Row


class Portion(NamedTuple):
    """The rows of a lane after some tick, as far as one look got. How many they are says nothing about whether more follow: a
    look may end before it has found as many as were asked for.
    """

    #: In the order of their ticks.
    rows: Sequence[Row]
    #: Every row of the lane from where the look began up to this tick is in `rows`. It is later than where the look began, unless
    #: that is the end.
    upto: int
    #: Whether no row of the lane follows. Where that would need another look it is False.
    end: bool

    def covers(self, tick: int) -> bool:
        """Whether every row from where the look began up to this tick is in `rows`."""
        return self.end or tick <= self.upto


class Count(NamedTuple):
    """How many rows a lane has up to a tick, as far as one look got."""

    rows: int
    #: Every row from where the look began up to this tick is counted. It is later than where the look began.
    upto: int
