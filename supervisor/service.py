"""One service from outside: prepares its state directory, starts it, finds it, waits until it is ready, stops it.

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
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from shardwatch.shard.contract.errors import InUseError, NotRunningError, ServiceError, ServiceTimeoutError, UsageError
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.limits import IPC_PATH_BYTES_MAX
from shardwatch.shard.contract.planfile import Plan, read_plan
from shardwatch.shard.contract.settings import Settings, read_settings, write_private, write_settings

#: Seconds a service gets to end by itself: its programs are killed after 1 + 1 + 2 s (supervisord.conf).
STOP_S: Final = 5.0
#: Seconds, after that, in which supervisord and whatever it left are killed with -9.
KILL_S: Final = 2.0
#: Seconds that `find` waits for the answer of a service whose lock is held.
FIND_S: Final = 2.0
#: Seconds between two looks at something that can't be waited for.
LOOK_S: Final = 0.01
#: Deaths of one program within a minute after which `wait_ready` gives up.
DEATHS_MAX: Final = 5
#: supervisord makes its socket under a temporary name first: a dot and its process id are added.
TEMPORARY_SUFFIX_BYTES: Final = 8
#: Bytes of a log that an error message quotes at most.
TAIL_BYTES_MAX: Final = 4096

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Prepared:
    """A state directory that is ready for `start`."""

    layout: Layout
    #: What the user should hear before anything runs, a line each: changed roots, changed filters, missing roots.
    notes: tuple[str, ...]
    #: True if the directory served before: what changed since then is delivered first.
    resumed: bool


# Preparing ------------------------------------------------------------------------------------------------------------


def prepare(state_dir: Path, settings: Settings) -> Prepared:
    """Makes the state directory (mode 0700) and its files; idempotent.

    Raises:
        InUseError: a service runs there.
        UsageError: the directory, or a root at the first start, can't be used. Nothing new is left on disk then.
    """
    layout = Layout(os.path.abspath(state_dir))
    _check_place(layout)
    if running(layout):
        raise InUseError(
            f"a service is running in {layout.state_dir} already",
            hint="use it, stop it (`shardwatch down`), or give another --state-dir",
        )
    before = _settings_before(layout)
    plan = _plan_before(layout)
    notes = _check_roots(settings, plan) + (_changes(before, settings) if before is not None else [])
    resumed = before is not None and plan is not None
    with _undone_on_error(layout) as made:
        for directory in (layout.state_dir, layout.locks, layout.run, layout.logs):
            _make_directory(directory, made)
        _write_if_new(layout.supervisord_conf, Path(__file__).with_name("supervisord.conf").read_bytes(), made)
        if before != settings:
            made.append(layout.settings) if before is None else None
            write_settings(layout.settings, settings)
        _stamp_plan(layout, settings, plan)
    return Prepared(layout, tuple(notes), resumed)


def _check_place(layout: Layout) -> None:
    at = layout.state_dir
    name = os.fsencode(at)
    try:
        name.decode()
    except UnicodeDecodeError:
        raise UsageError(f"state directory {at!r} is not UTF-8, as supervisord wants it", hint=_ELSEWHERE) from None
    if any(byte < 0x20 or byte == 0x7F for byte in name):
        raise UsageError(f"state directory {str(at)!r} has a control character in its name", hint=_ELSEWHERE)
    longest = max(len(os.fsencode(path)) for path in layout.sockets())
    longest = max(longest, len(os.fsencode(layout.supervisor_socket)) + TEMPORARY_SUFFIX_BYTES)
    if longest > IPC_PATH_BYTES_MAX:
        room = len(name) - (longest - IPC_PATH_BYTES_MAX)
        raise UsageError(
            f"state directory {at} is too long for its sockets: {len(name)} bytes, {room} are possible", hint=_ELSEWHERE
        )
    try:
        found = at.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"state directory {at}: {error.strerror}", hint=_ELSEWHERE) from None
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"state directory {at} is not a directory", hint=_ELSEWHERE)
    if found.st_uid != os.geteuid():
        raise UsageError(f"state directory {at} belongs to user {found.st_uid}", hint=_ELSEWHERE)
    if not os.access(at, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(f"state directory {at} can't be written", hint=f"chmod u+rwx, or {_ELSEWHERE}")
    if not layout.settings.exists() and not layout.supervisord_conf.exists() and any(at.iterdir()):
        raise UsageError(f"{at} is not empty, and not a state directory of shardwatch", hint=_ELSEWHERE)
    for path in (layout.settings, layout.plan, layout.supervisord_conf):
        _check_private(path)


_ELSEWHERE: Final = "give another --state-dir"


def _check_private(path: Path) -> None:
    """What the service believes must not be writable by others."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise UsageError(f"{path} is not a file of yours", hint=f"remove it, or {_ELSEWHERE}")
    if found.st_mode & 0o022:
        raise UsageError(f"{path} can be written by others", hint=f"check it, then chmod 600 {path}")


def _settings_before(layout: Layout) -> Settings | None:
    try:
        return read_settings(layout.settings)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{layout.settings} can't be read: {error}", hint=f"remove it, or {_ELSEWHERE}") from None


def _plan_before(layout: Layout) -> Plan | None:
    try:
        return read_plan(layout.plan)
    except msgspec.MsgspecError:
        return None  # the coordinator makes a new one
    except OSError as error:
        raise UsageError(f"{layout.plan} can't be read: {error.strerror}", hint=_ELSEWHERE) from None


def _check_roots(settings: Settings, plan: Plan | None) -> list[str]:
    known = {anchor.root for anchor in plan.anchors} if plan is not None else set()
    notes = []
    for root in settings.roots:
        trouble = _trouble_with(root)
        if not trouble:
            continue
        if root not in known:
            raise UsageError(f"root {_show(root)} {trouble}", hint="give a directory that you can read")
        notes.append(f"root {_show(root)} {trouble}: waiting for it, its files count as in doubt or gone until then")
    return notes


def _trouble_with(root: bytes) -> str:
    try:
        found = os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"can't be reached: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory"
    return "" if os.access(root, os.R_OK | os.X_OK) else "can't be read: permission denied"


def _changes(before: Settings, now: Settings) -> list[str]:
    """What is other than last time and changes which files are known. Pure."""
    notes = [f"root {_show(root)} is new: it will be scanned" for root in now.roots if root not in before.roots]
    notes += [
        f"root {_show(root)} is not asked for any more: its files are forgotten, without events"
        for root in before.roots
        if root not in now.roots
    ]
    filters = [
        _changed_patterns("included", before.include, now.include),
        _changed_patterns("excluded", before.exclude, now.exclude),
        *(f"{name} {'on' if getattr(now, name) else 'off'}" for name in _SWITCHES if _differs(before, now, name)),
    ]
    said = ", ".join(filter(None, filters))
    if said:
        notes.append(f"filters changed: {said}; what came in is scanned, what went out is forgotten, without events")
    return notes


_SWITCHES: Final = ("recursive", "follow_symlinks", "directories")


def _differs(before: Settings, now: Settings, name: str) -> bool:
    return bool(getattr(before, name) != getattr(now, name))


def _changed_patterns(word: str, before: Sequence[str], now: Sequence[str]) -> str:
    more = [pattern for pattern in now if pattern not in before]
    less = [pattern for pattern in before if pattern not in now]
    parts = [f"{word} too: {_few(more)}"] if more else []
    parts += [f"no longer {word}: {_few(less)}"] if less else []
    if not parts and tuple(before) != tuple(now):
        parts = [f"{word} in another order"]
    return ", ".join(parts)


def _few(patterns: Sequence[str], most: int = 5) -> str:
    more = f" and {len(patterns) - most} more" if len(patterns) > most else ""
    return " ".join(json.dumps(pattern, ensure_ascii=False) for pattern in patterns[:most]) + more


def _show(path: bytes) -> str:
    text = path.decode(errors="replace")
    return text if text.isprintable() else ascii(text)


@contextlib.contextmanager
def _undone_on_error(layout: Layout) -> Iterator[list[Path]]:
    """Collects what is made, and removes it again when the block fails; an OSError becomes a UsageError."""
    made: list[Path] = []
    try:
        yield made
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise UsageError(
                f"state directory {layout.state_dir} can't be prepared: {error.strerror or error}", hint=_ELSEWHERE
            ) from None
        raise


def _make_directory(directory: Path, made: list[Path]) -> None:
    missing = [directory, *directory.parents]
    missing = missing[: next(i for i, path in enumerate(missing) if path.exists())]
    for path in reversed(missing):
        path.mkdir(mode=0o700)
        made.append(path)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)


def _write_if_new(path: Path, content: bytes, made: list[Path]) -> None:
    try:
        if path.read_bytes() == content:
            return
    except FileNotFoundError:
        made.append(path)
    write_private(path, content)


def _stamp_plan(layout: Layout, settings: Settings, plan: Plan | None) -> None:
    """Tells supervisord's plugin whether the plan on disk serves these settings: its shards then start at once."""
    stamp = layout.run / "plan.key"
    if plan is not None:
        from shardwatch.supervisor.coordinator import backend_of, still_fits
        from shardwatch.supervisor.limits import filesystem
        from shardwatch.supervisor.plan import plan_key

        key = plan_key(settings)
        if still_fits(plan, settings, key, backend_of(settings, lambda path: filesystem(path)[1])):
            write_private(stamp, key.encode("ascii"))
            return
    stamp.unlink(missing_ok=True)


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
            log_to = stack.enter_context(layout.log("start").open("wb"))
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
    return _held(layout.service_lock)


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
        context = zmq.Context.instance()
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
        elif reply is not None:
            raise ServiceError(str(reply.get("message") or reply.get("error")), hint=str(reply.get("remedy") or ""))
        if time.monotonic() >= look_at_deaths:
            look_at_deaths = time.monotonic() + 1.0
            _check_deaths(layout)


def _check_deaths(layout: Layout) -> None:
    for program in programs(layout):
        if program["deaths"] >= DEATHS_MAX:
            name = program["name"] if program["group"] == program["name"] else f"shard-{program['name']}"
            raise ServiceError(f"{name} keeps ending: {last_words(layout, name)}", hint=f"logs: {layout.logs}")


def programs(layout: Layout, timeout_s: float = 2.0) -> list[dict[str, Any]]:
    """What supervisord says of its programs (supervisor.plugin.rpc, `status`); empty where it does not answer."""
    import http.client
    import xmlrpc.client

    from shardwatch.supervisor.coordinator import supervisord

    try:
        rows: Any = supervisord(layout.supervisor_socket, timeout_s).shards.status()
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


# Stopping -------------------------------------------------------------------------------------------------------------


def stop(layout: Layout, timeout_s: float = STOP_S) -> bool:
    """Ends the service; returns when supervisord and all its programs are gone. True if there was one.

    After `timeout_s` seconds they are killed. Raises ServiceTimeoutError if something can't be killed within KILL_S.
    Idempotent, and safe beside another who does the same or starts a new service afterwards.
    """
    there = running(layout)
    if there:
        _signal(layout.service_lock, signal.SIGTERM)
        _wait_until_free(_locks(layout), timeout_s)
    deadline = time.monotonic() + KILL_S
    while held := [path for path in _locks(layout) if _held(path)]:
        if time.monotonic() >= deadline:
            names = ", ".join(path.stem for path in held)
            raise ServiceTimeoutError(f"still alive after SIGKILL: {names}", hint="a process may hang in the kernel")
        for path in sorted(held, key=lambda path: path != layout.service_lock):
            _signal(path, signal.SIGKILL)
        _wait_until_free(held, 0.2)
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
    while any(_held(path) for path in paths) and time.monotonic() < deadline:
        select.select([], [], [], LOOK_S)


def _held(path: Path) -> bool:
    """Whether someone holds an exclusive lock on the file. Probes do not disturb each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _signal(path: Path, number: signal.Signals) -> None:
    """Signals the process that holds the lock, and no other: the pid in the file is checked against the lock."""
    try:
        pid = int(path.read_bytes().split()[0])
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError, IndexError):
        return
    try:
        if _held(path) and _has_open(pid, path):
            signal.pidfd_send_signal(pidfd, number)
    except OSError:
        pass
    finally:
        os.close(pidfd)


def _has_open(pid: int, path: Path) -> bool:
    wanted = path.stat()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found = fd.stat()
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
