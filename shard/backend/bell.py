"""An inotify instance of its own that only wakes: directories in which names come and go, and nothing more than that.

What rings is no hint: it never reaches the tree, the index or a filter. Used by `shard.locks` only.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from shardwatch.shard.backend.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_IGNORED,
    IN_MASK_ADD,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    _inotify_add_watch,
    _inotify_init1,
    _inotify_rm_watch,
)

_MASK: Final = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD
_HEAD: Final = struct.Struct("iIII").unpack_from
_READ_BYTES: Final = 1 << 16


class Bell:
    """Not thread-safe. Raises OSError where no inotify instance is left."""

    def __init__(self) -> None:
        self.fd = _inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")

    def hang(self, directory: bytes) -> int:
        """Watches the directory that is at this path now; the number it rings with. The same directory has the same number.

        Raises OSError: ENOENT, ENOTDIR, ENOSPC where no watch is left.
        """
        wd = _inotify_add_watch(self.fd, directory, _MASK)
        if wd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return wd

    def take_down(self, wd: int) -> None:
        """Idempotent: a directory that is gone has taken its watch with it."""
        _inotify_rm_watch(self.fd, wd)

    def rang(self) -> tuple[set[int], set[int]]:
        """(what rang since the last call, -1 for all of it; those that are of no use any more). Does not block."""
        found: set[int] = set()
        lost: set[int] = set()
        while True:
            try:
                chunk = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return found, lost
            at = 0
            while at < len(chunk):
                wd, mask, _, length = _HEAD(chunk, at)
                at += 16 + length
                found.add(-1 if mask & IN_Q_OVERFLOW else wd)
                if mask & (IN_IGNORED | IN_MOVE_SELF):
                    lost.add(wd)

    def close(self) -> None:
        os.close(self.fd)
