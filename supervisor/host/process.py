"""Processes of others and our own, held by a descriptor that keeps referring to the same process (pidfd_open(2), Linux
5.3), or without one.

The system call filters of some containers refuse pidfds (ENOSYS, EPERM). Then a thread waits for a child, and another
process is recognised by its start time. Between this check and a signal there is a moment in which the pid could pass
to another process, although the kernel reuses a pid only after all others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time

from shardwatch.shard.contract.process.life import started

from .readable import readable

#: Seconds between two checks of a process that cannot be waited for.
_LOOK_S = 0.02


def ended_fd(child: int) -> int:
    """A descriptor that becomes readable when that child has ended. The caller closes it. The child is not reaped.

    Raises OSError if no descriptor is free, and where no thread can be started either.
    """
    try:
        return os.pidfd_open(child)
    except OSError:  # refused, unknown, or no descriptor is free, which the pipe tells
        pass
    ended, tell = os.pipe2(os.O_CLOEXEC)

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):  # reaped already
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        os.close(tell)

    try:
        threading.Thread(target=wait, name=f"end-of-{child}", daemon=True).start()
    except RuntimeError as error:  # as many as a limit allows
        for fd in (ended, tell):
            os.close(fd)
        raise OSError(errno.EAGAIN, str(error)) from None
    return ended


class Process:
    """A living process. It is never confused with a later one that gets its pid. A context manager.

    Raises ProcessLookupError if no process has that pid.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd: int | None = None
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:  # refused, unknown, or no descriptor is free
            with contextlib.suppress(PermissionError):
                os.kill(pid, 0)
        self._started = started(pid)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal. Does nothing if the process has ended. Raises PermissionError."""
        with contextlib.suppress(ProcessLookupError):
            if self._fd is not None:
                try:
                    signal.pidfd_send_signal(self._fd, number)
                    return
                except ProcessLookupError:
                    return
                except OSError:
                    pass  # pidfds may be had, but not signalled: or it is not ours, which kill says too
            if not self.ended():
                os.kill(self.pid, number)

    def ended(self) -> bool:
        """Whether it has ended, reaped or not."""
        if self._fd is not None:
            return readable(self._fd, 0.0)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return started(self.pid) != self._started or _zombie(self.pid)

    def wait(self, timeout_s: float) -> bool:
        """Blocks until it has ended; False after `timeout_s` seconds."""
        if self._fd is not None:
            return readable(self._fd, timeout_s)
        deadline = time.monotonic() + timeout_s
        while not self.ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True


def _zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as cheap as it gets
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False
