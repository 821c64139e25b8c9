"""The priority of a process: its niceness (nice(2)), and the class and level of its input and output (ioprio_set(2)).

Linux keeps both for each thread, and a new thread has those of the one that makes it. So they are set for all threads that there
are. Where the kernel refuses, nothing is raised: what was asked for is a matter of courtesy towards others, and the service works
without.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final, NamedTuple

from ..state.options import IO_CLASS, IO_CLASSES
from ..state.settings import Settings

#: Numbers of ioprio_set(2) and ioprio_get(2), for which the C library has no functions.
_CALLS: Final = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "loongarch64": (30, 31),
    "i686": (289, 290),
    "armv7l": (314, 315),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}
_IOPRIO_WHO_PROCESS: Final = 1
_CLASS_SHIFT: Final = 13
#: The kernel's numbers of `options.IO_CLASSES`.
_CLASSES: Final = {"best-effort": 2, "idle": 3}


class PriorityRefusal(NamedTuple):
    """What the kernel did not allow, and what would help; both empty if nothing was refused.

    `restart_helps`: the process may not raise its own priority, but its parent has such a one, and so has what the parent starts.
    """

    what: str = ""
    remedy: str = ""
    restart_helps: bool = False


def take_priority(settings: Settings, *, niceness_min: int = -20) -> PriorityRefusal:
    """Sets the priority of all threads of this process. Idempotent. Blocks for no longer than a few system calls.

    `niceness_min`: for a program that gives way to the others by itself.
    """
    refused = _take_niceness(settings.niceness, niceness_min)
    return _take_io(settings.io_class, settings.io_level) or refused


def try_priority(settings: Settings) -> PriorityRefusal:
    """What `take_priority` would say here, found out by a child process: this one keeps its priority."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, "\n".join(take_priority(settings)[:2]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        what, _, remedy = told.read().decode().partition("\n")
    os.waitpid(child, 0)
    return PriorityRefusal(what, remedy)


def is_set(settings: Settings) -> bool:
    """Whether anything is asked for, so that a process which has just begun has to set it."""
    return bool(settings.niceness) or settings.io_class != IO_CLASS.default


def _take_niceness(wanted: int, least: int) -> PriorityRefusal:
    parent = _niceness(os.getppid())
    if not wanted and parent is None:
        return PriorityRefusal()
    niceness = max(least, wanted or parent or 0)
    if niceness == _niceness(os.getpid()):
        return PriorityRefusal()
    try:
        for thread in _threads():
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    except ProcessLookupError:
        return PriorityRefusal()  # a thread has ended meanwhile
    except PermissionError:
        remedy = f"allow it (`LimitNICE={niceness:+d}` in a systemd unit, or `nice` in limits.conf), or set a higher niceness"
        helps = parent is not None and parent <= niceness
        return PriorityRefusal(f"niceness {niceness} was refused, and is {_niceness(os.getpid())}", remedy, helps)
    return PriorityRefusal()


def _niceness(pid: int) -> int | None:
    try:
        return os.getpriority(os.PRIO_PROCESS, pid)
    except OSError:
        return None


def _take_io(name: str, level: int) -> PriorityRefusal | None:
    """None: nothing was refused."""
    calls = _CALLS.get(os.uname().machine)
    syscall = getattr(ctypes.CDLL(None, use_errno=True), "syscall", None)
    if calls is None or syscall is None:
        if name == IO_CLASS.default:
            return None
        return PriorityRefusal(f"io_class {name} is not known on this system", f"remove io_class, or set it to {IO_CLASSES[0]}")
    if name == IO_CLASS.default:
        value = int(syscall(calls[1], _IOPRIO_WHO_PROCESS, os.getppid()))
        if value < 0 or value == int(syscall(calls[1], _IOPRIO_WHO_PROCESS, 0)):
            return None
    else:
        value = _CLASSES[name] << _CLASS_SHIFT | (level if name == "best-effort" else 0)
    for thread in _threads():
        if syscall(calls[0], _IOPRIO_WHO_PROCESS, thread, value) != 0 and (code := ctypes.get_errno()) != errno.ESRCH:
            remedy = "see ioprio_set(2), or set io_class to inherited"
            return PriorityRefusal(f"io_class {name} was refused: {os.strerror(code)}", remedy)
    return None


def _threads() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]  # the calling thread
