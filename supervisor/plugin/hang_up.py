"""Decides how supervisord reacts to a hang-up (SIGHUP). Runs inside supervisord, for which it normally means a reload.

`shardwatch up` on a terminal ends when the terminal is closed, like any command. Under nohup it continues, as nohup
asks for. If there is no terminal (`up --detach`), SIGHUP reloads the configuration, as supervisord's manual says.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

from supervisor import events

#: Set by shardwatch.supervisor.run before supervisord starts: what its caller asked for.
RELOAD: Final = "reload"
END: Final = "end"
IGNORE: Final = "ignore"
means = RELOAD
#: Whether a hang-up has ended this service.
heard = False


def install() -> None:
    """Takes SIGHUP from supervisord once it has set its own handlers: for this start, since each forgets who subscribed."""
    if means != RELOAD:
        events.subscribe(events.SupervisorRunningEvent, _take)


def _take(event: object) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN if means == IGNORE else _end)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the service in order. The terminal is gone, so output must not cause an error."""
    global heard
    heard = True
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.close(null)
    os.kill(os.getpid(), signal.SIGTERM)
