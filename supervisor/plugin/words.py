"""Removes lines from supervisord's log that would only mislead. Runs inside supervisord."""

from __future__ import annotations

from typing import Any, Final

from supervisor.supervisord import Supervisor

#: supervisord logs this about its socket at each start, as CRIT. Our socket lies in a directory of mode 0700, which is the
#: protection.
_NEEDLESS: Final = "running without any HTTP authentication checking"


def quieten(supervisord: Supervisor) -> None:
    """Removes misleading warnings from the log of this start, which is a new one at each reload."""
    logger: Any = supervisord.options.logger
    critical = logger.critical

    def said(message: str, **more: Any) -> None:
        if _NEEDLESS not in message:
            critical(message, **more)

    logger.critical = said
