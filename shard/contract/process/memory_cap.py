"""When a process ends because it has more memory than it may have (`memory_mib_max`), to be started again with less.

Only `resident_bytes` makes system calls; everything else is free of input and output, and the clock is passed in.

A process that has just done its first work has about what it needs: no other life would have less. If that is more than it may
have, ending would not help, and what was gained would be scanned again and again. So it ends only if it has far more than it
needed at first, and lives for a while between two such ends (`renewal.pause_s`). What can't be helped in this way is told.
"""

from __future__ import annotations

import os
from typing import Final, Literal

from .renewal import pause_s

#: By how much a process has to have grown since its first work before it ends, as a factor.
GROWN: Final = 1.25
#: Looks after the first work of which the least counts as what is needed: memory that it used is given back by then.
_FIRST_LOOKS: Final = 3
#: Looks in a row that show too much before it ends. Meanwhile it gives back what it does not use.
_LOOKS_OVER: Final = 2
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

#: "": there is no limit, or nothing is known yet. over: it ends as soon as it may. needs more: it would have as much after a
#: restart.
MemoryState = Literal["", "within", "over", "needs more"]


def memory_state(resident: int, needed: int, mib_max: int) -> MemoryState:
    """How a process stands with its limit. `resident`, `needed`: bytes, 0: not known yet. `mib_max`: 0: there is no limit."""
    if not mib_max or not resident or not needed:
        return ""
    if resident <= mib_max << 20:
        return "within"
    return "over" if resident > needed * GROWN else "needs more"


class MemoryCap:
    """Owned by one thread. Times are seconds of one monotonic clock.

    Args:
        mib_max: MiB that it may have; 0: as many as it takes, and nothing is asked.
        renewals: how often in a row the program was started again for this.
        now: when the process began.

    Attributes:
        resident: bytes that it had at the last look; 0: there was none.
        needed: bytes that it had after its first work; 0: not known yet.
        reached: whether it is to end.
    """

    def __init__(self, mib_max: int, *, renewals: int, now: float) -> None:
        self._mib_max = mib_max
        self._may_end_at = now + pause_s(renewals)
        self._first_looks = 0
        self._looks_over = 0
        self.resident = 0
        self.needed = 0
        self.reached = False

    @property
    def asks(self) -> bool:
        """Whether there is a limit, so that `look` is to be called now and then."""
        return self._mib_max > 0

    def limit(self, mib_max: int) -> None:
        """It may have so many MiB from now on."""
        self._mib_max = mib_max
        self._looks_over = 0
        if not mib_max:
            self.resident = self.needed = self._first_looks = 0

    def look(self, now: float, resident: int, *, settled: bool) -> bool:
        """Takes in that it has so many bytes. Returns whether memory that is not used should be given back now.

        `settled`: its first work is done.
        """
        self.resident = resident
        if not settled or not self._mib_max or not resident:
            return False
        if self._first_looks < _FIRST_LOOKS:
            self._first_looks += 1
            self.needed = min(self.needed or resident, resident)
            return resident > self._mib_max << 20
        over = memory_state(resident, self.needed, self._mib_max) == "over"
        self._looks_over = self._looks_over + 1 if over else 0
        self.reached = self.reached or (self._looks_over >= _LOOKS_OVER and now >= self._may_end_at)
        return over


def resident_bytes(process: int | str = "self") -> int:
    """Bytes of this process, or of the one with a pid, that are in memory (RSS, as ps(1) shows it); 0 where that is not known."""
    try:
        with open(f"/proc/{process}/statm", "rb", buffering=0) as file:  # noqa: PTH123 - asked at each beat
            return int(file.read(256).split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):  # a process that ends has no fields any more
        return 0
