"""The list of holds: since when and for how much longer they hold batches back. Pure: the clock is passed in. Used by
`holding` only.

A *period* of holding begins with the first hold. It lasts until the last one has ended and the changes made during it
have been looked at (`let_flow`), but never longer than the maximum. After that, every hold of the period is *spent*,
and batches flow although it continues. So a lock file that a crashed program left behind delays batches once, and a
later hold counts again. Nothing here is durable. After a restart of the aggregator clients renew their holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

#: How many named holds there may be at a time. Further ones are refused.
HOLDS_MAX: Final = 100


class ActiveHold(Struct):
    """One reason to hold batches back. Times are seconds of the caller's clock."""

    name: str
    since: float
    #: The end of the lease. Infinite for a lock file, which ends when a shard reports that it is gone.
    until: float
    #: It has held batches back for the maximum time, so they flow although it still exists.
    spent: bool = False


class Holds:
    """All holds of a service: named ones, and lock files of version control.

    Args:
        cap_s: the maximum period of holding, in seconds.
    """

    def __init__(self, cap_s: float) -> None:
        self._cap_s = cap_s
        self.by_name: dict[str, ActiveHold] = {}
        self._locks: dict[bytes, ActiveHold] = {}
        #: When the period of holding began, or None while batches flow.
        self.began: float | None = None
        #: Whether a hold has ended since `advance` last returned True.
        self._ended = False

    def __iter__(self) -> Iterator[ActiveHold]:
        yield from self.by_name.values()
        yield from self._locks.values()

    @property
    def held(self) -> bool:
        """Whether batches are held back now."""
        return self.began is not None

    @property
    def rests(self) -> bool:
        """Whether there is no hold, and nothing is left to follow from one: then `advance` does nothing."""
        return not (self.by_name or self._locks or self._ended or self.began is not None)

    @property
    def counts(self) -> bool:
        """Whether there is a hold that is not spent."""
        return any(not hold.spent for hold in self)

    # -- who holds

    def take(self, name: str, now: float, lease_s: float) -> ActiveHold | None:
        """Takes or renews a hold, which ends `lease_s` seconds from now. Returns None if there are HOLDS_MAX holds already."""
        hold = self.by_name.get(name)
        if hold is None:
            if len(self.by_name) >= HOLDS_MAX:
                return None
            hold = self.by_name[name] = ActiveHold(name, now, now)
            self._begin(now)
        hold.until = now + lease_s
        return hold

    def drop(self, name: str) -> bool:
        """Ends a hold. Returns False if there is none of that name."""
        found = self.by_name.pop(name, None) is not None
        self._ended = self._ended or found
        return found

    def see(self, locks: Iterable[bytes], now: float) -> None:
        """Takes over the lock files that exist now. Those that are not among them have ended."""
        there = set(locks)
        if there == self._locks.keys():
            return
        for path in there - self._locks.keys():
            self._locks[path] = ActiveHold(path.decode("utf-8", "replace"), now, float("inf"))
            self._begin(now)
        for path in self._locks.keys() - there:
            del self._locks[path]
            self._ended = True

    def _begin(self, now: float) -> None:
        if self.began is None:
            self.began = now

    # -- what follows

    def advance(self, now: float) -> bool:
        """Ends expired leases and applies the maximum.

        Returns True once when the last hold that counts has ended. The caller then waits until the changes that were made during
        the hold have been looked at, and calls `let_flow` unless a hold `counts` again.
        """
        for name in [h.name for h in self.by_name.values() if h.until <= now]:
            self.drop(name)
        if self.began is not None and now >= self.began + self._cap_s:
            self.began = None
            for hold in self:
                hold.spent = True
        if not self._ended or self.counts:
            return False
        self._ended = False
        return True

    def let_flow(self) -> None:
        """Ends the period of holding. The changes that were made during it are in the index."""
        self.began = None

    def next_due(self) -> float:
        """The time at which `advance` has something to do."""
        if self.began is None and not self.by_name:
            return float("inf")
        ends = [hold.until for hold in self.by_name.values()]
        return min(ends if self.began is None else [*ends, self.began + self._cap_s], default=float("inf"))

    def shift(self, by: float) -> None:
        """Extends all holds, because the service could not answer for `by` seconds, so that no hold could be renewed."""
        for hold in self.by_name.values():
            hold.until += by
        if self.began is not None:
            self.began += by

    def describe(self, now: float) -> list[dict[str, object]]:
        """The holds as `status` and `groups` show them, the oldest first."""
        return [
            {
                "name": hold.name,
                "kind": "lock" if hold.until == float("inf") else "lease",
                "held_s": round(now - hold.since, 1),
                "ends_in_s": None if hold.until == float("inf") else round(hold.until - now, 1),
                "spent": hold.spent,
            }
            for hold in sorted(self, key=lambda h: h.since)
        ]
