"""Decides how supervisord reacts to a hang-up (SIGHUP). Runs inside supervisord, for which it normally means a reload.

`shardwatch up` on a terminal ends when the terminal is closed, like any command. Under nohup it continues, as nohup
asks for. If there is no terminal (`up --detach`), SIGHUP reloads the configuration, as supervisord's manual says.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from types import FrameType

from supervisor import events


class Reaction(StrEnum):
    """What a hang-up leads to."""

    RELOAD = "reload"
    END = "end"
    IGNORE = "ignore"


class HangUpHandler:
    """How one service reacts to a hang-up, through all its reloads."""

    def __init__(self, reaction: Reaction) -> None:
        self._reaction = reaction
        #: Whether one has ended this service.
        self.heard = False

    def install(self) -> None:
        """Takes SIGHUP from supervisord once it has set its own handlers. To be called at each of its starts, which forget who
        has subscribed."""
        if self._reaction is not Reaction.RELOAD:
            events.subscribe(events.SupervisorRunningEvent, self._take)

    def _take(self, event: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if self._reaction is Reaction.IGNORE else self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Ends the service in order. The terminal is gone, so output must not cause an error."""
        self.heard = True
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in (1, 2):
            os.dup2(null, stream)
        os.close(null)
        os.kill(os.getpid(), signal.SIGTERM)
