"""The log of one process: lines on standard error, which supervisord writes to the process's log file and rotates.

There are few lines: the start, the end, and what an operator should know. Single events are not logged.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from .log_choice import LogChoice
from .log_entry import LEVELS, TEXT, entry

#: Seconds for which a message that comes again and again is not written again.
FOLD_S: Final = 60.0
#: Seconds between two lines of a `Sparse`.
SPARSE_S: Final = 1.0


def open_log() -> None:
    """Sends the `shardwatch` loggers of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    handler.addFilter(_Folding())
    root = logging.getLogger("shardwatch")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False


def use(choice: LogChoice) -> None:
    """Has the log of this process written so from now on."""
    root = logging.getLogger("shardwatch")
    for handler in root.handlers:
        handler.setFormatter(_Formatter(choice.form))
    root.setLevel(LEVELS[choice.level])


class _Formatter(logging.Formatter):
    """A message is one line, whatever the names in it hold: the log is read on terminals. A traceback has lines of its own."""

    def __init__(self, form: str = TEXT) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        pid = record.process or 0
        return entry(self._form, record.created, record.levelname, record.name, pid, record.getMessage(), trace)


class _Folding(logging.Filter):
    """Lets a message through that is not the one before it. How often one was left out is said when another comes, or when it
    comes again after FOLD_S."""

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[str, int, str] | None = None
        self._until = 0.0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            return True
        message = record.getMessage()
        this = (record.name, record.levelno, message)
        if this == self._last and record.created < self._until:
            self._left_out += 1
            return False
        if self._left_out:
            record.msg, record.args = f"{message} (the line before it came {self._left_out} more times)", ()
        self._last, self._until, self._left_out = this, record.created + FOLD_S, 0
        return True


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
