"""Reads a tree into the kernel's cache from one end while a shard scans it from the other end.

This helps if the cache is cold. Filling it is otherwise the work of a single process (ext4 takes 17 us per inode),
while another processor is idle.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from queue import LifoQueue
from threading import Lock, Thread
from typing import Final

from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.ignore_setting import ignore_files_of
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

from ..host.scouting import Scouts

#: Directories in a row for which nothing was read from a disk: the rest is cached, by the scan that comes from the other end.
DRY: Final = 256
#: Each waits for the disk most of the time. 100,000 cold files were watched after 3.1 s without, 2.5 s with one, 2.15 s with
#: two, and 2.2 s with three.
THREADS: Final = 2


def blocks_read() -> int:
    """Blocks that this process has had read from disks (getrusage(2)): 0 for what is in a cache, or on tmpfs."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


class _Walk:
    """One reading ahead, by several threads; what they race for is only an estimate."""

    def __init__(self, settings: Settings, blocks: Callable[[], int]) -> None:
        self._filter = Filter(settings.include, settings.exclude)
        self._ignores = ignore_files_of(settings)
        self._ignoring = Lock()
        self._recursive = settings.recursive
        self._blocks = blocks
        self._before = blocks()
        self._scouts = Scouts()
        #: Read now, so that the threads only ask it.
        self._virtual = VirtualMounts(StillTable(self._scouts.mounts), settings.roots)
        self._seals = not self._virtual.none
        self._dry = 0
        self.directories = 0
        #: Directories to read, the next one last, as (path, the same relative to its root).
        self.waiting: LifoQueue[tuple[bytes, bytes]] = LifoQueue()
        for root in settings.roots:
            # Whoever waits for a filesystem that hangs can't be ended.
            if root not in settings.only and self._scouts.mount(root) is None:
                if self._ignores is not None:
                    self._ignores.descend(root)
                self.waiting.put((root, b""))

    def work(self) -> None:
        """Never ends: what runs it is a daemon thread."""
        while True:
            path, relative = self.waiting.get()
            try:
                if self._dry < DRY:
                    self._take(path, relative)
            finally:
                self.waiting.task_done()

    def _take(self, path: bytes, relative: bytes) -> None:
        try:
            directories, files = _listed(path)
            below = self._cached(path, relative, files, directories)
        except OSError:
            below = []  # gone, or not to be read: the scan says so
        self.directories += 1
        if self._recursive:
            prefix = relative + b"/" if relative else b""
            for name in reversed(self._virtual.others(path, below) if self._seals else below):
                if not self._filter.prunes(prefix + name) and self._scouts.mount(join(path, name)) is None:
                    self.waiting.put((join(path, name), prefix + name))
        read = self._blocks()
        self._dry = 0 if read > self._before else self._dry + 1
        self._before = read

    def _cached(self, path: bytes, relative: bytes, files: list[bytes], directories: list[bytes]) -> list[bytes]:
        """Has what a scan keeps of the files cached; returns the directories that it enters. Raises OSError."""
        if self._ignores is not None:
            with self._ignoring:
                self._ignores.meet(path, files, directories)
                files, directories = self._ignores.files(path, files), self._ignores.directories(path, directories)
        with contextlib.suppress(OSError):  # one is gone: the scan says so
            for name in self._filter.keeps_names(relative, files):
                os.lstat(join(path, name))
        return directories


def read_ahead(settings: Settings, *, threads: int = THREADS, blocks: Callable[[], int] = blocks_read) -> int:
    """Looks at every directory and file that a scan will look at, in about the opposite order, until they are cached; returns how
    many directories. What can't be read, and what links lead to, is left to the scan. Blocks; says nothing."""
    walk = _Walk(settings, blocks)
    for _ in range(threads):
        Thread(target=walk.work, daemon=True).start()
    walk.waiting.join()
    return walk.directories


def _listed(path: bytes) -> tuple[list[bytes], list[bytes]]:
    """The names in a directory: of directories, and of all else. Raises OSError."""
    directories: list[bytes] = []
    files: list[bytes] = []
    with os.scandir(path) as entries:
        for entry in entries:
            (directories if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    return directories, files
