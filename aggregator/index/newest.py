"""The rows that changed last, kept in memory for groups that have come to them: they are handed out without being read. Pure.

What is kept are the rows of all ticks from some tick up to the last one that was given, in pieces: each is a page that was
written as a whole, or a few rows. It is a copy of what the index holds, and nothing depends on it. Whoever gives ticks need not
tell: where a tick is missing, what is kept begins anew behind it. But whoever changes a row says so (`forget`), since the row may
have another tick then, or none.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from .page import Page
from .portion import Pieces, first
from .row import Row

#: Bytes that are kept at most, about: at most times, and while there is much to do (`expand`).
BYTES_MAX: Final = 128 << 10
BYTES_MAX_EXPANDED: Final = 8 << 20
#: What is counted for a row, and for a page beside its names and stats.
_ROW_BYTES: Final = 512
_PAGE_BYTES: Final = 768
_tick: Final = attrgetter("tick")
_lane: Final = attrgetter("lane")


class _Written(NamedTuple):
    """A page, and the path of its directory."""

    page: Page
    path: bytes


class Newest:
    """Of one index. `last`: the last tick that was given."""

    def __init__(self, last: int) -> None:
        #: All rows with later ticks are kept.
        self._after = last
        self._pieces: list[_Written | Sequence[Row]] = []
        #: Of each piece: its lane, its last tick, and its size.
        self._lanes: list[int] = []
        self._lasts: list[int] = []
        self._sizes: list[int] = []
        self._size = 0
        self._size_max = BYTES_MAX

    def note_page(self, page: Page, path: bytes) -> None:
        """A whole page was written, all of whose entries have got new ticks. `path`: of its directory."""
        self._note(_Written(page, path), page.lane, page.base, page.tick, len(page.names) + len(page.stats) + _PAGE_BYTES)

    def note_rows(self, rows: Sequence[Row]) -> None:
        """These rows, one at least, were written with new ticks, which follow one another."""
        for lane, same in groupby(rows, _lane):
            piece = list(same)
            self._note(piece, lane, piece[0].tick, piece[-1].tick, len(piece) * _ROW_BYTES)

    def _note(self, piece: _Written | Sequence[Row], lane: int, begin: int, last: int, size: int) -> None:
        if begin != self.upto + 1:
            self._drop(len(self._pieces))
            self._after = begin - 1
        self._pieces.append(piece)
        self._lanes.append(lane)
        self._lasts.append(last)
        self._sizes.append(size)
        self._size += size
        if self._size > self._size_max:
            self._halve()

    @property
    def after(self) -> int:
        """The tick after which all rows are kept."""
        return self._after

    @property
    def upto(self) -> int:
        """The last tick that is kept."""
        return self._lasts[-1] if self._lasts else self._after

    def forget(self, tick: int) -> None:
        """The row with this tick changes: neither it nor what comes before it is kept any longer."""
        if self._after < tick <= self.upto:
            self._drop(bisect_left(self._lasts, tick) + 1)

    def forget_between(self, first: int, last: int) -> None:
        """The same of rows of which these are the least tick and the greatest."""
        if first <= self.upto and last > self._after:
            self.forget(min(last, self.upto))

    def _halve(self) -> None:
        """Forgets the older half, so that it is not moved at each note."""
        count = 0
        while self._size > self._size_max // 2:
            self._size -= self._sizes[count]
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        """Forgets so many pieces, the oldest first."""
        if count:
            self._after = self._lasts[count - 1]
        for kept in (self._pieces, self._lanes, self._lasts, self._sizes):
            del kept[:count]
        self._size = sum(self._sizes)

    def pending(self, lane: int, after: int, upto: int, limit: int) -> Pieces | None:
        """Rows of a lane whose tick is later than `after`, at most `limit` (1 or more) of them, in the order of their ticks; None
        if not all are kept. `upto`: the last tick that was given.
        """
        if after < self._after or self.upto != upto:
            return None
        found: list[Sequence[Row]] = []
        missing = limit
        for place in range(bisect_right(self._lasts, after), len(self._pieces)):
            if self._lanes[place] != lane:
                continue
            piece = self._pieces[place]
            if isinstance(piece, _Written):
                found.append(piece.page.stretch(piece.path, after))
            else:
                found.append(piece[bisect_right(piece, after, key=_tick) :])
            missing -= len(found[-1])
            if missing <= 0:
                return first(found, limit, limit - missing)
        return found

    # -- room

    def expand(self) -> None:
        """Keeps more, for a burst, until `shrink`. Idempotent."""
        self._size_max = BYTES_MAX_EXPANDED

    def shrink(self) -> None:
        """Forgets everything."""
        self._size_max = BYTES_MAX
        self._drop(len(self._pieces))
