"""Who may use a state directory: one service at a time, or whoever prepares it for one.

The programs that start, run and stop services import this.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import Final

from ..errors import InUseError
from .directory import SERVICE_LOCK, StateDirectory

#: Seconds between two tries to claim a directory whose lock somebody else has for a moment (systemd-tmpfiles, for one).
_LOOK_S: Final = 0.02


def claim_directory(state: StateDirectory, wait_s: float = 0.0) -> None:
    """Claims the directory for its open file description, and so also for processes that inherit the descriptor, until all of
    them are gone.

    Blocks for up to `wait_s` seconds, but not if a service has claimed it. Raises InUseError. If the filesystem has no locks on
    directories, nothing is claimed, and `locks/service.lock` alone shows that a service is there.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(state.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline or state.held(SERVICE_LOCK):
                raise in_use(state.path) from None
            time.sleep(_LOOK_S)
            continue
        except OSError:
            pass
        return


def in_use(path: Path) -> InUseError:
    """The error for whoever wants to use a state directory while a service does. It is returned, and not raised."""
    return InUseError(
        f"a service is running in {path} already, or is being started or stopped",
        hint="use it, stop it (`shardwatch down`), or give another --state-dir",
        retryable=True,
    )
