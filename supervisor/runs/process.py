"""One run of a command as a process: started in a process group of its own, watched by a descriptor, ended as a group."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any, Final

from ..host.process import ended_fd

#: Signals that Python ignores, and programs expect not to be ignored (as subprocess has it).
_RESTORED: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
#: Standard input of a run that is told nothing that way.
_NOTHING: Final = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
#: Bytes of the arguments that are left for what the kernel and the dynamic linker add (POSIX lets xargs keep as many).
_HEADROOM: Final = 2048


def argument_bytes_max(environ: Mapping[bytes, bytes]) -> int:
    """Bytes that the arguments of a run may take beside this environment, as execve(2) counts them."""
    taken = sum(len(name) + len(value) + 2 + 8 for name, value in environ.items())
    return max(0, os.sysconf("SC_ARG_MAX") - taken - _HEADROOM)


class Program:
    """The program that runs execute. Where it lies is looked up in PATH once, and again only when it is not there any more: the
    kernel refuses an execve for each directory of PATH before the right one.

    Args:
        umask: for the files that runs make.
    """

    def __init__(self, umask: int) -> None:
        self._umask = umask
        self._found: str | None = None
        #: Signals that runs take as programs do by default. Who is started with a signal ignored (nohup) starts runs so. All
        #: others are named, since the C library would look up each that is not before it sets it, in each child.
        self._defaults = {n for n in signal.valid_signals() if signal.getsignal(n) != signal.SIG_IGN} | _RESTORED

    def run(
        self, argv: list[bytes], environ: Mapping[bytes, bytes], standard_input: bytes, *, stdout: int, stderr: int
    ) -> RunProcess:
        """Starts a run.

        Args:
            argv: the program, the same one each time, and its arguments.
            stdout, stderr: where it writes.

        Raises OSError where it can't be started.
        """
        outputs = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
        if not standard_input:
            return RunProcess(self._spawn(argv, environ, [_NOTHING, *outputs]))
        with os.fdopen(os.memfd_create("input", os.MFD_CLOEXEC), "w+b") as file:  # no process is needed that writes it
            file.write(standard_input)
            file.seek(0)
            return RunProcess(self._spawn(argv, environ, [(os.POSIX_SPAWN_DUP2, file.fileno(), 0), *outputs]))

    def _spawn(self, argv: list[bytes], environ: Mapping[bytes, bytes], files: list[tuple[Any, ...]]) -> int:
        # posix_spawn takes half the time of subprocess. Whatever we have opened closes itself when the program is executed, and
        # not before: see `guard`. The umask is ours as well for that moment, in which nobody here makes a file.
        before = os.umask(self._umask)
        try:
            return self._search_and_spawn(argv, environ, files)
        finally:
            os.umask(before)

    def _search_and_spawn(self, argv: list[bytes], environ: Mapping[bytes, bytes], files: list[tuple[Any, ...]]) -> int:
        if self._found is None:  # before anything runs: when its filesystem has just answered
            self._found = shutil.which(os.fsdecode(argv[0]))
        if self._found is not None:
            try:
                return os.posix_spawn(self._found, argv, environ, file_actions=files, setpgroup=0, setsigdef=self._defaults)
            except OSError:  # perhaps it lies elsewhere by now
                self._found = None
        return os.posix_spawnp(argv[0], argv, environ, file_actions=files, setpgroup=0, setsigdef=self._defaults)


class RunProcess:
    """A run that goes on. The caller waits until `ended` is readable, and then calls `close`."""

    def __init__(self, pid: int) -> None:
        """The run is a child of ours, and the leader of its group. Raises OSError where it can't be waited for; it is ended."""
        self._pid = pid
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

    def give_up(self) -> None:
        """Kills it at once, and reaps it."""
        self.stop(signal.SIGKILL)
        self.close()

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
