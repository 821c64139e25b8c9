"""The log of one process: plain lines on standard error, which supervisord writes to the process's log file and rotates.

Few lines: start, end, and what an operator should know. Nothing is logged for each event.
"""

from __future__ import annotations

import logging
import sys


def open_log() -> None:
    """Sends the `shardwatch` loggers of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger("shardwatch")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
