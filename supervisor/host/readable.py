"""Waits until a descriptor can be read, whatever its number is: select(2) takes none above 1023."""

from __future__ import annotations

import math
import select
from typing import Final

#: The longest wait of one poll, milliseconds: poll(2) takes an int.
_MS_MAX: Final = (1 << 31) - 1


def readable(fd: int, timeout_s: float) -> bool:
    """Whether a descriptor can be read, or is at its end, within so many seconds (0: now; at most some 24 days)."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(min(math.ceil(max(0.0, timeout_s) * 1000), _MS_MAX)))
