"""The end of a shard that is to be started again: it finishes what it has begun, sends it, and waits until it is committed. Pure:
the clock is passed in, ns.

Both take a limited time. What is left is found by the baseline of the successor, so nothing depends on it.
"""

from __future__ import annotations

from typing import Final

#: How long looks that wait are made, and how long the last frames may take after that, ns.
_FINISH_NS: Final = 5_000_000_000
_COMMIT_NS: Final = 10_000_000_000


class Departure:
    """Owned by one thread.

    Attributes:
        code: the exit code of the process; 0 before `begin`.
    """

    def __init__(self) -> None:
        self.code = 0
        self._begun_at = 0

    @property
    def begun(self) -> bool:
        return self.code != 0

    def begin(self, now: int, code: int) -> None:
        """The process is to end with that code. Once begun, it stays so."""
        if not self.code:
            self.code, self._begun_at = code, now

    def looks_no_more(self, now: int, *, rests: bool) -> bool:
        """Whether nothing more is looked at. `rests`: nothing waits to be looked at."""
        return self.begun and (rests or now >= self._begun_at + _FINISH_NS)

    def is_over(self, now: int) -> bool:
        """Whether nothing more is waited for."""
        return self.begun and now >= self._begun_at + _FINISH_NS + _COMMIT_NS

    def next_due(self, now: int) -> int | None:
        """When one of these times is over; None: that is not waited for."""
        if not self.begun:
            return None
        finished = self._begun_at + _FINISH_NS
        return finished if now < finished else finished + _COMMIT_NS
