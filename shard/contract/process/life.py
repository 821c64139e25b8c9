"""The life of a process: its lock, its epoch numbers, its pulse, and its end when its parent dies."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import time
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import InUseError
from ..limits import PULSE_S
from ..state.directory import StateDirectory

_PR_SET_PDEATHSIG = 1


#: Descriptor on which supervisord's process holds `service.lock`.
LOCK_FD: Final = 4


class Holder(NamedTuple):
    """Who says in a lock file that it holds the lock: which process, also after its number was given to another."""

    pid: int
    #: Clock ticks from the boot to its start (proc_pid_stat(5), field 22); 0 where it can't be told.
    started: int


class Lock:
    """An exclusive flock on a file; released by the kernel when the process dies, however it dies.

    The file holds who has it (`holder_of`), and nothing that anyone goes on from: it may be removed while nobody does.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        """Takes the lock, polling up to `wait_s` seconds.

        Raises InUseError with the holder's pid, OSError, or UsageError for what is no file of ours.
        """
        self.path = path
        deadline = time.monotonic() + wait_s
        while not self._taken(wait=time.monotonic() < deadline):
            time.sleep(0.02)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d %d\n" % (os.getpid(), started(os.getpid())), 0)

    def _taken(self, *, wait: bool) -> bool:
        with StateDirectory(self.path.parent) as directory:
            self._fd = directory.open(self.path.name, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.in_place():
                return True
        except BlockingIOError:
            if not wait:
                holder = holder_of(self._fd)
                os.close(self._fd)
                raise InUseError(
                    f"{self.path} is held by process {holder.pid if holder is not None else 'unknown'}",
                    hint="stop it first (`shardwatch down`), or use another state directory",
                    retryable=True,
                ) from None
            os.close(self._fd)
            return False
        os.close(self._fd)
        return False

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._fd

    def in_place(self) -> bool:
        """Whether the file that is locked still has its name: else another may hold a lock of that name beside us."""
        found = os.fstat(self._fd)
        return identity(self.path) == (found.st_dev, found.st_ino)

    def close(self) -> None:
        os.close(self._fd)


def holder_of(fd: int) -> Holder | None:
    """What the lock file open at `fd` says; None where it says nothing that can be understood."""
    fields = os.pread(fd, 64, 0).split()
    if not 1 <= len(fields) <= 2 or not all(field.isdigit() and len(field) < 20 for field in fields):
        return None
    pid = int(fields[0])
    return Holder(pid, int(fields[1]) if len(fields) == 2 else 0) if 0 < pid < 1 << 31 else None


def started(pid: int) -> int:
    """Clock ticks from the boot to the start of a process; 0 where it can't be told."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def new_epoch(known: int = 0) -> int:
    """Number of a stream that begins now, above `known`: microseconds since the boot.

    It can't repeat, whatever was removed from, restored into or copied with a state directory, because nothing there is asked.
    A shard's streams are told apart within one running service only (`service_id`, random), which lives within one boot; there
    the clock only goes forward, whatever the wall clock does, and a shard that begins holds the lock of its predecessor, which
    began earlier. A machine that is put back to a snapshot takes the whole service back with it, its clock too.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return max(time.clock_gettime_ns(clock) // 1000, known + 1)


#: Environment variable with the identity of a running service: supervisord's process makes one, and its children inherit it.
SERVICE_VARIABLE = "SHARDWATCH__SERVICE"


def service_id() -> str:
    """Tells the processes of one running service from all others, also from those of an earlier one in the same place that
    still live; "" where a program was started by hand."""
    return os.environ.get(SERVICE_VARIABLE, "")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has that name; None where there is none, or it can't be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


#: Follows the pid in a pulse of who has not done yet what it was started for: it has not proved that it can live.
SCANNING = b" scanning"


class Pulse:
    """Tells supervisord's plugin that this process's main loop turns (`supervisor.plugin.pulse`); a lost one costs nothing."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._pid = b"%d" % os.getpid()
        self._next = 0.0

    def beat(self, *, scanning: bool = False) -> None:
        """Call it as often as you like: one pulse a second at most is sent. Never blocks, never raises.

        `scanning`: a crash from now on is as good as one at the start (`supervisor.plugin.breaker`).
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PULSE_S
            with contextlib.suppress(OSError):  # nobody listens, or too many are waiting
                self._socket.sendto(self._pid + SCANNING if scanning else self._pid, self._path)

    def close(self) -> None:
        self._socket.close()


def die_with_parent(sig: signal.Signals = signal.SIGTERM) -> None:
    """Asks the kernel for `sig` when the parent dies (PR_SET_PDEATHSIG, prctl(2)); Linux only, elsewhere stdin's end of
    file is the only guard. Sends it at once where the parent is gone already."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:
        return
    parent = os.getppid()
    if prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), sig)
