"""Paces restarts: no state of a program is final, and no crash loop is hot. Runs inside supervisord.

Stock supervisord waits 1, 2, 3, ... seconds between starts that fail, gives up for ever (FATAL) after some, and starts
again without any wait what dies after its start-up grace. Here every death of a program within WINDOW_S counts, early
or late: the first few are followed by a new process at once, then the wait grows to DELAY_S_MAX and stays there.

What an operator stops (`supervisorctl stop`) stays stopped. Nothing here may raise: see wake.py.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor

#: Deaths older than this are forgotten, seconds.
WINDOW_S: Final = 60.0
#: Longest wait before a new process, seconds.
DELAY_S_MAX: Final = 5.0
#: Deaths within the window that are an accident, not a loop.
ACCIDENTS_MAX: Final = 10


def delay_s(deaths: int) -> float:
    """Seconds to wait after the last of `deaths` (>= 1) within the window: 0.05 a death at first, then 1, 2, 4, 5."""
    if deaths <= ACCIDENTS_MAX:
        return 0.05 * deaths
    return min(DELAY_S_MAX, 2.0 ** (deaths - ACCIDENTS_MAX - 1))


class Rearm:
    """Subscribes to deaths, and sets the time of the next start."""

    def __init__(self, supervisord: Supervisor) -> None:
        self._supervisord = supervisord
        self._deaths: dict[tuple[str, str], deque[float]] = {}
        events.subscribe(events.ProcessStateBackoffEvent, self._on_backoff)
        events.subscribe(events.ProcessStateExitedEvent, self._on_exited)
        events.subscribe(events.ProcessStateFatalEvent, self._on_fatal)

    def deaths(self, process: Subprocess) -> int:
        """How often the process died within the window."""
        return len(self._recent(process, time.monotonic()))

    def forget(self, process: Subprocess) -> None:
        """A new beginning: in BACKOFF the process starts with the next pass."""
        self._deaths.pop(_key(process), None)
        if process.state == ProcessStates.BACKOFF:
            process.backoff = 0
            process.delay = 0.0

    def _recent(self, process: Subprocess, now: float) -> deque[float]:
        recent = self._deaths.setdefault(_key(process), deque(maxlen=2 * ACCIDENTS_MAX))
        while recent and recent[0] < now - WINDOW_S:
            recent.popleft()
        return recent

    def _on_backoff(self, event: events.ProcessStateEvent) -> None:
        """It died before its start-up grace was over, or could not be started at all."""
        try:
            process = event.process
            now = time.monotonic()
            recent = self._recent(process, now)
            recent.append(now)
            wait = delay_s(len(recent))
            process.delay = time.time() + wait
            # supervisord takes delay > now + backoff for a clock that was set back, backoff > startretries for FATAL.
            process.backoff = min(math.ceil(wait), process.config.startretries)
        except Exception as error:  # noqa: BLE001
            self._say(f"rearm: {error!r}")

    def _on_exited(self, event: events.ProcessStateEvent) -> None:
        """It died after its grace: supervisord would start it at once, for ever. A loop has to wait like any other."""
        try:
            process = event.process
            now = time.monotonic()
            recent = self._recent(process, now)
            if len(recent) >= ACCIDENTS_MAX:
                process.change_state(ProcessStates.BACKOFF)  # which counts it
            else:
                recent.append(now)
        except Exception as error:  # noqa: BLE001
            self._say(f"rearm: {error!r}")

    def _on_fatal(self, event: events.ProcessStateEvent) -> None:
        try:
            # While supervisord shuts down it makes FATAL of BACKOFF itself, and waits for that.
            if self._supervisord.options.mood >= SupervisorStates.RUNNING:
                event.process.change_state(ProcessStates.BACKOFF)
        except Exception as error:  # noqa: BLE001
            self._say(f"rearm: {error!r}")

    def _say(self, line: str) -> None:
        try:
            self._supervisord.options.logger.warn(line)
        except Exception:  # noqa: BLE001
            pass


def _key(process: Subprocess) -> tuple[str, str]:
    return (process.group.config.name if process.group is not None else "", process.config.name)
