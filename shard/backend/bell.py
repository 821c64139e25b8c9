"""A separate inotify instance that only wakes the process when names appear or disappear in certain directories.

Its events are not hints: they never reach the tree, the index or a filter. Used by `shard.version_control.locks` only.
"""

from __future__ import annotations

import os
import struct
from typing import Final

from . import calls
from .calls import (
    IN_CREATE,
    IN_DELETE,
    IN_IGNORED,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
)

_MASK: Final = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR
_HEAD: Final = struct.Struct("iIII").unpack_from
_READ_BYTES: Final = 1 << 16


class Bell:
    """Not thread-safe. Raises OSError where no inotify instance is left."""

    def __init__(self) -> None:
        self.fd = calls.init()

    def hang(self, directory: int) -> int:
        """Watches an open directory; the number it rings with. The same directory has the same number.

        Raises OSError: ENOTDIR, ENOSPC where no watch is left, ENOENT without /proc.
        """
        return calls.watch_open(self.fd, directory, _MASK)

    def take_down(self, wd: int) -> None:
        """Idempotent: a directory that is gone has taken its watch with it."""
        calls.rm_watch(self.fd, wd)

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
