"""When a command that has started a service asks it how it is. Pure: the clock is passed in, seconds."""

from __future__ import annotations

from typing import Final

from shardwatch.shard.contract.limits import BEAT_S, next_beat

#: Seconds between two questions, at multiples of this time: a multiple of the beat, at which the service is awake in any case.
EVERY_S: Final = 2 * BEAT_S
#: After so many answers that told nothing new, while nothing is wrong, every other question is left out: an answer costs the
#: service more than all else that it does while nothing happens.
_CALM: Final = 5
#: Seconds by which a question may be late. If it is later, this process was held up itself (by a reader that stalls, or with the
#: whole machine), and what it was not answered meanwhile says nothing of the service.
_LATE_S_MAX: Final = 1.0


class Rounds:
    """`due`: when to ask next."""

    def __init__(self, now: float) -> None:
        self.due = now + EVERY_S
        self._calm = 0

    def is_late(self, now: float) -> bool:
        """Whether the question comes so late that its predecessor's missing answer is not the service's fault."""
        return now - self.due > _LATE_S_MAX

    def begin(self, now: float) -> None:
        """A question is asked now. If it is not answered, that is noticed with the next one."""
        self.due = self._after(now, EVERY_S)

    def answered(self, now: float, *, calm: bool) -> None:
        """The answer has come. `calm`: it told nothing new, and nothing is wrong."""
        self._calm = self._calm + 1 if calm else 0
        if self._calm > _CALM:
            self.due = self._after(now, 2 * EVERY_S)

    def _after(self, now: float, pause_s: float) -> float:
        """The time on the grid that is next to so many seconds from now, at most a little earlier."""
        return next_beat(now + pause_s - _LATE_S_MAX, EVERY_S)
