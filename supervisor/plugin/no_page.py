"""supervisord without its own web page, which nobody could see: its only socket is a file of the state directory. What is needed
to make such a page takes supervisord a tenth of the time in which it is loaded. Runs inside supervisord.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class NoPage:
    """Takes the place of supervisord's handler for its page, and handles no request."""

    IDENT = "shardwatch: no page"

    def __init__(self, supervisord: Any) -> None:
        pass

    def match(self, request: Any) -> bool:
        return False


def install() -> None:
    """Call it before supervisord makes its server. Idempotent; for the whole process."""
    page = ModuleType("supervisor.web")
    page.__dict__["supervisor_ui_handler"] = NoPage
    sys.modules[page.__name__] = page
