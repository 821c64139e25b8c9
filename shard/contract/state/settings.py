"""The effective settings of one service: plain data that every process reads at its start.

The options that a person may set are defined in `options`. `supervisor.config` reads and checks them, with pydantic,
because a shard must not load pydantic. Settings that are stored here are already valid.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from ..errors import UsageError
from . import options
from .directory import read_private, write_private


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine runs with.

    Every field but `files`, `only`, `pattern_origins` and `git_excludes` is the option of the same name, and `options` says what
    it means. A field that a settings file lacks, because an earlier version wrote it, has the option's default.
    """

    #: Absolute, normalised paths; exact bytes travel as surrogateescape strings in memory, base64 in the file.
    roots: tuple[bytes, ...]
    #: Single files that are watched, whatever the patterns say; and those of `roots` that are there for their sake alone
    #: (`shard.contract.filter.scope`). Both empty in what the configuration gives: `planning.named` makes them of its roots.
    files: tuple[bytes, ...] = ()
    only: tuple[bytes, ...] = ()
    wait_for_roots: bool = options.WAIT_FOR_ROOTS.default
    include: tuple[str, ...]
    #: With the default patterns, unless they are disabled.
    exclude: tuple[str, ...]
    #: Where patterns come from, for people who ask: `include` or `exclude` -> pattern -> "file PATH", "env NAME", "command line"
    #: or "WatcherConfig". Patterns that are missing here are those of an earlier version, or default patterns.
    pattern_origins: dict[str, dict[str, str]] = {}
    ignore_files: bool = options.IGNORE_FILES.default
    #: With `ignore_files`: the path of git's global excludes file, which need not exist; b"" if there is none to read.
    git_excludes: bytes = b""
    recursive: bool = options.RECURSIVE.default
    follow_symlinks: bool = options.FOLLOW_SYMLINKS.default
    directories: bool = options.DIRECTORIES.default
    content_only: bool = options.CONTENT_ONLY.default
    forget_left_out: bool = options.FORGET_LEFT_OUT.default
    settle_ms: int = options.SETTLE_MS.default
    settle_ms_max: int = options.SETTLE_MS_MAX.default
    batch_size_max: int = options.BATCH_SIZE_MAX.default
    batch_wait_ms: int = options.BATCH_WAIT_MS.default
    lease_ms: int = options.LEASE_MS.default
    leases_max: int = options.LEASES_MAX.default
    hold_for_vcs: bool = options.HOLD_FOR_VCS.default
    hold_ms_max: int = options.HOLD_MS_MAX.default
    attempts_max: int = options.ATTEMPTS_MAX.default
    priorities: dict[str, int] = options.PRIORITIES.default
    queue_size_max: int = options.QUEUE_SIZE_MAX.default
    retention_days: float = options.RETENTION_DAYS.default
    replay_s: float = options.REPLAY_S.default
    shards: int = options.SHARDS.default
    rebalance_s: float = options.REBALANCE_S.default
    backend: str = options.BACKEND.default
    poll_ms: int = options.POLL_MS.default
    poll_ms_max: int = options.POLL_MS_MAX.default
    poll_cpu_percent: float = options.POLL_CPU_PERCENT.default
    verify_period_s: float = options.VERIFY_PERIOD_S.default
    verify_cpu_percent: float = options.VERIFY_CPU_PERCENT.default
    rescan_files_per_s: int = options.RESCAN_FILES_PER_S.default
    memory_mib_max: int = options.MEMORY_MIB_MAX.default
    niceness: int = options.NICENESS.default
    io_class: str = options.IO_CLASS.default
    io_level: int = options.IO_LEVEL.default
    durability: str = options.DURABILITY.default
    log_format: str = options.LOG_FORMAT.default
    log_level: str = options.LOG_LEVEL.default

    @property
    def local_backend(self) -> str:
        """How a directory is watched that lies on a filesystem of this machine: `inotify`, `fanotify`, `native` or `polling`."""
        if self.backend in ("polling", "native"):
            return self.backend
        if not sys.platform.startswith("linux"):
            return "native"
        return "fanotify" if self.backend == "fanotify" else "inotify"

    @property
    def local_shards(self) -> int:
        """How many shards are asked for; 0 leaves it to the size of the trees.

        With fanotify it is one: each shard is told of every change on the filesystems of all of them, so a second one would make
        every writer there slower, and would give no more room in the kernel's queues.
        """
        return self.shards or int(self.local_backend == "fanotify")

    def named(self) -> tuple[bytes, ...]:
        """What the user named to be watched."""
        return tuple(dict.fromkeys([*(root for root in self.roots if root not in self.only), *self.files]))


def read_settings(path: Path) -> Settings:
    """Reads what `write_settings` wrote.

    Raises OSError, msgspec.ValidationError for a damaged file, UsageError for one that others can write.
    """
    return msgspec.json.decode(read_private(path), type=Settings)


class SettingsFile:
    """The settings on disk, for a process that takes over what can be taken over while it runs. A stat is made each time, and the
    file is read only if it is another file than the last time. Owned by one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None

    def read(self) -> Settings:
        """What is there now. Raises what `read_settings` raises."""
        self._stamp = self._found()
        return read_settings(self._path)

    def changed(self) -> Settings | None:
        """What is there, if it was exchanged since it was last read; None otherwise, and if it cannot be read: a process goes on
        with what it has."""
        try:
            return None if self._found() == self._stamp else self.read()
        except (OSError, msgspec.MsgspecError, UsageError):
            return None

    def _found(self) -> tuple[int, int]:
        found = os.stat(self._path)  # asked at each beat, and pathlib costs as much as the question
        return found.st_ino, found.st_ctime_ns


def write_settings(path: Path, settings: Settings, *, durable: bool = True) -> None:
    """Replaces the file in one step, mode 0600. `durable`: as of `StateDirectory.write`."""
    write_private(path, msgspec.json.format(msgspec.json.encode(settings), indent=1), durable=durable)
