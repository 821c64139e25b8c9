"""One service from outside: starts it, finds it, waits until it is ready, stops it.

Used by the commands and the Python API, in the process of the one who asks. What runs is supervisord, by
`shardwatch.supervisor.run`, which holds `service.lock` for its whole life: that lock, and nothing else, says whether
there is a service. Nothing here daemonizes by itself or leaves a thread behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.state import held
from shardwatch.supervisor.health import keeps_ending, log_name
from shardwatch.supervisor.state_dir import Prepared, prepare

__all__ = [
    "Asker",
    "Prepared",
    "check_deaths",
    "command",
    "find",
    "last_words",
    "prepare",
    "programs",
    "remove",
    "running",
    "start",
    "stop",
    "wait_ready",
    "why_down",
]

#: Seconds a service gets to end by itself: its programs are killed after 1 + 1 + 2 s (supervisord.conf).
STOP_S: Final = 5.0
#: Seconds, after that, in which supervisord and whatever it left are killed with -9.
KILL_S: Final = 2.0
#: Seconds that `find` waits for the answer of a service whose lock is held.
FIND_S: Final = 2.0
#: Seconds between two looks at something that can't be waited for.
LOOK_S: Final = 0.01
#: Seconds after which a refusal that may pass (a full disk) has not.
REFUSED_S: Final = 3.0
RETRYABLE: Final = frozenset({"busy", "stopping", "storage"})
#: Bytes of a log that an error message quotes at most.
TAIL_BYTES_MAX: Final = 4096

Progress = Callable[[Mapping[str, Any]], None]


# Starting -------------------------------------------------------------------------------------------------------------


def command(layout: Layout, *, follow: bool = False, ephemeral: bool = False, echo: bool = False) -> list[str]:
    """Arguments of supervisord's process; `up` in the foreground replaces itself by it (os.execv(argv[0], argv))."""
    argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.run", "--state-dir", os.fspath(layout.state_dir)]
    argv += ["--with-parent"] if follow else []
    argv += ["--ephemeral"] if ephemeral else []
    argv += ["--echo"] if echo else []
    return argv


def start(
    layout: Layout, *, follow: bool, log_to: IO[bytes] | int | None = None, ephemeral: bool = False
) -> subprocess.Popen[bytes]:
    """Starts the service; returns at once, long before it is ready. May be called from any thread.

    Args:
        layout: what `prepare` returned.
        follow: the service ends when this process does, or when the returned `stdin` is closed.
        log_to: where supervisord's own words before its log is open go; default STATE/logs/start.log.
        ephemeral: the service removes its state directory when it ends.

    The service is in a session of its own: a terminal's Ctrl-C and hang-up do not reach it.
    """
    with contextlib.ExitStack() as stack:
        if log_to is None:
            log_to = os.open(layout.log("start"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, log_to)
        return subprocess.Popen(
            command(layout, follow=follow, ephemeral=ephemeral),
            stdin=subprocess.PIPE if follow else subprocess.DEVNULL,
            stdout=log_to,
            stderr=log_to,
            start_new_session=True,
        )


# Finding --------------------------------------------------------------------------------------------------------------


def running(layout: Layout) -> bool:
    """Whether a service (starting, running or stopping) holds the state directory. Does not block."""
    return held(layout.service_lock)


def find(state_dir: Path, timeout_s: float = FIND_S) -> bool:
    """Whether a service lives there and answers. Blocks up to `timeout_s` where it lives and does not."""
    layout = Layout(os.path.abspath(state_dir))
    return running(layout) and Asker(layout).ask({"op": "hello"}, timeout_s) is not None


class Asker:
    """Asks the extract socket, one request at a time, through restarts of the aggregator. Not thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._id = 0

    def ask(self, request: Mapping[str, object], timeout_s: float) -> dict[str, Any] | None:
        """The reply, or None if there is none in time."""
        import zmq

        self._id += 1
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        with context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.reconnect_ivl = 10
            socket.connect(Layout.endpoint(self._layout.extract_socket))
            socket.send(json.dumps({"v": 1, "id": self._id, **request}).encode())
            if not socket.poll(int(timeout_s * 1000)):
                return None
            reply = json.loads(socket.recv())
            return reply if isinstance(reply, dict) else None


def wait_ready(
    layout: Layout,
    timeout_s: float,
    progress: Progress | None = None,
    process: subprocess.Popen[bytes] | None = None,
) -> dict[str, Any]:
    """Waits until every directory is watched and the baseline is committed; returns what the service says then.

    Args:
        progress: called with what the service tells of its scan, a few times a second.
        process: what `start` returned, so that its death is noticed at once.

    Raises:
        ServiceError: the service ended, or one of its programs can't be kept alive; the message has its last words.
        ServiceTimeoutError: neither ready nor ended within `timeout_s`.
    """
    asker = Asker(layout)
    deadline = time.monotonic() + timeout_s
    look_at_deaths = time.monotonic() + 1.0
    refused_at: float | None = None
    while True:
        left = deadline - time.monotonic()
        if process is not None and process.poll() is not None:
            raise ServiceError(f"the service ended: {last_words(layout, 'start')}", hint=f"logs: {layout.logs}")
        if process is None and not running(layout):
            raise NotRunningError(f"no service runs in {layout.state_dir}", hint="start it with `shardwatch up`")
        if left <= 0:
            raise ServiceTimeoutError(
                f"the service is not ready after {timeout_s:g} s", hint=f"it goes on; see its logs in {layout.logs}"
            )
        reply = asker.ask({"op": "ready", "wait_ms": 200}, min(left, 1.0))
        if reply is not None and reply.get("ok"):
            ready = reply.get("ready")
            if isinstance(ready, dict):
                return ready
            if progress is not None and isinstance(reply.get("progress"), dict):
                progress(reply["progress"])
            refused_at = None
        elif reply is not None:
            refused_at = refused_at or time.monotonic()
            if reply.get("error") not in RETRYABLE or time.monotonic() - refused_at > REFUSED_S:
                raise ServiceError(str(reply.get("message") or reply.get("error")), hint=str(reply.get("remedy") or ""))
            time.sleep(LOOK_S)
        if time.monotonic() >= look_at_deaths:
            look_at_deaths = time.monotonic() + 1.0
            check_deaths(layout)


def check_deaths(layout: Layout) -> None:
    """For who waits until a service is ready. Raises ServiceError where one of its programs can't be kept alive."""
    for program in programs(layout):
        if keeps_ending(program):
            name = log_name(program)
            raise ServiceError(f"{name} keeps ending: {last_words(layout, name)}", hint=f"logs: {layout.logs}")


def programs(layout: Layout, timeout_s: float = 2.0) -> list[dict[str, Any]]:
    """What supervisord says of its programs (supervisor.plugin.rpc, `status`); empty where it does not answer."""
    import http.client
    import xmlrpc.client

    from shardwatch.supervisor.control import supervisord

    try:
        with supervisord(layout.supervisor_socket, timeout_s) as proxy:
            rows: Any = proxy.shards.status()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return []
    return list(rows)


def last_words(layout: Layout, name: str) -> str:
    """The last line of a log, for an error message; "" is told as such."""
    try:
        with layout.log(name).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES_MAX))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    except OSError:
        lines = []
    lines = [line for line in lines if line and not line.startswith("For help, use")]
    return lines[-1] if lines else f"it left no word in {layout.log(name)}"


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

    After `timeout_s` seconds they are killed. Raises ServiceTimeoutError if something can't be killed within KILL_S.
    Idempotent, and safe beside another who does the same or starts a new service afterwards.
    """
    there = running(layout)
    if there:
        with _holder(layout.service_lock) as pidfd:
            _send(pidfd, signal.SIGTERM)
            until = time.monotonic() + timeout_s
            _wait_until_free(_locks(layout), timeout_s)
            if pidfd is not None:  # the lock is free a moment before the process is gone
                select.select([pidfd], [], [], max(0.0, until - time.monotonic()))
    deadline = time.monotonic() + KILL_S
    while left := [path for path in _locks(layout) if held(path)]:
        if time.monotonic() >= deadline:
            names = ", ".join(path.stem for path in left)
            raise ServiceTimeoutError(f"still alive after SIGKILL: {names}", hint="a process may hang in the kernel")
        for path in sorted(left, key=lambda path: path != layout.service_lock):
            with _holder(path) as pidfd:
                _send(pidfd, signal.SIGKILL)
        _wait_until_free(left, 0.2)
    _remove_stale(layout)
    return there


def _locks(layout: Layout) -> list[Path]:
    """Lock files of every process of the service; none where the directory is gone already."""
    try:
        return list(layout.locks.glob("*.lock"))
    except OSError:
        return []


def _wait_until_free(paths: Sequence[Path], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(held(path) for path in paths) and time.monotonic() < deadline:
        select.select([], [], [], LOOK_S)


@contextlib.contextmanager
def _holder(path: Path) -> Iterator[int | None]:
    """A descriptor of the process that holds the lock, and of no other: the pid in the file is checked. None: nobody."""
    try:
        pid = int(path.read_bytes().split()[0])
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError, IndexError):
        yield None
        return
    try:
        yield pidfd if held(path) and _has_open(pid, path) else None
    finally:
        os.close(pidfd)


def _send(pidfd: int | None, number: signal.Signals) -> None:
    if pidfd is not None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(pidfd, number)


def _has_open(pid: int, path: Path) -> bool:
    try:
        wanted = path.stat()
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            found = descriptor.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _remove_stale(layout: Layout) -> None:
    """Removes sockets that nobody listens to any more, holding the lock so that no new service can own them."""
    try:
        fd = os.open(layout.service_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in [*layout.sockets(), layout.supervisord_pid]:
            path.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)


def remove(layout: Layout) -> None:
    """Removes a state directory whose service is gone: a temporary one, of `watch`."""
    shutil.rmtree(layout.state_dir, ignore_errors=True)
