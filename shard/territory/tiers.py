"""How often directories without a watch are looked at: in tiers, by how recently something changed in them. Pure.

Each tier has an interval, in which every directory of it is looked at once. The intervals follow from what a look at all
directories of each tier costs, so that all of it together takes no more than a share of a processor core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

#: A directory in which something changed so recently is active, ns; and so recently: it is recent.
ACTIVE_NS: Final = 60_000_000_000
RECENT_NS: Final = 3_600_000_000_000
#: Part of the share that may be spent on looking at every directory within the longest interval. The rest is for those in which
#: something changes, also where the share does not suffice for all.
_FOR_ALL: Final = 0.8
#: By how much a pause is shortened at random, at most, so that services that began together do not go on asking together.
JITTER: Final = 0.1
#: What is done at a time in a tier takes about so long, ns of the processor; and a pause takes at least so long, ns.
_BATCH_NS: Final = 5_000_000
_PAUSE_NS_MIN: Final = 20_000_000


class Tier(IntEnum):
    """How recently something changed in a directory, as far as looks have shown."""

    ACTIVE = 0
    RECENT = 1
    QUIET = 2


def tier_of(quiet_ns: int) -> Tier:
    """The tier of a directory in which nothing has changed for that time, ns."""
    return Tier.ACTIVE if quiet_ns < ACTIVE_NS else Tier.RECENT if quiet_ns < RECENT_NS else Tier.QUIET


def intervals(costs: Sequence[float], *, share: float, shortest_ns: int, longest_ns: int) -> list[int]:
    """The interval of each tier, ns.

    First, every directory is to be looked at within `longest_ns`. What is left of the share then shortens the interval of the
    first tier, down to `shortest_ns`, then that of the next. If the share does not suffice for `longest_ns`, the intervals are
    longer.

    Args:
        costs: processor time of a look at every directory of each tier, ns, not negative; the most active tier comes first.
        share: part of a processor core for all of it, above 0.
        shortest_ns, longest_ns: bounds of the intervals, above 0; the first is not above the second.
    """
    # What is planned is a little less than the share, because pauses are shortened at random.
    share *= 1 - JITTER
    total = sum(costs)
    base = max(float(longest_ns), total / (_FOR_ALL * share))
    spare = share - total / base
    found = []
    for cost in costs:
        wanted = cost * (1 / shortest_ns - 1 / base)
        if wanted <= spare:
            found.append(shortest_ns)
            spare -= wanted
        else:
            found.append(math.ceil(1 / (1 / base + spare / cost)))
            spare = 0.0
    return found


def needed_share(cost: float, longest_ns: int) -> float:
    """The share of a core with which looks that cost so much, ns, keep `longest_ns`."""
    return cost / longest_ns / _FOR_ALL / (1 - JITTER)


class Turns:
    """When the next directories of one tier are looked at, and how many. A round is one look at each of them, and takes no longer
    than the interval. Times are ns of one monotonic clock.
    """

    def __init__(self) -> None:
        self._last = 0
        self._credit = 0.0
        self._chance = 0.0

    def next_due(self, count: int, cost: float, interval_ns: int, *, since: int) -> int:
        """When `take` is to be called next. `since`: when the tier got its first directory."""
        return max(self._last, since) + int(_pause(count, cost, interval_ns) * (1 - JITTER * self._chance))

    def take(self, now: int, count: int, cost: float, interval_ns: int, *, since: int, chance: float) -> int:
        """How many directories are to be looked at now, those first that were looked at longest ago; 0 before `next_due`.

        Args:
            count: directories of the tier.
            cost: processor time of a look at all of them, ns.
            since: when the tier got its first directory.
            chance: from 0 to 1, at random, for the next pause.
        """
        if count == 0 or now < self.next_due(count, cost, interval_ns, since=since):
            return 0
        elapsed, self._last, self._chance = now - max(self._last, since), now, chance
        if _pause(count, cost, interval_ns) >= interval_ns:
            self._credit = 0.0
            return count
        self._credit = min(self._credit + count * elapsed / (interval_ns * (1 - JITTER)), float(count))
        taken = int(self._credit)
        self._credit -= taken
        return taken

    def missed(self, count: int) -> None:
        """So many of those that `take` said were not looked at: they come with the next ones."""
        self._credit += count


def _pause(count: int, cost: float, interval_ns: int) -> int:
    """The longest pause: a small tier is looked at as a whole once in an interval, a large one in parts."""
    if cost <= _BATCH_NS or count <= 1:
        return interval_ns
    return min(interval_ns, int(max(interval_ns * _BATCH_NS / cost, interval_ns / count, _PAUSE_NS_MIN)))
