"""Kills programs that hang. Each program sends its pid once a second, and is killed when it falls silent. Runs inside
supervisord, which notices deaths but not hangs.

A program is supervised from its first pulse on, so a long start does not count as a hang. A program that has sent no
pulse for START_S does. If supervisord itself was stopped (by SIGSTOP, or because the machine was suspended), all
deadlines start again. If it may have been stopped, it checks a second time before it kills. A process that is stuck in
the kernel cannot be killed; `status` reports it.

Nothing here may raise; see wake.py.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import ProcessStates
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.limits import SILENT_S
from shardwatch.shard.contract.process.life import SCANNING
from shardwatch.shard.contract.state.layout import Layout

from .map_entry import MapEntry, drop_closed

#: Seconds until the first pulse: it includes the interpreter, imports, a lock that a predecessor holds, and opening a database.
START_S: Final = 120.0
#: The longest time between two checks if supervisord was not stopped: supervisord's shortest tick, and a margin.
_OWN_STALL_S: Final = 6.5
#: The longest time between two checks while any program sends pulses. After a longer time, a program that is silent gets
#: _GRACE_S more: either all programs are silent, or supervisord was stopped and their pulses are still on their way.
_PAUSE_S: Final = 3.0
_GRACE_S: Final = 1.0
#: Seconds between checks while pulses arrive.
_LOOK_S: Final = 0.5
#: Pulses that are read in one pass of supervisord's loop, so that a flood of them does not block everything else.
_PULSES_MAX: Final = 1000
#: A pulse is a pid, followed by SCANNING or nothing. Anything else is refused.
_PID_BYTES_MAX: Final = 10
_PULSE_BYTES_MAX: Final = _PID_BYTES_MAX + len(SCANNING)


class Pulses(MapEntry):
    """An entry in supervisord's socket map: a datagram socket that takes the pulses."""

    def __init__(self, supervisord: Supervisor, scans: Callable[[int], None] = lambda pid: None) -> None:
        """`scans` is called with the pid of a living process that has not finished its baseline. It must not raise."""
        self._supervisord = supervisord
        self._scans = scans
        self._map = supervisord.options.get_socket_map()
        drop_closed(self._map, Pulses)
        #: pid -> when it was last heard, monotonic seconds.
        self._heard: dict[int, float] = {}
        #: pid -> when it was first seen, of those that were not heard yet.
        self._starting: dict[int, float] = {}
        #: pid -> when it was sent SIGKILL.
        self._killed: dict[int, float] = {}
        #: pid -> (when it was last heard, when that was too long ago at a look after a pause).
        self._suspects: dict[int, tuple[float, float]] = {}
        #: name -> how often it was killed for its silence.
        self.hung: dict[str, int] = {}
        #: Datagrams that are no pulse.
        self.refused = 0
        self._say_at = 0.0
        self._looked = time.monotonic()
        path = Layout(supervisord.options.here or ".").pulse_socket
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(os.fspath(path))
        path.chmod(0o600)
        self._map[self._socket.fileno()] = self
        events.subscribe(events.Tick5Event, self._on_tick)

    def stuck_s(self, pid: int) -> float:
        """Seconds since a process was sent SIGKILL without ending, because it is stuck in the kernel; 0 for any other process."""
        at = self._killed.get(pid)
        return 0.0 if at is None else round(time.monotonic() - at, 1)

    def heard(self, pid: int) -> bool:
        """Whether a process has sent a pulse."""
        return pid in self._heard

    def _on_tick(self, event: object) -> None:
        self._look(time.monotonic())

    def _look(self, now: float) -> None:
        try:
            gap, self._looked = now - self._looked, now
            if gap > _OWN_STALL_S:
                self._heard = dict.fromkeys(self._heard, now)
                self._starting.clear()
            living: dict[int, Subprocess] = {
                p.pid: p for g in self._supervisord.process_groups.values() for p in g.processes.values() if p.pid
            }
            self._heard = {pid: at for pid, at in self._heard.items() if pid in living}
            self._killed = {pid: at for pid, at in self._killed.items() if pid in living}
            self._starting = {pid: self._starting.get(pid, now) for pid in living if pid not in self._heard}
            suspects: dict[int, tuple[float, float]] = {}
            late = [(pid, at, START_S) for pid, at in self._starting.items()]
            for pid, at, limit_s in late + [(pid, at, SILENT_S) for pid, at in self._heard.items()]:
                process = living[pid]
                if now - at <= limit_s or pid in self._killed:
                    continue
                if process.state not in (ProcessStates.RUNNING, ProcessStates.STARTING):
                    continue
                suspect = self._suspects.get(pid)
                if suspect is None or suspect[0] != at:
                    suspect = (at, now) if gap > _PAUSE_S else None
                if suspect is not None and now - suspect[1] < _GRACE_S:
                    suspects[pid] = suspect
                    continue
                name = process.config.name
                self.hung[name] = self.hung.get(name, 0) + 1
                self._killed[pid] = now
                self._say(f"{name} (pid {pid}) was silent for {now - at:.1f} s: killed")
                os.kill(pid, signal.SIGKILL)
            self._suspects = suspects
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._say(f"pulse: {error!r}")

    def _say(self, line: str) -> None:
        try:
            self._supervisord.options.logger.warn(line)
        except Exception:  # noqa: BLE001
            pass

    def handle_read_event(self) -> None:
        now = time.monotonic()
        for _ in range(_PULSES_MAX):
            try:
                datagram = self._socket.recv(_PULSE_BYTES_MAX + 1)
            except OSError:
                break
            pulse = datagram.removesuffix(SCANNING)
            if len(pulse) > _PID_BYTES_MAX or not pulse.isdigit():
                self._refuse(now)
                continue
            self._heard[int(pulse)] = now
            if pulse != datagram:
                self._scans(int(pulse))
        if now - self._looked >= _LOOK_S:
            self._look(now)

    def forget(self) -> None:
        """Nor is the number to be closed once more when this object goes."""
        self._socket.detach()

    def _refuse(self, now: float) -> None:
        self.refused += 1
        if now >= self._say_at:
            self._say_at = now + 1.0
            self._say(f"pulse: {self.refused} datagrams refused so far that are no pid")


def row(pulses: Pulses, process: Subprocess) -> dict[str, Any]:
    """What `status` says of a program."""
    return {
        "hung": pulses.hung.get(process.config.name, 0),
        "stuck_s": pulses.stuck_s(process.pid),
        "heard": pulses.heard(process.pid),
    }
