"""The thread that does nothing but empty a queue of the kernel, so that it overflows as late as possible."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from .alarm import Alarm
from .bursts import Bursts


class Drain:
    """Owned by the thread that makes it, which is not the one that it starts. Both may call `ring`, one at a time if it is for
    later.

    Args:
        queue: the descriptor from which is read; it stays the caller's.
        read: empties the queue, in this thread, and returns the size of the largest read. What it keeps is to be locked.
        also: a descriptor that has something urgent (POLLPRI) when `happened` is to be called, in this thread; -1: none.
    """

    def __init__(
        self, queue: int, read: Callable[[], int], *, also: int = -1, happened: Callable[[], None] = lambda: None
    ) -> None:
        self._queue = queue
        self._read = read
        self._also = also
        self._happened = happened
        self._alarm = Alarm()
        #: Readable when there is something to be taken.
        self.ready = self._alarm.fd
        self._stop_r, self._stop_w = os.pipe2(os.O_CLOEXEC)
        #: Whether an error has ended the thread.
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)

    def start(self) -> None:
        """From now on `read` may be called at any time."""
        self._thread.start()

    def ring(self, at: int = 0) -> None:
        """There is something to be taken; not before `at` (monotonic, ns), unless somebody wants it sooner."""
        self._alarm.ring(at)

    def hush(self) -> None:
        """It is about to be taken. Raises RuntimeError if the thread has ended by an error: the queue is emptied no more."""
        if self._failed:
            raise RuntimeError("the thread that empties the queue of the kernel has ended")
        self._alarm.hush()

    def close(self) -> None:
        """Ends the thread."""
        os.write(self._stop_w, b"x")
        self._thread.join()
        self._alarm.close()
        for fd in (self._stop_r, self._stop_w):
            os.close(fd)

    def _run(self) -> None:
        failed = True
        try:
            self._empty()
            failed = False
        finally:
            if failed:  # for want of memory, say: nobody may wait for hints that will never come
                self._failed = True
                self.ring()

    def _empty(self) -> None:
        poller = select.poll()
        poller.register(self._queue, select.POLLIN)
        poller.register(self._stop_r, select.POLLIN)
        if self._also >= 0:
            poller.register(self._also, select.POLLPRI)
        bursts = Bursts()
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._stop_r in ready:
                return
            if self._also in ready:
                self._happened()
            if self._queue in ready:
                wait_s = bursts.wait_s(self._read(), time.monotonic())
                if wait_s:
                    time.sleep(wait_s)
