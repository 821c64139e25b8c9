"""Tells the service manager that started supervisord how the service is (sd_notify(3)). Runs inside supervisord.

systemd starts what needs a service when it is ready, and restarts one that says nothing for WatchdogSec. Only supervisord's
process speaks, so `NotifyAccess=main` is enough, and no program of the service, nor what `exec` runs, can say anything. Nothing
here may raise; see wake.py.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from supervisor import events

_VARIABLE: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = ("WATCHDOG_USEC", "WATCHDOG_PID")


class Manager:
    """The socket of the service manager; nothing is said where there is none.

    It is made once for each start of supervisord's process, and outlives a reload.
    """

    _socket: str | None = None

    def __init__(self) -> None:
        if _VARIABLE in os.environ:
            Manager._socket = os.environ.pop(_VARIABLE)
            for name in _WATCHDOG:
                os.environ.pop(name, None)
        self._said_ready = False
        if Manager._socket is not None:
            events.subscribe(events.Tick5Event, self._on_tick)
            events.subscribe(events.SupervisorStoppingEvent, self._on_stopping)

    def ready(self) -> None:
        """Everything has been looked at once. Says so once."""
        if not self._said_ready:
            self._said_ready = True
            self._say("READY=1")

    def _on_tick(self, event: object) -> None:
        self._say("WATCHDOG=1")

    def _on_stopping(self, event: object) -> None:
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        """Never blocks: a manager that does not read is told later."""
        address = Manager._socket
        if address is None:
            return
        if address.startswith("@"):  # in the abstract name space
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as speaking:
                speaking.sendto(text.encode(), address)
        except OSError:  # it is gone, or does not read
            self._said_ready = self._said_ready and text != "READY=1"
