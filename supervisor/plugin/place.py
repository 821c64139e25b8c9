"""Ends the service when its state directory is gone: nobody could reach it, and another may begin in its place. Runs inside
supervisord.

A service that is started in the same place again finds no lock there, so the one that lost its directory must leave, and
without touching what is there by then. Nothing here may raise: see wake.py.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from supervisor import events
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.life import identity

#: What `shardwatch.supervisor.run` holds a lock on for its whole life.
LOCK: Final = "locks/service.lock"
#: contract.errors.ServiceError.exit_code
EXIT_REPLACED: Final = 6


class Place:
    """Looks every 5 s whether the lock file is still the one that was there at the start."""

    def __init__(self, supervisord: Supervisor) -> None:
        self._supervisord = supervisord
        self._path = Path(supervisord.options.here or ".") / LOCK
        self._known = identity(self._path)
        if self._known is not None:  # in a test, supervisord may run without us
            events.subscribe(events.Tick5Event, self._on_tick)

    def _on_tick(self, event: object) -> None:
        try:
            if identity(self._path) != self._known:
                self._supervisord.options.logger.warn(f"{self._path} is gone: the service ends")
                if self._path.exists():
                    os._exit(EXIT_REPLACED)  # its programs see the end of their standard input
                os.kill(os.getpid(), signal.SIGTERM)
        except Exception:  # noqa: BLE001 - whatever it is, supervisord must live on
            pass
