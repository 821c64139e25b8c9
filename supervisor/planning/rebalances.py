"""Decides when the trees of a running service are divided anew because some of them have grown, or change far more than others.
Does no input or output."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

#: Seconds from one new plan to the next, doubled each time up to an hour. With each, shards look at everything again.
PAUSE_S: Final = 60.0
PAUSE_S_MAX: Final = 3600.0
#: Where nothing could be moved, the shard that has most has to have so many times as much before it is tried again.
_MORE: Final = 1.25
#: What may be uneven: how much there is in the shards, and how often it changes.
WEIGHT: Final = "weight"
RATE: Final = "rate"
#: So often is it looked at within the time for which the shares have to be uneven.
_LOOKS: Final = 3


class Uneven(Struct, frozen=True):
    """Why the trees of a service are to be divided anew."""

    #: In words; "": they are not.
    why: str = ""
    #: What is uneven: WEIGHT or RATE; "": nothing.
    what: str = ""
    #: How much of it the shard has that has most.
    most: float = 0.0


class Rebalances:
    """For one running service. Times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._begun = self._look_at = now
        self._not_before = 0.0
        self._pause_s = PAUSE_S
        self._uneven_since: float | None = None
        #: What a shard had of what was uneven, by what that was, when nothing could be moved.
        self._tried: dict[str, float] = {}
        self._last = Uneven()
        self._asked = False

    def due(self, period_s: float, now: float) -> bool:
        """Whether it is to be looked at how heavy the shards are; not at the start, for which everybody waits.

        `period_s`: for how long they have to be uneven; 0: never.
        """
        return period_s > 0 and now >= max(self._begun + period_s / _LOOKS, self._look_at, self._not_before)

    def found(self, uneven: Uneven, period_s: float, now: float) -> bool:
        """Notes what was found. Returns whether the trees are to be divided anew."""
        self._look_at = now + period_s / _LOOKS
        self._last = uneven
        if not uneven.why or uneven.most < _MORE * self._tried.get(uneven.what, 0.0):
            self._uneven_since = None
            return False
        if self._uneven_since is None:
            self._uneven_since = now
        self._asked = now - self._uneven_since >= period_s
        return self._asked

    def made(self, *, moved: bool | None, now: float) -> None:
        """Notes that they were divided anew, and whether that moved anything; None: it has failed, and is tried again later. Does
        nothing if `found` did not ask for it."""
        if not self._asked:
            return
        self._asked = False
        self._uneven_since = None
        if moved is not None:
            self._tried = {} if moved else {**self._tried, self._last.what: self._last.most}
        self._not_before = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)
