"""One run of a command as a process: started in a process group of its own, watched by a descriptor, ended as a group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ..host.process import ended_fd

#: Exit codes of shells for a command that is not there, or that can't be run.
NOT_FOUND: Final = 127
NOT_RUN: Final = 126
#: Signals that Python ignores, and programs expect not to be ignored (as subprocess has it).
_RESTORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)
#: Bytes of the arguments that are left for what the kernel and the dynamic linker add (POSIX lets xargs keep as many).
_HEADROOM: Final = 2048


def why_unrunnable(program: str) -> tuple[int, str] | None:
    """The exit code of a shell that is told to run it, and why, where there is no such program or none that may be executed."""
    if shutil.which(program) is not None:
        return None
    there = os.path.exists(program) if os.sep in program else shutil.which(program, mode=os.F_OK) is not None
    return (NOT_RUN, f"{program} can't be executed") if there else (NOT_FOUND, f"there is no command {program}")


def argument_bytes_max(environ: Mapping[bytes, bytes]) -> int:
    """Bytes that the arguments of a run may take beside this environment, as execve(2) counts them."""
    taken = sum(len(name) + len(value) + 2 + 8 for name, value in environ.items())
    return max(0, os.sysconf("SC_ARG_MAX") - taken - _HEADROOM)


class RunProcess:
    """A run that goes on. The caller waits until `ended` is readable, and then calls `close`."""

    def __init__(
        self,
        argv: Sequence[bytes],
        environ: Mapping[bytes, bytes],
        standard_input: bytes,
        *,
        stdout: int,
        stderr: int,
        umask: int,
    ) -> None:
        """Starts it.

        Args:
            stdout, stderr: where it writes.
            umask: for the files that it makes.

        Raises OSError where it can't be started.
        """
        # posix_spawn takes half the time of subprocess. Whatever we have opened closes itself when the program is executed, and
        # not before: see `guard`.
        with _readable(standard_input) as stdin, _umask(umask):
            outputs = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
            self._pid = os.posix_spawnp(
                argv[0], list(argv), environ, file_actions=[stdin, *outputs], setpgroup=0, setsigdef=_RESTORED
            )
        try:
            self.ended = ended_fd(self._pid)
        except OSError:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            raise
        self._stopped = False

    def stop(self, signum: int) -> None:
        """Sends a signal that is to end it to the whole group."""
        self._stopped = True
        self.signal(signum)

    def signal(self, signum: int) -> None:
        """Sends a signal to the whole group. The group is there until `close`, since its leader is not reaped before."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signum)

    def close(self) -> int:
        """Reaps it, once it has ended; its exit code, negative for a signal. Of a run that was stopped, the rest of the group is
        killed."""
        if self._stopped:
            self.signal(signal.SIGKILL)
        os.close(self.ended)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def why_failed(code: int) -> str:
    """Why a run failed, in words; empty for exit code 0."""
    if code == 0:
        return ""
    if code > 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[tuple[int, ...] | tuple[int, int, str, int, int]]:
    """What gives a program that is spawned within `content` to read, without a process that writes it."""
    if not content:
        yield os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0
        return
    with os.fdopen(os.memfd_create("input", os.MFD_CLOEXEC), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield os.POSIX_SPAWN_DUP2, file.fileno(), 0


@contextlib.contextmanager
def _umask(umask: int) -> Iterator[None]:
    """The umask of what is spawned within. It is ours as well for that moment, in which nobody here makes a file."""
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)
