"""Decides how supervisord reacts to a hang-up (SIGHUP). Runs inside supervisord, which would start all programs again.

`shardwatch up` on a terminal ends when the terminal is closed, like any command. Under nohup it continues, as nohup
asks for. If there is no terminal (`up --detach`, systemd, a container), a hang-up has the configuration read again and
what has changed taken over, by the command that does it (`shardwatch reload`), in a process of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import StrEnum
from types import FrameType
from typing import Final

from supervisor import events

#: One that reads, and one that waits for it to end and reads then: a third would find nothing more.
_RELOADS_MAX: Final = 2
#: Run in the state directory. What it says goes to where the service's messages go.
_RELOAD: Final = ("-P", "-m", "shardwatch.supervisor.cli.main", "reload", "--no-wait", "--state-dir", ".")


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
        #: Processes of ours that take over a changed configuration.
        self._reloads: list[int] = []

    def install(self) -> None:
        """Takes SIGHUP from supervisord once it has set its own handlers. To be called at each of its starts, which forget who
        has subscribed."""
        events.subscribe(events.SupervisorRunningEvent, self._take)

    def _take(self, event: object) -> None:
        if self._reaction is Reaction.IGNORE:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGHUP, self._end if self._reaction is Reaction.END else self._reload)

    def _reload(self, number: int, frame: FrameType | None) -> None:
        """Never raises: without a process for it, nothing is taken over. supervisord reaps it."""
        self._reloads = [pid for pid in self._reloads if _runs(pid)]
        if len(self._reloads) >= _RELOADS_MAX:
            return
        try:
            null = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
            self._reloads.append(os.posix_spawn(sys.executable, [sys.executable, *_RELOAD], os.environ, file_actions=null))
        except OSError as error:
            os.write(2, f"shardwatch: the configuration can't be read again: {error.strerror}\n".encode())

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Ends the service in order. The terminal is gone, so output must not cause an error."""
        self.heard = True
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in (1, 2):
            os.dup2(null, stream)
        os.close(null)
        os.kill(os.getpid(), signal.SIGTERM)


def _runs(pid: int) -> bool:
    """Whether a child has not ended. It is not reaped: the number may be a program's by now, whose end supervisord has to see."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:  # supervisord has reaped it
        return False
