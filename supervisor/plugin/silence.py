"""Judges which programs hang: those that have sent pulses and fall silent, or never send one. Pure; the clock is passed in.

A program is supervised from its first pulse on, so a long start does not count as a hang. A program that has sent no
pulse for START_S does. If the judge itself was stopped (by SIGSTOP, or because the machine was suspended), all deadlines
start again. If it may have been stopped, it looks a second time before it gives a program up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from shardwatch.shard.contract.limits import SILENT_S

#: Seconds until the first pulse: it includes the interpreter, imports, a lock that a predecessor holds, and opening a database.
START_S: Final = 120.0
#: The longest time between two looks of a judge that was not stopped: supervisord's shortest tick, and a margin.
_OWN_STALL_S: Final = 6.5
#: The longest time between two looks while any program sends pulses. After a longer time, a program that is silent gets
#: _GRACE_S more: either all programs are silent, or the judge was stopped and their pulses are still on their way.
_PAUSE_S: Final = 3.0
_GRACE_S: Final = 1.0


class Living(NamedTuple):
    """A process of one of the programs."""

    name: str
    #: Whether it is to be at work: not, for one that was told to stop.
    at_work: bool


class Hung(NamedTuple):
    """A process that is to be killed, and for how long it was silent, seconds."""

    pid: int
    name: str
    silent_s: float


class _SilentProgram(NamedTuple):
    heard_at: float
    #: When that was too long ago, at a look after a pause.
    since: float


class Silence:
    """The pulses of all programs, and what follows from them. All times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        #: pid -> when it was last heard.
        self._heard: dict[int, float] = {}
        #: pid -> when it was first seen, of those that were not heard yet.
        self._starting: dict[int, float] = {}
        #: pid -> when it was given up.
        self._given_up: dict[int, float] = {}
        self._suspects: dict[int, _SilentProgram] = {}
        #: name -> how often it hung.
        self._hung: dict[str, int] = {}
        self._looked = now

    @property
    def looked(self) -> float:
        """When it looked last."""
        return self._looked

    def is_heard(self, pid: int) -> bool:
        """Whether a process has sent a pulse."""
        return pid in self._heard

    def hung(self, name: str) -> int:
        """How often processes of that program were given up."""
        return self._hung.get(name, 0)

    def stuck_s(self, pid: int, now: float) -> float:
        """Seconds since a process was given up that is still there; 0 for any other process."""
        at = self._given_up.get(pid)
        return 0.0 if at is None else round(now - at, 1)

    def hear(self, pid: int, now: float) -> None:
        """Takes a pulse."""
        self._heard[pid] = now

    def excuse(self, now: float) -> None:
        """What was not heard until now is nobody's fault: the time of each begins once more."""
        self._heard = dict.fromkeys(self._heard, now)
        self._starting.clear()

    def look(self, living: Mapping[int, Living], now: float) -> list[Hung]:
        """Those of the living that hang, each told once: the caller kills them."""
        gap, self._looked = now - self._looked, now
        if gap > _OWN_STALL_S:
            self.excuse(now)
        self._heard = {pid: at for pid, at in self._heard.items() if pid in living}
        self._given_up = {pid: at for pid, at in self._given_up.items() if pid in living}
        self._starting = {pid: self._starting.get(pid, now) for pid in living if pid not in self._heard}
        late = [(pid, at) for pid, at in self._starting.items() if now - at > START_S]
        late += [(pid, at) for pid, at in self._heard.items() if now - at > SILENT_S]
        late = [(pid, at) for pid, at in late if pid not in self._given_up and living[pid].at_work]
        self._suspects = self._suspected(late, now, paused=gap > _PAUSE_S)
        return [self._give_up(pid, living[pid].name, at, now) for pid, at in late if pid not in self._suspects]

    def _suspected(self, late: list[tuple[int, float]], now: float, *, paused: bool) -> dict[int, _SilentProgram]:
        """Those that get some time more."""
        found = {}
        for pid, at in late:
            suspect = self._suspects.get(pid)
            if suspect is None or suspect.heard_at != at:
                suspect = _SilentProgram(at, now) if paused else None
            if suspect is not None and now - suspect.since < _GRACE_S:
                found[pid] = suspect
        return found

    def _give_up(self, pid: int, name: str, heard_at: float, now: float) -> Hung:
        self._hung[name] = self._hung.get(name, 0) + 1
        self._given_up[pid] = now
        return Hung(pid, name, now - heard_at)
