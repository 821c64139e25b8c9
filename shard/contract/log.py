"""The log file of one process: plain lines, rotated, owner-readable."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

#: One log file, bytes, and how many old ones are kept.
_BYTES_MAX = 5 << 20
_OLD = 2


def open_log(path: Path) -> None:
    """Sends the `shardwatch` loggers of this process to `path`. A log that can't be written never stops the service."""
    handler = RotatingFileHandler(path, maxBytes=_BYTES_MAX, backupCount=_OLD, delay=True, errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger("shardwatch")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
