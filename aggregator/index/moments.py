"""Notes of which tick was the last one at which time, so that a group can be moved back to a time.

A note is written in a commit that is made anyway, at most once a minute, and only if something has changed since the last one. It
says that every tick up to its own was given by then. Old notes are thinned out (`thinned`), so their number is bounded.

The wall clock may be set back or forward at any time. Ticks only grow, so the order of the notes is known all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from .file import IndexFile

_SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * _SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
#: Notes of the last day are kept as they are, those of the last month one an hour, those of the last year one a day, and of older
#: ones the last.
MONTH_NS: Final = 30 * DAY_NS
YEAR_NS: Final = 365 * DAY_NS
#: Notes that are kept at most, whatever the clock does: the above are some 2,500.
NOTES_MAX: Final = 5_000


class Moment(NamedTuple):
    """One note: at that time (ns since 1970, by the wall clock of then) this was the last tick."""

    tick: int
    at_ns: int


class Moments:
    """The notes of one index. Owned by its thread."""

    def __init__(self, file: IndexFile, wall_ns: Callable[[], int]) -> None:
        self._file = file
        self._wall_ns = wall_ns
        last = file.db.execute("SELECT tick, at_ns FROM moment ORDER BY tick DESC LIMIT 1").fetchone()
        self._last = Moment(-1, 0) if last is None else Moment(*last)

    def note(self) -> None:
        """Notes the present, if something has changed since the last note and that is a minute old. Call it before a commit."""
        tick = self._file.ticks.last
        if tick == self._last.tick or not self._file.is_open:
            return
        now = self._wall_ns()
        if self._last.at_ns <= now < self._last.at_ns + MINUTE_NS:
            return
        self._file.db.execute("INSERT OR REPLACE INTO moment VALUES (?, ?)", (tick, now))
        thin = now // HOUR_NS != self._last.at_ns // HOUR_NS
        self._last = Moment(tick, now)
        if thin:
            self._file.db.executemany("DELETE FROM moment WHERE tick=?", [(gone,) for gone in thinned(self.all(), now)])

    def all(self) -> list[Moment]:
        """All notes, in the order of their ticks."""
        return [Moment(*row) for row in self._file.db.execute("SELECT tick, at_ns FROM moment ORDER BY tick")]

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        """A tick such that whatever was committed after a time has a later one; and the time of the first note. The tick is None
        if the time is before that note, or if there is none."""
        moments, now = self.all(), self._wall_ns()
        return last_tick(moments, at_ns, now), min((moment.at_ns for moment in moments if moment.at_ns <= now), default=None)

    def given_by(self, tick: int) -> int | None:
        """The time of the first note, in the order of their ticks, by which that tick was given; None if there is none."""
        found = self._file.db.execute("SELECT at_ns FROM moment WHERE tick>=? ORDER BY tick LIMIT 1", (tick,)).fetchone()
        return None if found is None else int(found[0])


def last_tick(moments: Sequence[Moment], at_ns: int, now_ns: int) -> int | None:
    """The tick of the last note before the first one that is later than `at_ns`; None if there is no such note.

    If the clock was set back, notes of both sides of the step may have the same time. Then the earlier tick is the answer, so
    that too much is handed out rather than too little. Notes that lie in the future were made by a clock that was wrong, and
    count for nothing.

    Args:
        moments: in the order of their ticks.
    """
    found = None
    for moment in moments:
        if moment.at_ns > now_ns:
            continue
        if moment.at_ns > at_ns:
            break
        found = moment.tick
    return found


def thinned(moments: Sequence[Moment], now_ns: int) -> list[int]:
    """The ticks of the notes that are not kept any more. Of each span of time the first note stays, and of all that are older
    than a year the last.

    Args:
        moments: in the order of their ticks.
    """
    gone: list[int] = []
    oldest: int | None = None
    kept: set[tuple[int, int]] = set()
    for tick, at_ns in moments:
        age_ns = now_ns - at_ns
        if age_ns >= YEAR_NS:
            if oldest is not None:
                gone.append(oldest)
            oldest = tick
            continue
        span_ns = 1 if age_ns < DAY_NS else HOUR_NS if age_ns < MONTH_NS else DAY_NS
        span = (span_ns, at_ns // span_ns)
        if span in kept:
            gone.append(tick)
        kept.add(span)
    left = len(moments) - len(gone)
    if left > NOTES_MAX:
        forgotten = set(gone)
        gone += [moment.tick for moment in moments if moment.tick not in forgotten][: left - NOTES_MAX]
    return gone
