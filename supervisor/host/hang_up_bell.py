"""Wakes a process that waits, by a hang-up (SIGHUP)."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Self


class HangUpBell:
    """A descriptor that can be read after a hang-up. For the main thread, and one at a time: it takes the signal."""

    def __init__(self) -> None:
        self.fd, self._rung = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGHUP, lambda number, frame: None)
        signal.set_wakeup_fd(self._rung, warn_on_full_buffer=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.close(self.fd)
        os.close(self._rung)

    def still(self) -> None:
        """Takes in that it has rung."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)
