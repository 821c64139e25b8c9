"""How old a tombstone must be to be removed, on a wall clock that may be set. Pure: the clocks are passed in.

A tombstone contains the wall clock of the look that found the path gone. If the clock is set forward, all tombstones
seem older at once. Then none is removed until the time for which they are kept has passed since the clock was set.
"""

from __future__ import annotations

from typing import Final

#: A change of the difference between the clocks that is no drift, seconds.
STEP_S: Final = 5.0


class Replay:
    """Remembers when the wall clock was set last."""

    def __init__(self, replay_s: float, *, wall: float, now: float) -> None:
        """`replay_s`: how long tombstones stay, in seconds. `wall`: seconds since 1970. `now`: seconds of a monotonic clock."""
        self._replay_s = replay_s
        self._skew = wall - now
        self._kept_until = now

    def horizon_ns(self, *, wall: float, now: float) -> int | None:
        """Returns the time, in ns since 1970, before which tombstones may be forgotten, or None if none may be forgotten yet.

        A suspended machine looks like a clock that was set, where `now` stands still meanwhile: it costs a delay only.
        """
        skew = wall - now
        if abs(skew - self._skew) > STEP_S:
            self._kept_until = now + self._replay_s
        self._skew = skew
        return None if now < self._kept_until else int((wall - self._replay_s) * 1e9)
