"""How long a stand-in stays in the place of a watcher that crashes. Pure: the clock is passed in, ns."""

from __future__ import annotations

from typing import Final

from ..contract.process.stand_in import StandIn

#: Shortest life of a stand-in: what ends within supervisord's start-up grace (1 s) counts as a failed start.
_LIFE_NS_MIN: Final = 2_000_000_000


class Shift:
    """`stand_in`: None for an ordinary shard, whose shift has no end. `now`: when the process began."""

    def __init__(self, stand_in: StandIn | None, now: int) -> None:
        self._stand_in = stand_in
        self._begun_at = now
        self._end_at: int | None = None

    def end_baseline(self, now: int) -> None:
        """Everything has been looked at: from now on its time counts. Only the first baseline does."""
        if self._stand_in is not None and self._end_at is None:
            self._end_at = max(now + int(self._stand_in.for_s * 1e9), self._begun_at + _LIFE_NS_MIN)

    def is_over(self, now: int) -> bool:
        return self._end_at is not None and now >= self._end_at

    def next_due(self, now: int) -> int | None:
        """When it will be over; None if it is, or nobody knows yet."""
        return None if self.is_over(now) else self._end_at
