"""One run of a command as a process: started in a process group of its own, watched by a descriptor, ended as a group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from ..host.process import ended_fd

#: Exit codes of shells for a command that is not there, or that can't be run.
NOT_FOUND: Final = 127
NOT_RUN: Final = 126
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
        with _readable(standard_input) as stdin:
            self._process = subprocess.Popen(
                argv,
                env=environ,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                umask=umask,
                process_group=0,
                # Whatever we have opened closes itself. Closing it here would do so before the program is executed: see `guard`.
                close_fds=False,
            )
        try:
            self.ended = ended_fd(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            raise
        self._stopped = False

    def stop(self, signum: int) -> None:
        """Sends a signal that is to end it to the whole group."""
        self._stopped = True
        self.signal(signum)

    def signal(self, signum: int) -> None:
        """Sends a signal to the whole group. The group is there until `close`, since its leader is not reaped before."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def close(self) -> int:
        """Reaps it, once it has ended; its exit code, negative for a signal. Of a run that was stopped, the rest of the group is
        killed."""
        if self._stopped:
            self.signal(signal.SIGKILL)
        os.close(self.ended)
        return self._process.wait()


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


def _readable(content: bytes) -> IO[bytes]:
    """A file to read `content` from, without a process that writes it."""
    if not content:
        return Path(os.devnull).open("rb")
    file = os.fdopen(os.memfd_create("input", os.MFD_CLOEXEC), "w+b")
    file.write(content)
    file.seek(0)
    return file
