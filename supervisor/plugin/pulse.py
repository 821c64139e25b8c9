"""Kills programs that hang. Each program sends its pid every second or two to a socket here, and is killed when it falls
silent (`silence` judges that). Runs inside supervisord, which notices deaths but not hangs.

While all programs are at work as usual, their pulses wait in the socket, and are read together once in a beat: one wake-up
in place of one for each. A pulse counts from when it was sent, which the kernel notes.

A process that is stuck in the kernel cannot be killed; `status` reports it. Nothing here may raise; see wake.py.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import ProcessStates
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.limits import BEAT_S, PULSE_S, next_beat
from shardwatch.shard.contract.process.life import READY, SCANNING, is_absent
from shardwatch.shard.contract.state.layout import Layout

from .map_entry import MapEntry, drop_closed
from .names import EXEC
from .silence import Living, Silence
from .titles import id_of

#: Seconds between checks while pulses arrive.
_LOOK_S: Final = 0.5
#: Pulses that are read in one pass of supervisord's loop, so that a flood of them does not block everything else.
_PULSES_MAX: Final = 1000
#: A pulse is a pid, followed by SCANNING, READY or nothing. Anything else is refused.
_PID_BYTES_MAX: Final = 10
_PULSE_BYTES_MAX: Final = _PID_BYTES_MAX + len(SCANNING)
#: How long after the programs' common beat their pulses are read, seconds.
_AFTER_BEAT_S: Final = 0.05
#: Pulses of one program that come meanwhile, at most.
_PULSES_EACH: Final = math.ceil((BEAT_S + _AFTER_BEAT_S) / PULSE_S)
#: How long pulses are read when they come, after something else came or more than the programs send: it could fill the queue
#: while that is not read, and pulses would be lost. Seconds.
_ALERT_S: Final = 10.0
#: Datagrams that wait in a socket, unless the kernel says otherwise (unix(7)). Further ones would be lost.
_QUEUE: Final = 10
#: Asks the kernel for the time at which a datagram was sent (socket(7)), as two C longs: Python has no name for it.
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("@ll")


class Pulses(MapEntry):
    """An entry in supervisord's socket map: a datagram socket that takes the pulses."""

    def __init__(
        self,
        supervisord: Supervisor,
        scans: Callable[[int], None] = lambda pid: None,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`scans` is called with the pid of a living process that has not finished its baseline, and `ready` whenever the
        aggregator says that the service is ready. They must not raise.
        """
        self._supervisord = supervisord
        self._scans = scans
        self._ready = ready
        self._map = supervisord.options.get_socket_map()
        drop_closed(self._map, Pulses)
        self._silence = Silence(time.monotonic())
        #: Pulses are read when they come (None), or wait until then.
        self._resting_until: float | None = None
        #: Until then they are read when they come, because somebody else has sent something.
        self._alert_until = 0.0
        self._taken_at = time.monotonic()
        self._queue = _queue_length()
        #: Datagrams that are no pulse.
        self.refused = 0
        self._say_at = 0.0
        self._path = Layout(supervisord.options.here or ".").pulse_socket
        self._path.unlink(missing_ok=True)
        self._socket = _bound(self._path)
        self._map[self._socket.fileno()] = self
        events.subscribe(events.Tick5Event, self._on_tick)
        events.subscribe(events.ProcessStateStartingEvent, self._on_starting)

    def row(self, process: Subprocess) -> dict[str, Any]:
        """What `status` says of a program."""
        return {
            "hung": self._silence.hung(_name(process)),
            "stuck_s": self._silence.stuck_s(process.pid, time.monotonic()),
            "heard": self._silence.is_heard(process.pid),
        }

    def _on_tick(self, event: object) -> None:
        self._look(time.monotonic())

    def _on_starting(self, event: object) -> None:
        """Its first pulse is awaited."""
        self._resting_until = None

    def _look(self, now: float) -> None:
        try:
            if is_absent(self._path) and not self._restore(now):
                return  # nobody can be heard
            for hung in self._silence.look(self._living(), now):
                self._say(f"{hung.name} (pid {hung.pid}) was silent for {hung.silent_s:.1f} s: killed")
                with contextlib.suppress(ProcessLookupError):  # the others must not be spared for it
                    os.kill(hung.pid, signal.SIGKILL)
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._say(f"pulse: {error!r}")

    def _restore(self, now: float) -> bool:
        """Makes the socket again, which was removed. Returns whether that was possible: not while its directory is missing."""
        try:
            with _bound(self._path) as other:
                os.dup2(other.fileno(), self._socket.fileno(), inheritable=False)
        except OSError:
            return False
        self._say(f"{self._path} was removed while the service runs, by a cleaner perhaps: it was made again")
        self._silence.excuse(now)
        return True

    def _living(self) -> dict[int, Living]:
        groups = self._supervisord.process_groups.values()
        processes = [p for group in groups for p in group.processes.values() if p.pid]
        return {p.pid: Living(_name(p), p.state in (ProcessStates.RUNNING, ProcessStates.STARTING)) for p in processes}

    def _say(self, line: str) -> None:
        try:
            self._supervisord.options.logger.warn(line)
        except Exception:  # noqa: BLE001
            pass

    def readable(self) -> bool:
        return self._resting_until is None

    def next_due(self) -> float:
        return math.inf if self._resting_until is None else self._resting_until

    def on_time(self, now: float) -> None:
        self._resting_until = None  # if anything fails now, it is not due again at once, for ever
        self._take(now)

    def handle_read_event(self) -> None:
        self._take(time.monotonic())

    def _take(self, now: float) -> None:
        """Reads the pulses that are there, and decides when to do so next."""
        usual = True
        taken = 0
        for _ in range(_PULSES_MAX):
            try:
                datagram, stamp, _, _ = self._socket.recvmsg(_PULSE_BYTES_MAX + 1, socket.CMSG_SPACE(_TIMESPEC.size))
            except OSError:
                break
            taken += 1
            word = next((word for word in (SCANNING, READY) if datagram.endswith(word)), b"")
            pulse = datagram.removesuffix(word)
            if len(pulse) > _PID_BYTES_MAX or not pulse.isdigit():
                self._alert_until = now + _ALERT_S
                self._refuse(now)
                continue
            self._silence.hear(int(pulse), sent_at(stamp, now, time.time(), since=self._taken_at))
            if word == READY:
                self._ready()
            elif word:
                usual = False
                self._scans(int(pulse))
        self._taken_at = now
        if now - self._silence.looked >= _LOOK_S:
            self._look(now)
        living = self._living()
        if taken > len(living) * _PULSES_EACH:
            self._alert_until = now + _ALERT_S
        usual = usual and now >= self._alert_until
        self._resting_until = next_beat(now, BEAT_S) + _AFTER_BEAT_S if usual and self._may_rest(living) else None

    def _may_rest(self, living: Mapping[int, Living]) -> bool:
        """Whether every program was heard, and there is room in the queue for what they send in the meantime."""
        return 0 < len(living) * _PULSES_EACH < self._queue and all(map(self._silence.is_heard, living))

    def forget(self) -> None:
        """Nor is the number to be closed once more when this object goes."""
        self._socket.detach()

    def _refuse(self, now: float) -> None:
        self.refused += 1
        if now >= self._say_at:
            self._say_at = now + 1.0
            self._say(f"pulse: {self.refused} datagrams refused so far that are no pid")


def _bound(path: Path) -> socket.socket:
    """A socket that takes datagrams at this path, where nothing is yet. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # without it, a pulse counts from when it is read
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.bind(os.fspath(path))
        path.chmod(0o600)
    except OSError:
        made.close()
        raise
    return made


def _name(process: Subprocess) -> str:
    """Of its program. A command of the configuration may be called as a shard is."""
    name = id_of(process)
    group = process.group
    return f"{EXEC}:{name}" if group is not None and group.config.name == EXEC else name


def sent_at(stamp: Iterable[tuple[int, int, bytes]], now: float, wall: float, *, since: float) -> float:
    """When a datagram was sent, monotonic seconds: by the kernel's stamp, or now if it has none. Pure.

    `stamp`: what came with it (recvmsg(2)). `now`, `wall`: the time on both clocks. `since`: it was not there yet then; the stamp
    is of the wall clock, which may have been set meanwhile.
    """
    for level, kind, data in stamp:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            age: float = wall - seconds - nanoseconds / 1e9
            return min(now, max(since, now - age))
    return now


def _queue_length() -> int:
    try:
        return int(Path("/proc/sys/net/unix/max_dgram_qlen").read_bytes())
    except (OSError, ValueError):
        return _QUEUE
