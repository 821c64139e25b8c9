"""Notices a command that changes what it watches, and decides how long its next run waits. Pure.

An *echo* is a change of a file that was last changed while a run went on. Whether the command has made it or somebody else,
nobody can tell, so a run is made for it as for any other change. But if runs that were made for echoes lead to echoes again, the
command most likely changes what it watches. Then each of the next runs waits, twice as long as the one before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from .command import Run

#: Echoes in a row at which a run has to wait: after runs that last less than QUICK_NS, and after longer ones. During long runs
#: people go on working, and a loop of long runs is a slow one.
ROUNDS_QUICK: Final = 2
ROUNDS_SLOW: Final = 5
QUICK_NS: Final = 1_000_000_000
#: For runs that go on for ever, such as servers: what one changes by itself, it changes mostly at its start.
LATEST_WINDOW_NS: Final = 5_000_000_000
#: The longest time that a run waits, seconds.
PAUSE_S_MAX: Final = 600.0
#: By how much the time of a change may lie before the true time: the kernel's clock for files ticks every 10 ms at the slowest.
_TICK_NS: Final = 10_000_000
#: Runs and paths that are remembered.
_SPANS_MAX: Final = 1024
_PATHS_MAX: Final = 10_000


@dataclass(slots=True)
class _Span:
    """The time of a run, nanoseconds since 1970."""

    began: int
    #: None: it goes on.
    ended: int | None
    #: Echoes in a row that it was made for: of each path where there were any, and of the path with the fewest.
    paths: dict[bytes, int]
    fewest: int


class Echoes:
    """What is known of the runs of one command, and of the paths that change during them.

    Args:
        window_ns: only what changes so soon after the beginning of a run counts, because runs go on for ever; None: runs end.
    """

    def __init__(self, window_ns: int | None = None) -> None:
        self._window = window_ns
        #: In the order in which they began; those that go on, by number of the run; and when one ended last.
        self._spans: deque[_Span] = deque(maxlen=_SPANS_MAX)
        self._open: dict[int, _Span] = {}
        self._ended = 0
        #: Echoes in a row, by path; the one that was seen last is the last.
        self._rounds: dict[bytes, int] = {}

    def begin(self, run: Run, now_ns: int) -> None:
        """The run begins, or is sent a signal that tells it of changes."""
        self.end(run, now_ns)
        paths = {change.path: rounds for change in run.changes if (rounds := self._rounds.get(change.path))}
        fewest = min(paths.values()) if paths and len(paths) == len(run.changes) else 0
        span = self._open[run.number] = _Span(now_ns - _TICK_NS, None, paths, fewest)
        self._spans.append(span)

    def end(self, run: Run, now_ns: int) -> None:
        """It has ended, if it went on."""
        span = self._open.pop(run.number, None)
        if span is not None:
            span.ended = self._ended = now_ns

    def is_echo(self, changed_ns: int) -> bool:
        """Whether a file that was last changed at that time was changed while a run went on."""
        return self._span_of(changed_ns) is not None

    def pause_s(self, path: bytes, changed_ns: int) -> float:
        """Takes note of a change, and returns for how many seconds the run for it is to wait: 0 to PAUSE_S_MAX."""
        span = self._span_of(changed_ns)
        self._rounds.pop(path, None)
        if span is None:
            return 0.0
        rounds = self._rounds[path] = 1 + span.paths.get(path, span.fewest)
        if len(self._rounds) > _PATHS_MAX:
            del self._rounds[next(iter(self._rounds))]
        lasted = (changed_ns if span.ended is None else span.ended) - span.began
        allowed = ROUNDS_QUICK if lasted < QUICK_NS else ROUNDS_SLOW
        return 0.0 if rounds < allowed else min(PAUSE_S_MAX, 2.0 ** min(rounds - allowed, 30))

    def _span_of(self, changed_ns: int) -> _Span | None:
        """The latest run that went on then."""
        if not self._spans or changed_ns < self._spans[0].began or (changed_ns > self._ended and not self._open):
            return None
        for span in reversed(self._spans):
            end = span.ended
            if self._window is not None:
                end = span.began + self._window if end is None else min(end, span.began + self._window)
            if span.began <= changed_ns and (end is None or changed_ns <= end):
                return span
        return None
