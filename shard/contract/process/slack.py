"""Gives freed memory back to the system, once, a moment after the work that used it.

Only `give_back` makes a system call; everything else is free of input and output.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: So long without such work and it is over, ns.
QUIET_NS: Final = 250_000_000


class Slack:
    """When `give_back` is worth its while (a millisecond). Owned by one thread. Times are nanoseconds of one monotonic clock."""

    def __init__(self) -> None:
        self._due_at: int | None = None

    def worked(self, now: int) -> None:
        """Work that takes much memory was done."""
        self._due_at = now + QUIET_NS

    def next_due(self) -> int | None:
        return self._due_at

    def due(self, now: int) -> bool:
        """Whether such work was done, and has rested since: it is time to give memory back."""
        return self._due_at is not None and now >= self._due_at

    def given_back(self) -> None:
        """Nothing is due until there is work again."""
        self._due_at = None


def give_back() -> None:
    """Returns freed memory to the system (malloc_trim(3), glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
