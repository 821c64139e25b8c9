"""Removes lines from supervisord's log that would only mislead. Runs inside supervisord."""

from __future__ import annotations

from typing import Any, Final

from supervisor.supervisord import Supervisor

#: supervisord says so of its socket at each start, as CRIT. Ours lies in a directory of mode 0700, and that is the check.
_NEEDLESS: Final = "running without any HTTP authentication checking"


def quieten(supervisord: Supervisor) -> None:
    """Drops needless warnings from this start's log, which is a new one at each reload."""
    logger: Any = supervisord.options.logger
    critical = logger.critical

    def said(message: str, **more: Any) -> None:
        if _NEEDLESS not in message:
            critical(message, **more)

    logger.critical = said
