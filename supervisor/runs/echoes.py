"""Notices a command that changes what it is run for, and decides how long its next run waits. Pure.

An *echo* is a change of a file that was last changed while a run for this very file went on. Whether the command has made it or
somebody else, nobody can tell, so a run is made for it as for any other change. But if one echo of a file follows another, the
command most likely changes the file each time. Then each of the next runs for it waits, twice as long as the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: Echoes of a file in a row at which its run has to wait: after runs that last less than QUICK_NS, and after longer ones. During
#: long runs people go on working, and a loop of long runs is a slow one.
ROUNDS_QUICK: Final = 2
ROUNDS_SLOW: Final = 5
QUICK_NS: Final = 1_000_000_000
#: For runs that go on for ever, such as servers: what one changes by itself, it changes mostly at its start.
LATEST_WINDOW_NS: Final = 5_000_000_000
#: The longest time that a run waits, seconds.
PAUSE_S_MAX: Final = 600.0
#: By how much the time of a change may lie before the true time: the kernel's clock for files ticks every 10 ms at the slowest.
_TICK_NS: Final = 10_000_000
#: Paths that are remembered.
_PATHS_MAX: Final = 10_000


@dataclass(slots=True)
class _Span:
    """The time of a run, nanoseconds since 1970."""

    began: int
    #: None: it goes on.
    ended: int | None = None


class Echoes:
    """What is known of the runs of one command.

    Args:
        window_ns: only what changes so soon after the beginning of a run counts, because runs go on for ever; None: runs end.
    """

    def __init__(self, window_ns: int | None = None) -> None:
        self._window = window_ns
        self._open: dict[int, _Span] = {}
        #: The last run for each path; that which began last is the last.
        self._last: dict[bytes, _Span] = {}
        #: Echoes in a row, of paths that have had some.
        self._rounds: dict[bytes, int] = {}

    def begin(self, run: int, paths: Iterable[bytes], now_ns: int) -> None:
        """The run of that number begins for these paths, or is sent a signal that tells it of them."""
        self.end(run, now_ns)
        span = self._open[run] = _Span(now_ns - _TICK_NS)
        for path in paths:
            self._last.pop(path, None)
            self._last[path] = span
        while len(self._last) > _PATHS_MAX:
            path = next(iter(self._last))
            del self._last[path]
            self._rounds.pop(path, None)

    def end(self, run: int, now_ns: int) -> None:
        """It has ended, if it went on."""
        span = self._open.pop(run, None)
        if span is not None:
            span.ended = now_ns

    def may_be_echo(self, path: bytes) -> bool:
        """Whether it matters when this file was last changed: there was a run for it."""
        return path in self._last

    def is_echo(self, path: bytes, changed_ns: int) -> bool:
        """Whether a change of that time is an echo."""
        span = self._last.get(path)
        if span is None or changed_ns < span.began:
            return False
        if self._window is not None and changed_ns > span.began + self._window:
            return False
        return span.ended is None or changed_ns <= span.ended

    def pause_s(self, path: bytes, changed_ns: int) -> float:
        """Takes note of a change, and returns for how many seconds the run for it is to wait: 0 to PAUSE_S_MAX."""
        if not self.is_echo(path, changed_ns):
            self.forget(path)
            return 0.0
        rounds = self._rounds[path] = self._rounds.get(path, 0) + 1
        span = self._last[path]
        lasted = (changed_ns if span.ended is None else span.ended) - span.began
        allowed = ROUNDS_QUICK if lasted < QUICK_NS else ROUNDS_SLOW
        return 0.0 if rounds < allowed else min(PAUSE_S_MAX, 2.0 ** min(rounds - allowed, 30))

    def forget(self, path: bytes) -> None:
        """Somebody else has changed the file: its next echo is the first."""
        self._rounds.pop(path, None)
