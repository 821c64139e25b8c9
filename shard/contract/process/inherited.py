"""Corrects what a process has inherited from its parent. Every program of ours calls this before anything else.

| inherited | what is done |
|---|---|
| descriptors 0, 1 and 2, closed | opened on /dev/null, so that no socket or database gets their numbers |
| other descriptors | `correct_for_service`: closed at an exec, so that no program of the service keeps a lock or pipe of others |
| SIGCHLD, SIGPIPE, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2 ignored | reset to their default, so that children can be waited for |
| SIGINT, SIGHUP ignored | unchanged: a shell's `&` and `nohup` ask for this |
| signals blocked | all are unblocked |
| signals without a meaning for our programs (SIGUSR1, real-time ones) | `ignore_signals`: they end no process of a service |
| the umask | `correct_for_service`: 077; commands keep it for what they run (`hold`), and set modes themselves |
| open files (RLIMIT_NOFILE) | `correct_for_service`: the soft limit is raised to the hard one, which must allow FDS_MIN |
| file size (RLIMIT_FSIZE) | `correct_for_service`: raised likewise, and must allow FILE_BYTES_MIN |
| the working directory | unchanged here; a service's is the state directory (`supervisor.run`), and the caller's may be gone |
| PYTHONWARNINGS | ignored: `error` would turn warnings into exceptions in any library |
| priority, processor time, memory, TZ, LANG, other PYTHON* | unchanged: the user may choose them |

Only ServiceError is raised here. Every start loads this module, so it imports little. Anyone may import it. A library
that runs in the process of somebody else (`ExtractClient`) must not call it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import warnings
from typing import Final

from ..errors import ServiceError

#: Descriptors that the smallest service needs in one process, with room for a few dozen clients.
FDS_MIN: Final = 128
#: Bytes to which a file must be allowed to grow: an index of 100,000 files has 30 MB.
FILE_BYTES_MIN: Final = 64 << 20

#: What must not stay ignored. Python itself ignores SIGPIPE and SIGXFSZ, and makes errors of them; that stays.
_SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2)
#: What ends a program that does not handle it, and asks ours for nothing. Absent ones are those of other systems.
_MEANINGLESS: Final = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGSTKFLT")
#: Limits, what each must allow, in which words it is told, and the remedy.
_LIMITS: Final[tuple[tuple[int, int, str, str], ...]] = (
    (resource.RLIMIT_NOFILE, FDS_MIN, "descriptors may be open in a process here", f"ulimit -n {FDS_MIN * 8}"),
    (resource.RLIMIT_FSIZE, FILE_BYTES_MIN, "bytes are the most that a file may have here", "ulimit -f unlimited"),
)
_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def correct() -> None:
    """For every program: standard descriptors and signals. Idempotent; call it in the main thread before threads start."""
    open_descriptors()
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.pop("PYTHONWARNINGS", None)


def correct_for_service() -> None:
    """For the programs of a service: what `correct` does, other descriptors, the umask and limits.

    Raises ServiceError, with the remedy, where a limit is too low for any service.
    """
    correct()
    _close_at_exec()
    os.umask(0o077)
    for which, least, what, remedy in _LIMITS:
        _raise_limit(which)
        _demand(resource.getrlimit(which)[0], least, what, remedy)


def demand_limits() -> None:
    """For a command that starts a service: raises the ServiceError that `correct_for_service` would raise in its programs.
    Changes nothing."""
    for which, least, what, remedy in _LIMITS:
        _demand(resource.getrlimit(which)[1], least, what, remedy)


def ignore_signals(*more: signal.Signals) -> None:
    """For the processes of a service, before they set handlers: a signal that asks for nothing ends none of them.

    `more`: others that mean nothing to this one. SIGTERM, SIGINT, SIGQUIT and what tells of a defect go on ending it.
    """
    named = [getattr(signal, name) for name in _MEANINGLESS if hasattr(signal, name)]
    real_time = [number for number in signal.valid_signals() if signal.SIGRTMIN <= number <= signal.SIGRTMAX]
    for number in (*named, *more, *real_time):
        signal.signal(number, signal.SIG_IGN)


def open_descriptors() -> set[int]:
    """0, 1 and 2 exist afterwards, and so do Python's streams on them. Which were closed: nobody reads what is written there.

    Without the streams print(file=sys.stderr) would write to standard output.
    """
    closed = set()
    for fd, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(fd)
        except OSError:
            closed.add(fd)
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))
    return closed


def _close_at_exec() -> None:
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        descriptors = list(range(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)))
    for fd in descriptors:
        if fd > 2:
            with contextlib.suppress(OSError):  # not open, or that of the listing
                os.set_inheritable(fd, False)


def _raise_limit(which: int) -> None:
    soft, hard = resource.getrlimit(which)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(which, (hard, hard))


def _demand(allowed: int, least: int, what: str, remedy: str) -> None:
    if allowed != resource.RLIM_INFINITY and allowed < least:
        hint = f"{remedy}, in the shell or unit that starts it"
        raise ServiceError(f"{allowed:,} {what}: a service needs {least:,}", hint=hint)
