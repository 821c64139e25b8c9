"""A circuit breaker: decides what is started after the death of a program, and when.

Does no input or output; the clock and the random numbers are passed in. The first few deaths are treated as accidents,
and a new process is started at once. If a program dies again and again, each time soon after its start, the breaker
opens. The program then waits for 1, 2, 4, … 30 s, with random variation. A shard has a stand-in in the meantime, which
sweeps its subtree and ends by itself. If the stand-in crashes too, nothing runs until the wait is over. Then the
program itself is tried. If it dies soon, the breaker opens again, for longer. Once it has lived for STEADY_S, the
breaker is reset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from shardwatch.shard.contract.process.stand_in import StandIn

#: A life counts as short if it ends within this time after its start, or its baseline, seconds. The same as DELAY_S_MAX: a
#: program that dies less often than that is not restarted more often than an open breaker allows.
STEADY_S: Final = 30.0
#: Short lives in a row at which the breaker opens.
SHORT_LIVES_MAX: Final = 5
#: Longest wait before a program that crashes again and again is tried again, seconds.
DELAY_S_MAX: Final = 30.0
#: Wait after the first death in a row, seconds; n times that after the n-th, until the breaker opens.
PAUSE_S: Final = 0.05

#: closed: the program runs, or is restarted at once. stand-in, waiting: the breaker is open, and a stand-in runs, or nothing.
#: trying: the program runs again, but has not lived for STEADY_S yet.
State = Literal["closed", "stand-in", "waiting", "trying"]


def delay_s(opened: int, random: Callable[[], float]) -> float:
    """Seconds for which a breaker stays open that opens for the `opened`-th (>= 1) time in a row: up to 1, 2, 4, … 30, and at
    least half of it. `random` returns numbers in [0, 1), so that programs that die together do not all restart together.
    """
    longest = min(DELAY_S_MAX, 2.0 ** min(opened - 1, 10))
    return longest * (0.5 + 0.5 * random())


class Breaker:
    """The breaker of one program. Calls of `begins` and `died` alternate. A second `died` in a row is ignored, because
    supervisord reports one death twice.

    Args:
        has_stand_in: whether something can be started in place of the program.
        clock: monotonic seconds.
        random: returns numbers in [0, 1).
    """

    def __init__(self, *, has_stand_in: bool, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._has_stand_in = has_stand_in
        self._clock = clock
        self._random = random
        self._state: State = "closed"
        self._short_lives = 0
        #: How often it has opened since it was last closed.
        self._opened = 0
        #: How long it is open this time, seconds, and until when.
        self._delay_s = 0.0
        self._open_until = 0.0
        #: Since when the life counts: from its start, or its first baseline.
        self._since = clock()
        #: A process lives, or is being started.
        self.alive = True

    @property
    def state(self) -> State:
        return "closed" if self._steady() else self._state

    @property
    def short_lives(self) -> int:
        """How often in a row the program itself has died soon after its start."""
        return 0 if self._steady() else self._short_lives

    def tried_in_s(self) -> float:
        """Seconds until the program itself is tried again, at the earliest; 0 if it may be started."""
        return max(0.0, self._open_until - self._clock()) if self._state in ("stand-in", "waiting") else 0.0

    def begins(self) -> StandIn | None:
        """Reports that a process is being started now: a stand-in, with its parameters, or (None) the program itself."""
        self._since = self._clock()
        self.alive = True
        if self._state == "waiting":
            self._state = "trying"
        return StandIn(self._short_lives, self._delay_s) if self._state == "stand-in" else None

    def died(self, *, done: bool) -> float:
        """Reports a death. Returns how long to wait before the next start, in seconds. `done`: it ended with code 0, as a
        stand-in does when its time is over.
        """
        now = self._clock()
        if not self.alive:
            return max(PAUSE_S, self._open_until - now)
        self._close_if_steady()
        self.alive = False
        if self._state == "stand-in":
            if done:
                self._state = "trying"
                return 0.0
            self._state = "waiting"
            return max(0.0, self._open_until - now)
        self._short_lives += 1
        if self._short_lives < SHORT_LIVES_MAX:
            return PAUSE_S * self._short_lives
        self._opened += 1
        self._delay_s = delay_s(self._opened, self._random)
        self._open_until = now + self._delay_s
        self._state = "stand-in" if self._has_stand_in else "waiting"
        return 0.0 if self._has_stand_in else self._delay_s

    def left(self) -> None:
        """Reports that the process has ended in order, to be started again at once. That is no death."""
        self._close_if_steady()
        self.alive = False

    def scans(self) -> None:
        """Reports that the running process has not finished its baseline. Its life is short if it ends within STEADY_S from now.
        So a shard that always crashes on the same file counts as one in a crash loop, however long it takes to reach that
        file.
        """
        self._close_if_steady()
        self._since = self._clock()

    def _close_if_steady(self) -> None:
        if self._steady():
            self._state, self._short_lives, self._opened = "closed", 0, 0

    def _steady(self) -> bool:
        """Whether the program itself is alive, and has lived for long enough."""
        return self.alive and self._state in ("closed", "trying") and self._clock() - self._since >= STEADY_S
