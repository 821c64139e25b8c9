"""When a shard's next beat is due, and what a beat must report before any frame. Pure: the clock is passed in, ns.

The lock files of version control must be known to the aggregator before the changes that were made under them. The end of the
baseline is reported at once as well, so that whoever waits for readiness sees the counts that belong to it; so is that a shard is
ready for what the next plan gives it, since the coordinator waits for that; and so is how things are after a sync, if there were
doubts before it, so that whoever waits for it is told of none that is over. An aggregator that has begun anew is told at once how
the shard is: a sync that it has answered would otherwise have been answered by a shard from which it has no sign of life.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..contract.limits import BEAT_S, next_beat

_PERIOD_NS: Final = int(BEAT_S * 1e9)
#: Pause before a beat that nobody took is tried again.
_RETRY_NS: Final = 50_000_000


class Heartbeat:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._at = 0
        self._news_unreported = False
        self._reported_locks: list[bytes] = []
        #: Whether the last beat named doubts.
        self._doubtful = False
        #: Of the aggregator, in the last reply; 0 before the first.
        self.life = 0

    def end_baseline(self) -> None:
        """The baseline is done, and no beat has said so."""
        self._news_unreported = True

    def get_ready(self) -> None:
        """It is decided whether what is watched in advance can be taken over, and no beat has said so."""
        self._news_unreported = True

    def answer_sync(self) -> None:
        """A sync was answered, and no beat was taken since. What the last one said in doubt may be so no more."""
        self._news_unreported |= self._doubtful

    def hear(self, life: int) -> None:
        """A reply has come, from this life of the aggregator. Another than before knows of no locks, nor how this shard is."""
        if life != self.life:
            self.life = life
            self._news_unreported = True  # the last beat may have gone to another one
            self._reported_locks = []

    def owes(self, locks: Sequence[bytes]) -> bool:
        """Whether a beat must go before any frame; `locks`: the lock files that there are now."""
        return self._news_unreported or list(locks) != self._reported_locks

    def due(self, now: int, locks: Sequence[bytes]) -> bool:
        return now >= self._at or self.owes(locks)

    def next_due(self) -> int:
        """When a beat is due by the clock."""
        return self._at

    def beat(self, now: int, locks: Sequence[bytes], *, doubtful: bool = False) -> None:
        """A beat that names these locks was taken. `doubtful`: it names doubts."""
        self._at = next_beat(now, _PERIOD_NS)
        self._news_unreported = False
        self._doubtful = doubtful
        self._reported_locks = list(locks)

    def refused(self, now: int) -> None:
        """Nobody took the beat."""
        self._at = now + _RETRY_NS
