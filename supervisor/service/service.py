"""One service from outside: finds it, asks supervisord about it, and stops it, whoever has started it.

Used by the commands and the Python API, in the process of the caller. A service runs as supervisord, started by
`shardwatch.supervisor.run`. supervisord's process holds `service.lock` for its whole life, so that lock shows whether a
service exists.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.errors import (
    InUseError,
    ServiceTimeoutError,
    ShardwatchError,
    UsageError,
)
from shardwatch.shard.contract.state.claim import claim_directory
from shardwatch.shard.contract.state.directory import SERVICE_LOCK, StateDirectory
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import read_plan

from .holder import proved_holder, send

#: Seconds a service gets to end by itself: its programs are killed after 1 + 1 + 2 s (supervisord.conf).
STOP_S: Final = 5.0
#: Seconds, after that, in which supervisord and whatever it left are killed with -9.
KILL_S: Final = 2.0
#: Seconds of it for which one SIGKILL is waited for. The time is counted in these waits, and not by the clock: while the machine
#: stands still, what was killed can't die either.
_KILL_WAIT_S: Final = 0.2
#: Seconds between two looks at something that can't be waited for.
LOOK_S: Final = 0.01
#: Bytes of a log that an error message quotes at most.
TAIL_BYTES_MAX: Final = 4096

# Finding --------------------------------------------------------------------------------------------------------------


def running(layout: Layout) -> bool:
    """Whether a service (starting, running or stopping) holds the state directory. Does not block.

    Raises UsageError where the directory, or what stands there for a lock file, is another user's or no file.
    """
    try:
        with StateDirectory(layout.state_dir, foreign=True) as state:
            return state.held(SERVICE_LOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False


def programs(layout: Layout, timeout_s: float = 2.0) -> list[dict[str, Any]]:
    """What supervisord says of its programs (supervisor.plugin.rpc, `status`); empty where it does not answer."""
    from xmlrpc.client import Fault

    from .control import NO_ANSWER, supervisord

    try:
        with supervisord(layout.supervisor_socket, timeout_s) as proxy:
            rows: Any = proxy.shards.status()
    except (*NO_ANSWER, Fault):
        return []
    return list(rows)


def last_words(layout: Layout, name: str) -> str:
    """The last line of a log, for an error message, as text whatever the form of the log is; an empty log is told as such."""
    from ..terminal.log_lines import lines_of

    try:
        with StateDirectory(layout.state_dir, foreign=True) as state, os.fdopen(state.open(f"logs/{name}.log"), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES_MAX))
            lines = [line.text.strip() for line in lines_of(name, log.read().decode(errors="replace"))]
    except OSError:
        lines = []
    except UsageError as refused:  # it is no file of ours
        return str(refused)
    lines = [line for line in lines if line and not line.startswith("For help, use")]
    return lines[-1] if lines else f"it left no message in {layout.log(name)}"


def why_down(layout: Layout, name: str, programs: Sequence[Mapping[str, Any]]) -> str:
    """Why a program does not run, or does not answer, as far as supervisord and its log know."""
    row = next((p for p in programs if p["name"] == name), None)
    if row is None:
        return "supervisord does not answer"
    if os.statvfs(layout.state_dir).f_flag & os.ST_RDONLY:
        return f"the state directory {layout.state_dir} can't be written: make it writable"
    if row["state"] in ("STOPPED", "STOPPING"):
        return "it is stopped"
    if row["error"] and "process log may have details" not in row["error"]:
        return str(row["error"])
    return last_words(layout, name) if row["state"] != "RUNNING" else f"it is busy, or hangs; see {layout.log(name)}"


# Stopping -------------------------------------------------------------------------------------------------------------


def stop(layout: Layout, timeout_s: float = STOP_S) -> bool:
    """Ends the service; returns when supervisord and all its programs are gone. True if there was one.

    After `timeout_s` seconds they are killed. Only what is proved to be a process of this service is signalled
    (`supervisor.service.holder`). Idempotent, and safe beside another who does the same or starts a new service afterwards.

    Raises:
        ServiceTimeoutError: something can't be killed within KILL_S.
        InUseError: a lock is held by somebody who is not proved to be of this service; nothing was signalled.
        UsageError: the directory is another user's, or something in it is not ours.
    """
    try:
        state = StateDirectory(layout.state_dir)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with state:
        there = state.held(SERVICE_LOCK)
        if there:
            with proved_holder(state, SERVICE_LOCK) as process:
                send(process, signal.SIGTERM)
                until = time.monotonic() + timeout_s
                _wait_until_free(state, _locks(state), timeout_s)
                if process is not None:  # the lock is free a moment before the process is gone
                    process.wait(until - time.monotonic())
        waits = round(KILL_S / _KILL_WAIT_S)
        while left := [name for name in _locks(state) if state.held(name)]:
            if waits == 0:
                names = ", ".join(Path(name).stem for name in left)
                raise ServiceTimeoutError(f"still alive after SIGKILL: {names}", hint=_why_stuck(layout, left))
            for name in sorted(left, key=lambda name: name != SERVICE_LOCK):
                with proved_holder(state, name) as process:
                    send(process, signal.SIGKILL)
            waits -= 1
            _wait_until_free(state, left, _KILL_WAIT_S)
        _remove_stale(layout, state)
    return there


def _why_stuck(layout: Layout, locks: Sequence[str]) -> str:
    """What processes that don't die may wait for: filesystems that can hang, by the plan and the table of mounts."""
    from ..host.scouting import Scouts

    names = {Path(lock).stem.removeprefix("shard-") for lock in locks}
    with contextlib.suppress(OSError, ShardwatchError, msgspec.MsgspecError), Scouts() as scouts:
        plan = read_plan(layout.plan)
        anchors = [anchor.path for anchor in plan.anchors if anchor.shard in names] if plan is not None else []
        mounts = sorted({found for path in anchors if (found := scouts.mount(path)) is not None})
        if mounts:
            named = ", ".join(f"{kind} on {os.fsdecode(point)}" for point, kind in mounts)
            return f"waiting in the kernel, it seems, for {named}"
    return "a process may hang in the kernel"


def _locks(state: StateDirectory) -> list[str]:
    """Lock files of every process of the service; none where the directory is gone already."""
    try:
        with state.below("locks") as locks:
            return [f"locks/{name}" for name in locks.names() if name.endswith(".lock")]
    except FileNotFoundError:
        return []


def _wait_until_free(state: StateDirectory, names: Sequence[str], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(state.held(name) for name in names) and time.monotonic() < deadline:
        select.select([], [], [], LOOK_S)


def _remove_stale(layout: Layout, state: StateDirectory) -> None:
    """Removes sockets that nobody listens to any more, with the directory claimed so that no new service can own them."""
    try:
        claim_directory(state)
        for path in [*layout.sockets(), layout.supervisord_pid]:
            state.remove(os.fspath(path.relative_to(layout.state_dir)))
    except (InUseError, FileNotFoundError):
        pass
