"""Ends the runs of an `exec` that was killed.

Runs have process groups of their own, so they outlive an `exec` that is killed by SIGKILL. Its leases end, its paths are handed
out again, and a second run for a path would begin while the first one goes on. So a small child process waits at a pipe whose
other end only `exec` has, and kills every process that has the token of this `exec` in its environment, once `exec` is gone.

A run that is just being started shares that end of the pipe until its program is executed, and has the token from then on, or a
moment later (`_environ`). So none is overlooked. What has removed the token from its environment is. An `exec` that a run
starts gives its own runs another token, and their environment also says in which run it was started: its guard is killed with
it, so they are killed from here.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

from ..config.names import RUN_VARIABLES, WITHIN_VARIABLE
from ..host.readable import readable

#: Milliseconds for which a process that was killed is waited for. One that the kernel can't end is left alone.
_KILLED_MS: Final = 5000
#: Seconds for which the environment of a program is waited for that is just being executed.
_EXECUTED_S: Final = 1.0
#: Where proc_pid_stat(5) has the end of the environment, counted from what stands behind the name of the program.
_ENV_END: Final = 48
_QUIT: Final = b"q"


class Guard:
    """A context manager. Make it before there are threads, and before anything is opened that must end with this process."""

    def __init__(self) -> None:
        #: In the environment of every run, at the beginning of RUN_VARIABLES[0].
        self.token = secrets.token_hex(8)
        end, self._alive = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._alive)
            _guard(end, self.token)
        os.close(end)

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """All runs have ended: there is nothing to be done any more."""
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            os.write(self._alive, _QUIT)
        os.close(self._alive)
        os.waitpid(self._pid, 0)


def _guard(end: int, token: str) -> NoReturn:
    """The child process."""
    try:
        os.setsid()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # nobody must wait for the end of an output because of this process
            os.dup2(null, standard)
        os.dup2(end, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        if os.read(3, 1) != _QUIT:
            end_runs(token)
    finally:
        os._exit(0)


def end_runs(token: str) -> None:
    """Kills every process whose run has that token, and what these start meanwhile. Returns when they are gone."""
    while killed := [fd for pid in _runs(token) for fd in _kill(pid)]:
        for fd in killed:
            readable(fd, _KILLED_MS / 1000)
            os.close(fd)


def _runs(token: str) -> Iterator[int]:
    is_wanted = re.compile(rf"({RUN_VARIABLES[0]}=|{WITHIN_VARIABLE}=(.* )?){token}\.".encode(), re.DOTALL).match
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if any(map(is_wanted, _environ(Path("/proc", name)).split(b"\0"))):
                yield int(name)


def _environ(process: Path) -> bytes:
    """The environment of a process in /proc. When a program is executed, the kernel closes descriptors a moment before it shows
    the new environment, which is waited for. Raises OSError: the process has ended, or is another user's."""
    until = time.monotonic() + _EXECUTED_S
    environ = process / "environ"
    while not (found := environ.read_bytes()) and time.monotonic() < until:
        if not _is_being_executed(process):
            return environ.read_bytes()  # since it was looked at, too, the program may have begun
        time.sleep(0.001)
    return found


def _is_being_executed(process: Path) -> bool:
    """Asked of one without an environment. Raises OSError where it executes no program: it has ended, or is the kernel's."""
    (process / "exe").readlink()
    return int((process / "stat").read_bytes().rpartition(b")")[2].split()[_ENV_END]) == 0


def _kill(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when the process has ended; none where it has, or is another's by now."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except OSError:
            os.close(fd)
            raise
        yield fd
