"""Finds the process that holds a lock of a state directory, and proves its identity before anything is done to it.

A lock file and the pid in it prove nothing: the file may be a copy, or belong to another program, and a pid may be
reused. So all of this must hold for a process that is to be signalled: it belongs to the caller, runs one of our
programs in this very directory since the time that the lock file says, and has the locked file open. And if a process
listens on supervisord's socket, the kernel must say that it is the same one. Anything else is refused, and never
signalled.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.errors import InUseError
from shardwatch.shard.contract.process.life import Holder, holder_of, started
from shardwatch.shard.contract.state.directory import SERVICE_LOCK, StateDirectory

from ..host.process import Process

#: Modules that our programs are started by (`python3 -P -m ...`); the coordinator's lock may be its launcher's for a moment.
_PROGRAMS: Final = frozenset(
    {b"shardwatch.supervisor.run", b"shardwatch.aggregator.main", b"shardwatch.supervisor.coordinator", b"shardwatch.shard.main"}
)
_SOCKET: Final = "supervisor.sock"
#: Seconds in which a lock may be held although its file names nobody who lives. A process that has just taken it writes its
#: number a moment later. One that ends gives up its memory, and with it its command line, before its descriptors. And a child
#: that inherited the lock may outlive the process that the file names until the kernel has ended it.
HANDOVER_S: Final = 1.0
#: Seconds between two looks meanwhile.
LOOK_S: Final = 0.01
#: struct ucred of SO_PEERCRED (unix(7)): pid, uid, gid.
_UCRED: Final = struct.Struct("3i")


@contextlib.contextmanager
def proved_holder(state: StateDirectory, name: str) -> Iterator[Process | None]:
    """The process that holds the lock `name`; None where nobody does, or it has just gone.

    Raises InUseError where somebody does who is not proved to be ours, UsageError for what is no lock file of ours. Blocks for
    up to HANDOVER_S where the file names nobody who lives.
    """
    process = _proved(state, name)
    try:
        yield process
    finally:
        if process is not None:
            process.close()


def send(process: Process | None, number: signal.Signals) -> None:
    """Signals a process that was proved, if it still lives."""
    if process is not None:
        with contextlib.suppress(PermissionError):
            process.send(number)


def _proved(state: StateDirectory, name: str) -> Process | None:
    until = time.monotonic() + HANDOVER_S
    while state.held(name):
        fd = state.open(name)
        try:
            holder, lock = holder_of(fd), os.fstat(fd)
        finally:
            os.close(fd)
        process = _process(holder)
        why = "the file does not say by whom" if holder is None else f"no process {holder.pid} is there"
        if process is not None and holder is not None:
            # Everything is looked at while it can't be mistaken for one that gets the number later.
            why = _doubt(state, name, holder, (lock.st_dev, lock.st_ino))
            if not why:
                return process
            process.close()
        if not _lives(holder) and time.monotonic() < until:
            select.select([], [], [], LOOK_S)
            continue
        if not state.held(name):
            return None
        raise InUseError(
            f"{state.path / name} is locked, but not by a service of this directory: {why}",
            hint="nothing was signalled; find out who has the file open (fuser), or remove the file",
        )
    return None


def _process(holder: Holder | None) -> Process | None:
    with contextlib.suppress(ProcessLookupError):
        return Process(holder.pid) if holder is not None else None
    return None


def _lives(holder: Holder | None) -> bool:
    """Whether a process of that number can be examined: without its memory, one that ends has no command line."""
    if holder is None:
        return False
    try:
        return bool(Path(f"/proc/{holder.pid}/cmdline").read_bytes())
    except OSError:
        return False


def _doubt(state: StateDirectory, name: str, holder: Holder, lock: tuple[int, int]) -> str:
    """Why that process is not known to hold that lock for a service of this directory; "" where it is."""
    process = f"process {holder.pid}"
    proc = Path(f"/proc/{holder.pid}")
    try:
        if proc.stat().st_uid != os.geteuid():
            return f"{process} is another user's"
        if not _PROGRAMS.intersection((proc / "cmdline").read_bytes().split(b"\0")):
            return f"{process} is not a program of shardwatch"
        at = os.stat(proc / "cwd")
        if (at.st_dev, at.st_ino) != state.identity:
            return f"{process} serves another directory"
        if started(holder.pid) != holder.started:
            return f"{process} was started at another time than the file says"
        if not _has_open(proc, lock):
            return f"{process} does not have it open"
    except OSError as error:
        return f"{process} can't be examined ({error.strerror})"
    listener = _listener(state) if name == SERVICE_LOCK else None
    if listener not in (None, holder.pid):
        return f"process {listener} listens on its socket, and not {process}"
    return ""


def _has_open(proc: Path, lock: tuple[int, int]) -> bool:
    for descriptor in (proc / "fd").iterdir():
        with contextlib.suppress(OSError):
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) == lock:
                return True
    return False


def _listener(state: StateDirectory) -> int | None:
    """The process that listens on supervisord's socket, by the kernel's word; None where nobody does. Asks it nothing, so that
    one that hangs is known too."""
    with contextlib.suppress(OSError), state.below("run") as run, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.setblocking(False)
        asked.connect(f"/proc/self/fd/{run.fd}/{_SOCKET}")
        return int(_UCRED.unpack(asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0])
    return None
