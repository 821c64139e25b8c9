"""Holds back scans of whole subtrees to a number of files per second (`rescan_files_per_s`). Does no input or output; the
clock is passed in.

Every directory, and every name that a scan looks at, is paid for with a part of a second. What is owed is waited for in pauses of
some hundredths of a second, so that a scan wakes the machine some twenty times a second and not after each directory.
"""

from __future__ import annotations

from typing import Final

#: So much may be owed before a scan waits, ns: the length of its pauses, unless one directory costs more than that.
_OWED_NS_MAX: Final = 50_000_000


class ScanRate:
    """Owned by one thread. Times are nanoseconds of one monotonic clock.

    Args:
        per_s: files and directories per second; 0: as many as it can.
    """

    def __init__(self, per_s: float = 0) -> None:
        self._per_s = per_s
        #: When everything that was looked at is paid for.
        self._paid_at = 0
        #: Whether a pause has begun: it lasts until everything is paid for.
        self._pauses = False

    def limit(self, per_s: float) -> None:
        """So many from now on. What is owed is forgiven."""
        self._per_s = per_s
        self._paid_at = 0
        self._pauses = False

    def spent(self, count: int, now: int) -> None:
        """A scan has looked at so many files and directories."""
        if self._per_s:
            self._paid_at = max(self._paid_at, now) + int(count * 1e9 / self._per_s)
            self._pauses = self._pauses or self._paid_at - now > _OWED_NS_MAX

    def pauses(self, now: int) -> bool:
        """Whether scans have to wait."""
        if self._pauses and now >= self._paid_at:
            self._pauses = False
        return self._pauses

    @property
    def ends_at(self) -> int:
        """When the pause ends in which scans wait."""
        return self._paid_at
