"""What one bounded look at the queue found, and how far it got. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

from .row import Row
from .stretch import Stretch

#: Some rows, in the order of their ticks, in pieces: each is a `Stretch` or a list, and none is empty.
Pieces = Sequence[Sequence[Row]]
_tick: Final = attrgetter("tick")


class Portion(NamedTuple):
    """The rows of a lane after some tick, as far as one look got. How many they are says nothing about whether more follow: a
    look may end before it has found as many as were asked for.
    """

    #: What was found.
    pieces: Pieces
    #: Every row of the lane from where the look began up to this tick was found. It is later than where the look began, unless
    #: that is the end.
    upto: int
    #: Whether no row of the lane follows. Where that would need another look it is False.
    end: bool

    @property
    def rows(self) -> list[Row]:
        """The rows, one by one."""
        return list(chain.from_iterable(self.pieces))

    def covers(self, tick: int) -> bool:
        """Whether every row from where the look began up to this tick was found."""
        return self.end or tick <= self.upto


class Count(NamedTuple):
    """How many rows a lane has up to a tick, as far as one look got."""

    rows: int
    #: Every row from where the look began up to this tick is counted. It is later than where the look began.
    upto: int


def total(pieces: Pieces) -> int:
    """How many rows these are."""
    return sum(map(len, pieces))


def first(pieces: Pieces, limit: int, count: int) -> Pieces:
    """The first rows of these, at most so many. `count`: how many they are, which takes time to find out."""
    found, over = list(pieces), count - limit
    while over > 0:
        last = found.pop()
        over -= len(last)
        if over < 0:
            found.append(last[:-over])
    return found


def mixed(stretches: Sequence[Stretch], rows: Sequence[Row]) -> Pieces:
    """What pages hold and what lies outside of them, together; each in the order of ticks. The ticks of two pages never overlap,
    but a row may have one between those of a page."""
    found: list[Sequence[Row]] = []
    at = 0
    for stretch in stretches:
        before = bisect_left(rows, stretch.ticks[0], at, key=_tick)
        inside = bisect_left(rows, stretch.ticks[-1], before, key=_tick)
        if at < before:
            found.append(rows[at:before])
        found.append(sorted([*stretch, *rows[before:inside]]) if before < inside else stretch)
        at = inside
    if at < len(rows):
        found.append(rows[at:])
    return found
