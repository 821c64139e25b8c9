"""A descriptor that becomes readable at a time: the kernel's timer (timerfd_create(2)), by ctypes."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_create = _libc.timerfd_create
_create.argtypes = (ctypes.c_int, ctypes.c_int)
_settime = _libc.timerfd_settime
_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
#: TFD_TIMER_ABSTIME.
_AT: Final = 1
_SECOND_NS: Final = 1_000_000_000


class _Timer(ctypes.Structure):
    """struct itimerspec: how often it rings again, which is never here, and when it rings."""

    _fields_ = (
        ("again_s", ctypes.c_long), ("again_ns", ctypes.c_long), ("at_s", ctypes.c_long), ("at_ns", ctypes.c_long),
    )  # fmt: skip


class Alarm:
    """Rings at the time that was set last, once, until it is hushed. One thread at a time may `ring`, another one may `hush`.

    Raises OSError where no descriptor can be made.
    """

    def __init__(self) -> None:
        #: Readable from the time on that is set.
        self.fd: int = _create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._timer = _Timer()
        self._address = ctypes.addressof(self._timer)

    def ring(self, at: int = 0) -> None:
        """It rings at this time (monotonic, ns), at once if that has passed. What was set before counts no more, even if it has
        rung."""
        self._timer.at_s, self._timer.at_ns = divmod(at or 1, _SECOND_NS)  # 0 would mean never
        if _settime(self.fd, _AT, self._address, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def hush(self) -> None:
        """It has been heard. If it has not rung yet, it still will."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self.fd)
