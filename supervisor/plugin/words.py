"""supervisord's own log: how it is written, and lines removed from it that would only mislead. Runs inside supervisord."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.process.log_entry import ALL, JSON, LEVELS, TEXT, entry
from shardwatch.shard.contract.state.layout import Layout

#: Its name in the file of levels.
SUPERVISORD: Final = "supervisord"
#: supervisord logs this about its socket at each start, as CRIT. Our socket lies in a directory of mode 0700, which is the
#: protection.
_NEEDLESS: Final = "running without any HTTP authentication checking"
#: supervisord's own form of a line.
_TEXT: Final = "%(asctime)s %(levelname)s %(message)s\n"
_WORDS: Final[Mapping[str, str]] = {"CRIT": "critical", "ERRO": "error", "WARN": "warning", "DEBG": "debug"}


class _JsonLine:
    """What a handler has for its format: it is given the parts of a line with the operator %."""

    def __mod__(self, parts: Mapping[str, str]) -> str:
        level = _WORDS.get(parts["levelname"], parts["levelname"])
        return entry(JSON, time.time(), level, SUPERVISORD, os.getpid(), parts["message"]) + "\n"


def quieten(supervisord: Supervisor) -> None:
    """Removes misleading warnings from the log of this start, which is a new one at each reload."""
    logger: Any = supervisord.options.logger
    critical = logger.critical

    def said(message: str, **more: Any) -> None:
        if _NEEDLESS not in message:
            critical(message, **more)

    logger.critical = said


def use_choice(supervisord: Supervisor) -> tuple[str, str]:
    """Has supervisord log as the files of the state directory say now, and returns what the settings say, for all programs: the
    form and the level. What can't be read is as if it was not there, which the programs report."""
    layout = Layout(supervisord.options.here or ".")
    settings, levels = _read(layout.settings), _read(layout.log_levels)
    form, level = str(settings.get("log_format", TEXT)), str(settings.get("log_level", "info"))
    own = LEVELS.get(str(levels.get(SUPERVISORD, levels.get(ALL, level))), LEVELS["info"])
    logger: Any = supervisord.options.logger
    logger.level = own
    for handler in logger.handlers:
        handler.setFormat(_JsonLine() if form == JSON else _TEXT)
        handler.setLevel(own)
    return form, level


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
