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
_PR_SET_TIMERSLACK = 29


#: Descriptor on which supervisord's process holds `service.lock`.
LOCK_FD: Final = 4


class Holder(NamedTuple):
    """What a lock file says about the process that holds the lock. It identifies the process even after its pid was reused."""

    pid: int
    #: Clock ticks from the boot to its start (proc_pid_stat(5), field 22); 0 where it can't be told.
    started: int


class Lock:
    """An exclusive flock on a file. The kernel releases it when the process dies, however it dies.

    The file says which process holds the lock (`holder_of`). Nothing else is derived from its contents, so it may be removed
    while no process holds it.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        """Takes the lock. Blocks for at most `wait_s` seconds.

        Raises InUseError with the holder's pid, OSError, or UsageError if the file is not one of ours.
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
        """Whether the locked file still has its name, as far as can be told. If it has not, another process may hold a lock of
        that name beside this one.
        """
        found = os.fstat(self._fd)
        return not leads_elsewhere(self.path, (found.st_dev, found.st_ino))

    def close(self) -> None:
        os.close(self._fd)


def holder_of(fd: int) -> Holder | None:
    """What the lock file open at `fd` says; None if this cannot be understood."""
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
    """Number of an epoch that begins now, above `known`: microseconds since the boot.

    It cannot repeat, whatever was removed from, restored into or copied with a state directory, because no file is used.
    Epochs have to be distinguished only within one running service (`service_id`, random), which lives within one boot.
    Within one boot this clock only goes forward, whatever happens to the wall clock. And a shard that begins holds the lock
    of its predecessor, which began earlier. When a machine is put back to a snapshot, the whole service is put back with it,
    and so is its clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return max(time.clock_gettime_ns(clock) // 1000, known + 1)


#: Environment variable with the identity of a running service: supervisord's process makes one, and its children inherit it.
SERVICE_VARIABLE = "SHARDWATCH__SERVICE"


def service_id() -> str:
    """An id by which the processes of one running service are distinguished from all others, including those of an earlier
    service in the same place that are still alive. "" if a program was started by hand.
    """
    return os.environ.get(SERVICE_VARIABLE, "")


def identity(path: Path) -> tuple[int, int] | None:
    """Which file has that name; None where there is none, or it can't be told."""
    try:
        found = os.stat(path)  # asked at each beat of each process, and pathlib costs as much as the question
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_absent(path: Path) -> bool:
    """Whether nothing has that name for certain: where the way to it may not be entered at the moment, it can't be told."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def leads_elsewhere(path: Path, before: tuple[int, int] | None) -> bool:
    """Whether another file than `before`, or none, has that name for certain."""
    now = identity(path)
    return now != before and (now is not None or is_absent(path))


#: Follows the pid in the pulse of a process that has not yet finished its first task, and so has not proved that it is stable.
SCANNING = b" scanning"
#: The same for a pulse of an aggregator that has the baseline: the service is ready.
READY = b" ready"


class Pulse:
    """Tells supervisord's plugin that this process's main loop is running (`supervisor.plugin.pulse`). A lost pulse does no
    harm.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._pid = b"%d" % os.getpid()
        self._next = 0.0

    def beat(self, *, scanning: bool = False, ready: bool = False) -> None:
        """Sends a pulse, at most one per second however often it is called. Never blocks, never raises.

        `scanning`: a crash from now on counts like one right after the start (`supervisor.plugin.breaker`).
        `ready`: the service is ready (`supervisor.plugin.notify`).
        """
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PULSE_S
            with contextlib.suppress(OSError):  # nobody listens, or too many are waiting
                self._socket.sendto(self._pid + (SCANNING if scanning else READY if ready else b""), self._path)

    def close(self) -> None:
        self._socket.close()


def die_with_parent(sig: signal.Signals = signal.SIGTERM, parent: int | None = None) -> None:
    """Asks the kernel to send `sig` when the parent dies (PR_SET_PDEATHSIG, prctl(2)). Linux only; on other systems the end of
    file of standard input is the only safeguard. Sends the signal at once if the parent is already dead.

    `parent`: its pid, for a child that knows it from before the fork. Without it, a parent that died before this call, and not
    during it, is not noticed.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:
        return
    parent = os.getppid() if parent is None else parent
    if prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), sig)


def wake_on_time() -> None:
    """Has the kernel end timed waits of this thread, and of those that it starts later, on time: otherwise they may take 50 µs
    longer (PR_SET_TIMERSLACK, prctl(2)). On other systems than Linux it does nothing.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
