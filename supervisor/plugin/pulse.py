"""Kills programs that hang. Each program sends its pid once a second to a socket here, and is killed when it falls silent
(`silence` judges that). Runs inside supervisord, which notices deaths but not hangs.

A process that is stuck in the kernel cannot be killed; `status` reports it. Nothing here may raise; see wake.py.
"""

from __future__ import annotations

import contextlib
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

from shardwatch.shard.contract.process.life import SCANNING
from shardwatch.shard.contract.state.layout import Layout

from .map_entry import MapEntry, drop_closed
from .silence import Living, Silence

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
        self._silence = Silence(time.monotonic())
        #: Datagrams that are no pulse.
        self.refused = 0
        self._say_at = 0.0
        path = Layout(supervisord.options.here or ".").pulse_socket
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(os.fspath(path))
        path.chmod(0o600)
        self._map[self._socket.fileno()] = self
        events.subscribe(events.Tick5Event, self._on_tick)

    def row(self, process: Subprocess) -> dict[str, Any]:
        """What `status` says of a program."""
        return {
            "hung": self._silence.hung(process.config.name),
            "stuck_s": self._silence.stuck_s(process.pid, time.monotonic()),
            "heard": self._silence.is_heard(process.pid),
        }

    def _on_tick(self, event: object) -> None:
        self._look(time.monotonic())

    def _look(self, now: float) -> None:
        try:
            for hung in self._silence.look(self._living(), now):
                self._say(f"{hung.name} (pid {hung.pid}) was silent for {hung.silent_s:.1f} s: killed")
                with contextlib.suppress(ProcessLookupError):  # the others must not be spared for it
                    os.kill(hung.pid, signal.SIGKILL)
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._say(f"pulse: {error!r}")

    def _living(self) -> dict[int, Living]:
        processes = [p for group in self._supervisord.process_groups.values() for p in group.processes.values() if p.pid]
        return {p.pid: Living(p.config.name, p.state in (ProcessStates.RUNNING, ProcessStates.STARTING)) for p in processes}

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
            self._silence.hear(int(pulse), now)
            if pulse != datagram:
                self._scans(int(pulse))
        if now - self._silence.looked >= _LOOK_S:
            self._look(now)

    def forget(self) -> None:
        """Nor is the number to be closed once more when this object goes."""
        self._socket.detach()

    def _refuse(self, now: float) -> None:
        self.refused += 1
        if now >= self._say_at:
            self._say_at = now + 1.0
            self._say(f"pulse: {self.refused} datagrams refused so far that are no pid")
