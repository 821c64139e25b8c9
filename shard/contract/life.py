"""How a process of ours lives and dies: its lock, its epoch, and the death of the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import time
from pathlib import Path

from shardwatch.shard.contract.errors import InUseError
from shardwatch.shard.contract.limits import PULSE_S

_PR_SET_PDEATHSIG = 1


class Lock:
    """An exclusive flock on a file; released by the kernel when the process dies, however it dies.

    The file also holds the epoch: a durable counter that grows with every life of the holder.
    """

    def __init__(self, path: Path, *, wait_s: float = 0.0) -> None:
        """Takes the lock, polling up to `wait_s` seconds. Raises InUseError with the holder's pid, or OSError."""
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(self._fd, 64, 0).split()
                    os.close(self._fd)
                    pid = holder[0].decode("ascii", "replace") if holder else "unknown"
                    raise InUseError(
                        f"{path} is held by process {pid}",
                        hint="stop it first (`shardwatch down`), or use another state directory",
                        retryable=True,
                    ) from None
                time.sleep(0.02)
        fields = os.pread(self._fd, 64, 0).split()
        self.epoch = (int(fields[1]) if len(fields) == 2 and fields[1].isdigit() else 0) + 1
        self.write_epoch(self.epoch)

    def write_epoch(self, epoch: int) -> None:
        """Makes `epoch` durable. A shard calls it when the aggregator knows a higher one than the file held."""
        self.epoch = epoch
        os.pwrite(self._fd, b"%-20d %-20d\n" % (os.getpid(), epoch), 0)
        os.fsync(self._fd)

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._fd

    def in_place(self) -> bool:
        """Whether the file that is locked still has its name: else another may hold a lock of that name beside us."""
        found = os.fstat(self._fd)
        return identity(self.path) == (found.st_dev, found.st_ino)

    def close(self) -> None:
        os.close(self._fd)


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
