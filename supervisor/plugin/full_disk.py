"""Lets supervisord survive a full disk under its logs. Runs inside supervisord.

When supervisord 4 cannot write a log, it prints the problem to its standard error. In our case that is a log too, on
the same disk. So the printing fails as well, and the error ends supervisord and with it the service. The same happens
when it cannot close a log whose last lines it could not write. With this module, lines that cannot be written are
dropped, and the log continues as soon as there is room.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import supervisor.loggers

#: Its methods are replaced, which types don't allow.
loggers: Any = supervisor.loggers

_handler_close: Final = loggers.Handler.close
_reopen: Final = loggers.FileHandler.reopen


def guard() -> None:
    """Replaces those methods of supervisord's log handlers that raise. Idempotent; for the whole process."""
    loggers.Handler.handleError = _say
    loggers.Handler.close = _close
    loggers.FileHandler.reopen = _open_again
    loggers.RotatingFileHandler.emit = _emit


def _say(handler: Any) -> None:
    """Writes what could not be logged to standard error, if that accepts it."""
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exception(*sys.exc_info(), file=sys.stderr)


def _close(handler: Any) -> None:
    """Closes the file in any case. What could not be written before is lost."""
    try:
        _handler_close(handler)
    except OSError:
        handler.closed = True


def _open_again(handler: Any) -> None:
    with contextlib.suppress(OSError):  # the next line tries again
        _reopen(handler)


def _emit(handler: Any, record: Any) -> None:
    """Writes a line, and begins a new file when this one is large enough. Opens the file if the last attempt to open it failed.
    """
    if handler.stream.closed:
        try:
            handler.stream = Path(handler.baseFilename).open("ab")  # noqa: SIM115 - it stays open
        except OSError:
            return
        handler.closed = False
    loggers.FileHandler.emit(handler, record)
    with contextlib.suppress(OSError):
        handler.doRollover()
