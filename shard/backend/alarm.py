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
_SECOND_NS: Final = 1_000_000_000


class _Timer(ctypes.Structure):
    """struct itimerspec: how often it rings again, which is never here, and after which time it rings."""

    _fields_ = (
        ("again_s", ctypes.c_long), ("again_ns", ctypes.c_long), ("wait_s", ctypes.c_long), ("wait_ns", ctypes.c_long),
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
        # From now on, since libfaketime takes a point of any clock for one of the wall clock. 0 would mean never.
        wait_ns = max(at - time.monotonic_ns(), 1) if at else 1
        self._timer.wait_s, self._timer.wait_ns = divmod(wait_ns, _SECOND_NS)
        if _settime(self.fd, 0, self._address, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def hush(self) -> None:
        """It has been heard. If it has not rung yet, it still will."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self.fd)
