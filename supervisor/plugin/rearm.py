"""Decides when programs are restarted, so that no state of a program is final and no crash loop uses much time. Runs
inside supervisord.

Stock supervisord waits 1, 2, 3, ... seconds between starts that fail, and gives up for good (FATAL) after some of them.
It restarts a program that dies after its start-up grace without any wait. Here each program has a breaker (breaker.py)
that decides, and that counts every death, early or late. A shard whose breaker is open is started as a stand-in: the
same program with the same id and lock, and one more variable in its environment.

A program that an operator stops (`supervisorctl stop`) stays stopped. Starting it resets its breaker. Nothing here may
raise; see wake.py.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.process.renewal import AGAIN_CODE, MEMORY_CODE, RENEWALS_VARIABLE
from shardwatch.shard.contract.process.stand_in import STAND_IN_VARIABLE

from .breaker import Breaker
from .renewals import Renewals
from .titles import id_of

#: Deaths that `status` counts are no older than this, seconds.
WINDOW_S: Final = 60.0
#: Deaths that are remembered of a program.
_DEATHS_MAX: Final = 100


class Rearm:
    """Subscribes to the starts and deaths of programs, and decides what is started next, and when.

    Args:
        group: the group whose programs have stand-ins.
    """

    def __init__(self, supervisord: Supervisor, group: str = "shards") -> None:
        self._supervisord = supervisord
        self._group = group
        self._deaths: dict[tuple[str, str], deque[float]] = {}
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._renewals: dict[tuple[str, str], Renewals] = {}
        #: When each program was started last, seconds of the monotonic clock.
        self._started: dict[tuple[str, str], float] = {}
        events.subscribe(events.ProcessStateStartingEvent, self._on_starting)
        events.subscribe(events.ProcessStateBackoffEvent, self._on_backoff)
        events.subscribe(events.ProcessStateExitedEvent, self._on_exited)
        events.subscribe(events.ProcessStateStoppedEvent, self._on_stopped)
        events.subscribe(events.ProcessStateFatalEvent, self._on_fatal)

    def row(self, process: Subprocess) -> dict[str, Any]:
        """What `status` says of a program's deaths, and of what comes next."""
        breaker = self._breaker(process)
        retry_s = breaker.tried_in_s()
        if process.state == ProcessStates.BACKOFF:
            retry_s = max(0.0, process.delay - time.time())
        return {
            "deaths": len(self._recent(process, time.monotonic())),
            "short_lives": breaker.short_lives,
            "breaker": breaker.state,
            "memory_restarts": self._renewals[_key(process)].count if _key(process) in self._renewals else 0,
            "retry_s": round(retry_s, 3),
        }

    def forget(self, process: Subprocess) -> None:
        """Resets the breaker. In BACKOFF the process starts with the next pass, and a stand-in ends."""
        standing_in = self._breaker(process).state == "stand-in"
        self._deaths.pop(_key(process), None)
        self._breakers.pop(_key(process), None)
        if process.state == ProcessStates.BACKOFF:
            process.backoff = 0
            process.delay = 0.0
        elif standing_in and process.pid and process.state in (ProcessStates.STARTING, ProcessStates.RUNNING):
            os.kill(process.pid, signal.SIGTERM)

    def scans(self, pid: int) -> None:
        """Reports that a process has not finished its baseline, and so has not proved that it is stable. Never raises."""
        try:
            for group in self._supervisord.process_groups.values():
                for process in group.processes.values():
                    if process.pid == pid:
                        self._breaker(process).scans()
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._say(f"rearm: {error!r}")

    def _breaker(self, process: Subprocess) -> Breaker:
        key = _key(process)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = Breaker(has_stand_in=key[0] == self._group, clock=time.monotonic, random=random.random)
            self._breakers[key] = breaker
        return breaker

    def _recent(self, process: Subprocess, now: float) -> deque[float]:
        recent = self._deaths.setdefault(_key(process), deque(maxlen=_DEATHS_MAX))
        while recent and recent[0] < now - WINDOW_S:
            recent.popleft()
        return recent

    def _guarded(self, deed: Callable[[Subprocess], None], event: events.ProcessStateEvent) -> None:
        try:
            deed(event.process)
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._say(f"rearm: {error!r}")

    def _on_starting(self, event: events.ProcessStateEvent) -> None:
        """Called before the process is forked; its environment is read after this."""
        self._guarded(self._start, event)

    def _start(self, process: Subprocess) -> None:
        key = _key(process)
        stand_in = self._breaker(process).begins()
        self._started[key] = time.monotonic()
        if key[0] != self._group and key not in self._renewals:
            return
        told = (STAND_IN_VARIABLE, RENEWALS_VARIABLE)
        environment = {k: v for k, v in (process.config.environment or {}).items() if k not in told}
        if key in self._renewals:
            environment[RENEWALS_VARIABLE] = str(self._renewals[key].in_a_row)
        if stand_in is not None:
            environment[STAND_IN_VARIABLE] = stand_in.text()
            self._say(f"{process.config.name} died {stand_in.deaths} times in a row: a stand-in for {stand_in.for_s:.1f} s")
        process.config.environment = environment

    def _on_backoff(self, event: events.ProcessStateEvent) -> None:
        """It died before its start-up grace was over, or could not be started."""
        self._guarded(self._back_off, event)

    def _back_off(self, process: Subprocess) -> None:
        self._wait(process, self._died(process, done=False))

    def _on_exited(self, event: events.ProcessStateEvent) -> None:
        """It died after its start-up grace. supervisord would start it at once, without end. A crash loop has to wait here too.
        """
        self._guarded(self._exit, event)

    def _exit(self, process: Subprocess) -> None:
        if process.exitstatus in (AGAIN_CODE, MEMORY_CODE):
            self._renew(process, for_memory=process.exitstatus == MEMORY_CODE)
            return
        wait_s = self._died(process, done=process.exitstatus == 0)
        if self._breaker(process).state == "waiting":
            process.change_state(ProcessStates.BACKOFF)  # which tells of the same death again
            self._wait(process, wait_s)

    def _renew(self, process: Subprocess, *, for_memory: bool) -> None:
        """It has ended in order, and supervisord starts it again at once."""
        key, now = _key(process), time.monotonic()
        self._breaker(process).left()
        if for_memory:
            renewals = self._renewals.setdefault(key, Renewals())
            renewals.ended(now - self._started.get(key, now))
            self._say(f"{process.config.name} is started again, because it had more memory than memory_mib_max allows")

    def _on_stopped(self, event: events.ProcessStateEvent) -> None:
        """An operator has stopped it. The breaker is reset when the operator starts it again."""
        self._guarded(self.forget, event)

    def _on_fatal(self, event: events.ProcessStateEvent) -> None:
        # While supervisord shuts down it makes FATAL of BACKOFF itself, and waits for that.
        self._guarded(self._take_back, event)

    def _take_back(self, process: Subprocess) -> None:
        if self._supervisord.options.mood >= SupervisorStates.RUNNING:
            process.change_state(ProcessStates.BACKOFF)

    def _died(self, process: Subprocess, *, done: bool) -> float:
        """Counts one death. Returns the wait in seconds."""
        breaker = self._breaker(process)
        if breaker.alive and not (done and breaker.state == "stand-in"):
            now = time.monotonic()
            self._recent(process, now).append(now)
        return breaker.died(done=done)

    def _wait(self, process: Subprocess, wait_s: float) -> None:
        process.delay = time.time() + wait_s
        # supervisord takes delay > now + backoff for a clock that was set back, backoff > startretries for FATAL.
        process.backoff = min(math.ceil(wait_s), process.config.startretries)

    def _say(self, line: str) -> None:
        try:
            self._supervisord.options.logger.warn(line)
        except Exception:  # noqa: BLE001
            pass


def _key(process: Subprocess) -> tuple[str, str]:
    return (process.group.config.name if process.group is not None else "", id_of(process))
