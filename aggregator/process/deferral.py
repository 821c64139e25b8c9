"""Whether the commit of a transaction of facts may be deferred, and when what was deferred is committed (`index.deferring`).
Pure: the caller passes the time in.

What other processes see of the index (`find`, `audit`) is as old as the last commit of its database. So commits are deferred only
while there is much to do, and for a second at most; and never while somebody waits for a sync, after which everybody may look.
"""

from __future__ import annotations

import math
from typing import Final

#: Seconds after which what was deferred is committed.
DEFER_S: Final = 1.0
#: Entries of a transaction that make it worth deferring.
_MANY: Final = 100


class Deferral:
    """Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        #: When what was deferred is to be committed; infinite: nothing was.
        self.due = math.inf

    def may_defer(self, entries: int, now: float, *, deferring: bool, syncing: bool) -> bool:
        """Whether the commit of a transaction may be deferred.

        Args:
            entries: which it applies.
            deferring: whether others are deferred at the moment.
            syncing: whether a sync waits.
        """
        if not deferring:
            self.due = math.inf
        return not syncing and (now < self.due if deferring else entries >= _MANY)

    def committed(self, now: float, *, deferring: bool) -> None:
        """There was a commit. `deferring`: whether it was deferred, or others still are."""
        if not deferring:
            self.due = math.inf
        elif self.due == math.inf:
            self.due = now + DEFER_S
