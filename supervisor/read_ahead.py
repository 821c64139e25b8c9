"""Reads a tree into the kernel's cache from one end while a shard scans it from the other, where a cold cache has to be filled:
it is one process's work otherwise (ext4 takes 17 us an inode), and another processor has nothing to do."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Final

from shardwatch.shard.contract.filter import Filter
from shardwatch.shard.contract.paths import join
from shardwatch.shard.contract.settings import Settings

#: Directories in a row for which nothing was read from a disk: the rest is cached, by the scan that comes from the other end.
DRY: Final = 256


def blocks_read() -> int:
    """Blocks that this process has had read from disks (getrusage(2)): 0 for what is in a cache, or on tmpfs."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_inblock


def read_ahead(settings: Settings, *, blocks: Callable[[], int] = blocks_read) -> int:
    """Looks at every directory and file that a scan will look at, in the opposite order, until they are cached; returns how many
    directories. What can't be read is left to the scan. Blocks; says nothing."""
    filter = Filter(settings.include, settings.exclude)
    stack = [(root, b"") for root in settings.roots]
    before, dry, directories = blocks(), 0, 0
    while stack and dry < DRY:
        path, relative = stack.pop()
        below = _read(path, relative, filter)
        directories += 1
        if settings.recursive:
            prefix = relative + b"/" if relative else b""
            stack += [(join(path, name), prefix + name) for name in reversed(below) if not filter.prunes(prefix + name)]
        read = blocks()
        dry = 0 if read > before else dry + 1
        before = read
    return directories


def _read(path: bytes, relative: bytes, filter: Filter) -> list[bytes]:
    """Has one directory cached, and what a scan keeps of its files; returns its subdirectories."""
    directories: list[bytes] = []
    files: list[bytes] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                (directories if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        for name in filter.keeps_names(relative, files):
            os.lstat(join(path, name))
    except OSError:
        pass  # gone, or not to be read: the scan says so
    return directories
