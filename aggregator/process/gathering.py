"""While much changes, frames are gathered for a moment and applied in one transaction. Pure: the caller passes the time in.

In a tree in which thousands of files change each second, all over it, shards send frames of some fifty names, a hundred times
a second. A transaction for each of them costs more than what is in it: pages of the database that two of them change are
written twice, groups are served, and workers answer, a hundred times. So the frames of 50 ms are taken together. A change that
comes while little else does waits for nothing.
"""

from __future__ import annotations

import math
from typing import Final

#: Seconds from the beginning of one transaction to that of the next one, while there is much.
GATHER_S: Final = 0.05
#: Entries within that time that are much.
_MUCH: Final = 100


class Gathering:
    """When the next transaction may begin. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._begun = -math.inf
        #: Entries of the last moments: what was taken GATHER_S ago or earlier does not count, and later, in part.
        self._recent = 0.0

    def took(self, entries: int, begun: float) -> None:
        """A transaction that was begun at this time has applied so many entries."""
        faded = (begun - self._begun) / GATHER_S
        self._recent = self._recent * max(0.0, 1.0 - faded) + entries
        self._begun = begun

    def left_s(self, now: float) -> float:
        """How long frames are gathered yet; 0: they may be taken."""
        return max(0.0, self._begun + GATHER_S - now) if self._recent >= _MUCH else 0.0
