"""One run of tests, of `make chaos` or of `make perf`: its folders, the environment of its programs, and its guard.

`begin` comes first in the process that runs everything. Whatever a test makes lies in the folders, unless it says `tmp_path`,
which lies there too; HOME is one of them. No variable of the caller's leads a program elsewhere: GIT_DIR of a git hook, for
one, would have `git stash` take away the caller's own work.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import guard

_FOLDER = "SW_TESTS_FOLDER"
_MEMORY = "SW_TESTS_MEMORY"
#: The caller's own HOME, for the few things that are looked up there (npm's configuration).
CALLERS_HOME = "SW_TESTS_HOME"
#: Set by the Makefile: the run ends with the process that started it.
WITH_PARENT = "SW_TESTS_WITH_PARENT"
#: "1": the folders stay, for whoever looks into a failure.
KEEP = "SW_TESTS_KEEP"
#: Where /tmp may lie in memory, this does not.
_DISK = "/var/tmp"
_FOREIGN = ("GIT_", "XDG_", "SHARDWATCH_")
#: Whether native code is used is said by whoever starts the run.
_KEPT = "SHARDWATCH_NATIVE"
_FOREIGN_NAMES = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR")
_PR_SET_PDEATHSIG = 1
#: Longest time that tidying may take, seconds.
_TIDY_S = 120.0


class Session:
    """The run that this process began."""

    def __init__(self, watcher: subprocess.Popen[bytes]) -> None:
        self._watcher = watcher

    def end(self) -> list[str]:
        """Everything goes. What tests left behind (processes, mounts, sysctls), a line each; idempotent."""
        if self._watcher.poll() is not None:
            return []
        said, _ = self._watcher.communicate(b"end", timeout=_TIDY_S)
        return list(json.loads(said or b"[]"))


def begin() -> Session:
    """Makes the folders, changes this process's environment, and starts the guard; after what dead runs left is gone.

    Raises RuntimeError where another user holds the place of the records.
    """
    if os.environ.pop(WITH_PARENT, "") == "1":
        _end_with_the_parent()
    guard.tidy_the_dead()
    mark = uuid.uuid4().hex
    folder, memory = Path(f"/tmp/swt-{mark[:8]}"), Path(f"/dev/shm/swt-{mark[:8]}")
    if not os.access(memory.parent, os.W_OK | os.X_OK):
        memory = folder
    fresh = guard.home() / f"{mark}.new"
    with fresh.open("x") as record:
        fcntl.flock(record, fcntl.LOCK_EX)  # held by us and by the guard: the run is not dead
        for path in (folder, memory, Path(_DISK, folder.name)):
            guard.note(fresh, "kept" if os.environ.get(KEEP) == "1" else "folder", path)
        name = fresh.rename(fresh.with_suffix(".run"))
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, name, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True, env={"PATH": os.environ.get("PATH", os.defpath)}, cwd="/",
            pass_fds=[record.fileno()],
        )  # fmt: skip
    for path in {folder, memory}:
        os.mkdir(path, 0o700)  # never one that is there already
        os.chmod(path, 0o711)  # tests that play another user go through it
    _enter(mark, folder, memory)
    return Session(watcher)


def _end_with_the_parent() -> None:
    """`kill -9` of make ends the run too."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _enter(mark: str, folder: Path, memory: Path) -> None:
    """Changes this process's environment, which all others inherit."""
    for name in list(os.environ):
        if name != _KEPT and (name.startswith(_FOREIGN) or name in _FOREIGN_NAMES):
            del os.environ[name]
    for name in _FOREIGN_NAMES:
        os.unsetenv(name)  # of libreadline's making: os.environ does not know of it, but workers would inherit it
    own = folder / "home"
    own.mkdir(mode=0o700)
    os.environ.update(
        {
            guard.MARK: mark, _FOLDER: str(folder), _MEMORY: str(memory), CALLERS_HOME: os.environ.get("HOME", ""),
            "HOME": str(own), "TMPDIR": str(folder), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        }
    )  # fmt: skip
    tempfile.tempdir = None  # asked for anew
    os.umask(0o022)


def mark() -> str:
    """Of the run that this process belongs to. Raises KeyError outside of one."""
    return os.environ[guard.MARK]


def folder() -> Path:
    """The run's folder on the disk, with a short name: a socket's path may have 107 bytes."""
    return Path(os.environ.get(_FOLDER) or tempfile.gettempdir())


def memory() -> Path:
    """The run's folder in memory, where files are made fast; that on the disk where there is none."""
    return Path(os.environ.get(_MEMORY) or folder())


def disk() -> Path:
    """The run's folder in /var/tmp, which lies on a disk where /tmp may lie in memory."""
    path = Path(_DISK, folder().name)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    return path


def place(prefix: str = "sw-", *, where: Path | None = None) -> Path:
    """A new directory with a short name, this user's alone, in the run's folder on the disk or in `where`."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=where or folder()))


def outside(prefix: str, where: Path) -> Path:
    """A new directory that is not in the run's folders, and goes with the run unless `keep` is called for it."""
    path = where.resolve() / f"{prefix}{uuid.uuid4().hex[:8]}"
    guard.note(_record(), "folder", path)
    path.mkdir(mode=0o700)
    return path


def keep(path: Path) -> None:
    """It stays when the run ends: somebody is to look into it."""
    guard.note(_record(), "kept", path)


def _record() -> Path:
    return guard.home() / f"{mark()}.run"


def roomy(bytes_min: int) -> Path:
    """Where the run's folder in memory lies if so much is free there, else where that on the disk lies."""
    return (memory() if shutil.disk_usage(memory()).free > bytes_min else folder()).parent


def deliver(pid: int, number: int) -> None:
    """Signals a process of this run, and nobody who got its pid since: it must carry the run's mark, or descend from us.

    One that is dying, or was not waited for yet, gets nothing. Raises ProcessLookupError where there is none such.
    """
    if pid <= 0:
        raise ProcessLookupError(f"no process, but a group: {pid}")
    pidfd = os.pidfd_open(pid)
    try:
        if guard.carries(pid, mark()) or _descends(pid):
            signal.pidfd_send_signal(pidfd, number)
        elif not _dying(pid):
            raise ProcessLookupError(f"process {guard.words(pid)} is none of this run's")
    finally:
        os.close(pidfd)


def _dying(pid: int) -> bool:
    """Without memory there is neither an environment nor a command line."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _descends(pid: int) -> bool:
    with contextlib.suppress(OSError):
        while pid > 1:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if pid == os.getpid():
                return True
    return False
