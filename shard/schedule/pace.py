"""Decides when the rescan that follows an overflow may begin. Does no input or output; the clock is passed in.

A rescan reads everything that a shard owns. If changes arrive faster than they can be handled, each rescan would end in
the next overflow, and the shard would do nothing else. So the first rescan is made at once, and those that follow it
wait longer and longer.
"""

from __future__ import annotations

from typing import Final

#: Pause after a rescan that was followed by an overflow, doubled each time up to the maximum, ns.
PAUSE_NS: Final = 500_000_000
PAUSE_NS_MAX: Final = 8_000_000_000
#: So long without an overflow after a rescan, or twice its pause where that is longer, and all is well again, ns.
CALM_NS: Final = 2_000_000_000


class RescanPace:
    """Owned by one thread. Times are nanoseconds of one monotonic clock."""

    def __init__(self) -> None:
        #: Hints were lost, and the rescan for them has not begun.
        self.owed = False
        #: How long the next rescan waits after the end of the last one; 0 if it does not wait.
        self.pause_ns = 0
        #: Rescans that are begun and not ended.
        self._running = 0
        #: When the last rescan ended, or the last overflow came, whichever is later; None: neither, or long ago.
        self._trouble_at: int | None = None
        self._ended_at = 0

    def overflow(self, now: int) -> None:
        """Reports that hints were lost. The pause grows once for each rescan that did not help, however many overflows followed
        it.
        """
        self.relax(now)
        if not self.owed:
            self.owed = True
            if self._trouble_at is not None:
                self.pause_ns = min(max(PAUSE_NS, 2 * self.pause_ns), PAUSE_NS_MAX)
        self._trouble_at = now

    def begun(self) -> None:
        """Reports that a rescan was queued, which covers everything that was lost until now, for whatever reason it was
        requested.
        """
        self.owed = False
        self._running += 1

    def ended(self, now: int) -> None:
        """Reports that the rescan has ended. What was lost since it began is still owed."""
        self._running = max(0, self._running - 1)
        self._ended_at = self._trouble_at = now

    def forget(self) -> None:
        """Reports that a baseline replaces the rescan that is owed or in progress."""
        self.owed = False
        self._running = 0

    def due(self, now: int) -> bool:
        """Whether a rescan is to begin now."""
        at = self.next_due()
        return at is not None and at <= now and self.owed

    def next_due(self) -> int | None:
        """When the owed rescan may begin, or when the pauses end; None if there is nothing to wait for."""
        if self._running:
            return None
        if self.owed:
            return self._ended_at + self.pause_ns if self.pause_ns else 0
        if self.pause_ns and self._trouble_at is not None:
            return self._trouble_at + self._calm_ns()
        return None

    def calm(self, now: int) -> bool:
        """Whether no rescan was followed by an overflow lately; then the next one is made at once again."""
        return not self.pause_ns or self._rested(now)

    def relax(self, now: int) -> None:
        """Ends the pauses, if all is well again. To be called from time to time; `next_due` says when."""
        if self._rested(now):
            self._trouble_at = None
            self.pause_ns = 0

    def _rested(self, now: int) -> bool:
        """Whether there was trouble, and it has been over for long enough."""
        if self._trouble_at is None or self.owed or self._running:
            return False
        return now >= self._trouble_at + self._calm_ns()

    def _calm_ns(self) -> int:
        return max(CALM_NS, 2 * self.pause_ns)
