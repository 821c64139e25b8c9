"""Programs that were told to leave their group for good. Runs inside supervisord.

Each is taken out of its group when it ends. Whoever has asked for that may be gone by then. If it is wanted again meanwhile, it
stays, and is started again.

A process that is stuck in the kernel cannot be ended. Once it was killed, none of its code runs again. For whoever asks, that is
as good as its end: they may exchange what it ran with, and need not wait for the kernel. Nothing here may raise; see wake.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import STOPPED_STATES, ProcessStates
from supervisor.supervisord import Supervisor

from .titles import id_of

#: Seconds that supervisord may be late with its SIGKILL before it is sent from here.
_LATE_S: Final = 1.0


class _Leave:
    """One program that leaves."""

    def __init__(self, process: Subprocess, since: float) -> None:
        self.process = process
        #: When it was told to end, and when it was killed from here, monotonic seconds.
        self.since = since
        self.killed: float | None = None
        #: Whether it is to be started again once it has ended.
        self.wanted = False


class Leaving:
    """Tells programs to end, and takes them out of their groups.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, supervisord: Supervisor, clock: Callable[[], float] = time.monotonic) -> None:
        self._supervisord = supervisord
        self._clock = clock
        #: By the name of the group and the id of the program.
        self._leaves: dict[tuple[str, str], _Leave] = {}
        events.subscribe(events.ProcessStateStoppedEvent, self._on_stopped)

    def tell(self, group: str, name: str) -> Subprocess | None:
        """Tells a program to end, unless it was told already. Returns it; None if it is not there, or has not run."""
        process = self._find(group, name)
        if process is None:
            return None
        leave = self._leaves.get((group, name))
        if leave is None or leave.process is not process:
            leave = self._leaves[group, name] = _Leave(process, self._clock())
        leave.wanted = False
        if process.state not in STOPPED_STATES and process.state != ProcessStates.STOPPING:
            process.stop()  # one that waits for its next start is STOPPED by that, and taken out
        if process.state in STOPPED_STATES:
            self._take_out(group, name)
            return None
        return process

    def has_left(self, group: str, name: str, process: Subprocess) -> bool:
        """Whether a program that was told to end is gone, is wanted again, or was killed, so that none of its code runs again."""
        leave = self._leaves.get((group, name))
        if leave is None or leave.process is not process or leave.wanted:
            return True
        return self._was_killed(leave)

    def want_again(self, group: str, name: str) -> bool:
        """Has a program that was to leave stay, and started again once it has ended. Returns whether it was to leave."""
        leave = self._leaves.get((group, name))
        if leave is None or leave.wanted:
            return False
        leave.wanted = True
        return True

    def stuck_s(self, process: Subprocess) -> float:
        """Seconds since a program that was told to end was killed and still exists; 0 for any other."""
        leave = next((leave for leave in self._leaves.values() if leave.process is process), None)
        if leave is None or not self._was_killed(leave) or leave.killed is None:
            return 0.0
        return round(self._clock() - leave.killed, 1)

    def _was_killed(self, leave: _Leave) -> bool:
        """Whether it was killed; it is where its time is over, also if whoever asked for its end is gone."""
        process = leave.process
        if leave.killed is None and process.pid and self._clock() - leave.since > process.config.stopwaitsecs + _LATE_S:
            with contextlib.suppress(ProcessLookupError):  # supervisord has done that, unless its clock was set
                os.kill(process.pid, signal.SIGKILL)
            leave.killed = self._clock()
        return leave.killed is not None

    def _find(self, group: str, name: str) -> Subprocess | None:
        found = self._supervisord.process_groups.get(group)
        return None if found is None else found.processes.get(name)

    def _on_stopped(self, event: Any) -> None:
        try:
            self._ended(event.process)
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._supervisord.options.logger.warn(f"leaving: {error!r}")

    def _ended(self, process: Subprocess) -> None:
        key = (process.group.config.name if process.group is not None else "", id_of(process))
        leave = self._leaves.get(key)
        if leave is None or leave.process is not process:
            return
        if leave.wanted:
            del self._leaves[key]
            process.laststart = 0  # supervisord starts what is STOPPED and never ran
        else:
            self._take_out(*key)

    def _take_out(self, group: str, name: str) -> None:
        self._leaves.pop((group, name), None)
        found = self._supervisord.process_groups[group]
        process = found.processes.pop(name, None)
        if process is not None:
            found.config.process_configs.remove(process.config)
