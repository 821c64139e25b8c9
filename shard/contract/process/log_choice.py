"""How a program of a service logs: as the settings say, and as `shardwatch logs --level` has asked for since.

That command writes the levels it was given to `run/log-levels.json`, and sends SIGUSR2. A program that is asked so reads both
files again. Nothing else is needed for it: nobody looks whether the level has changed.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

import msgspec

from ..errors import UsageError
from ..state.directory import read_private
from ..state.layout import Layout
from ..state.settings import read_settings
from .log_entry import ALL, LEVELS, SIGNAL


class LogChoice(NamedTuple):
    """How a program logs."""

    #: `log_entry.TEXT` or `JSON`.
    form: str = "text"
    #: The least level that is written.
    level: str = "info"


def read_levels(layout: Layout) -> dict[str, str]:
    """What was asked for while the service runs, by program, as supervisord names it by its id; ALL for the others.

    A file that is damaged, can't be read or can be written by others is as if it was not there: no program fails to start for
    the sake of a level, and the next `logs --level` writes it anew.
    """
    try:
        found = msgspec.json.decode(read_private(layout.log_levels), type=dict[str, str])
    except (OSError, UsageError, msgspec.MsgspecError):
        return {}
    return {program: level for program, level in found.items() if level in LEVELS}


def read_choice(layout: Layout, program: str) -> LogChoice:
    """How that program is to log now. Raises what `read_settings` raises."""
    settings, levels = read_settings(layout.settings), read_levels(layout)
    return LogChoice(settings.log_format, levels.get(program, levels.get(ALL, settings.log_level)))


def follow(layout: Layout, program: str, use: Callable[[LogChoice], object]) -> None:
    """Has `use` told how that program is to log: now, and whenever SIGNAL comes. For the main thread.

    Raises what `read_choice` raises, now. Later it stays as it was where a file can't be read: whoever has asked can see that.
    """
    use(read_choice(layout, program))

    def again(signum: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError, UsageError, msgspec.MsgspecError):
            use(read_choice(layout, program))

    signal.signal(SIGNAL, again)
    signal.siginterrupt(SIGNAL, False)  # system calls of native code are not cut short by it
