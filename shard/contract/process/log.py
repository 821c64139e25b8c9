"""The log of one process: plain lines on standard error, which supervisord writes to the process's log file and rotates.

There are few lines: the start, the end, and what an operator should know. Single events are not logged.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from ..input.visible import readable

#: Seconds between two lines of a `Sparse`.
SPARSE_S: Final = 1.0


def open_log() -> None:
    """Sends the `shardwatch` loggers of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger("shardwatch")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False


class _Formatter(logging.Formatter):
    """A message is one line, whatever the names in it hold: the log is read on terminals. A traceback has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = readable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(map(readable, super().formatException(ei).split("\n")))


class Sparse:
    """Warnings that others cause: one line a second at most, which says how many were left out before it."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._next = 0.0
        self._left_out = 0

    def warning(self, line: str) -> None:
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        self._next = now + SPARSE_S
        more = f" (and {self._left_out} more like it before)" if self._left_out else ""
        self._left_out = 0
        self._log.warning("%.500s%s", line, more)
