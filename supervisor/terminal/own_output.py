"""Leaves out changes of the files to which this command itself writes: each line about them would cause another, without end.

They are known by identity, so it does not matter by which name or mount a file is watched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from typing import Final

from .streams import say

OUTPUT: Final = {1: "standard output"}
OUTPUT_AND_ERRORS: Final = {**OUTPUT, 2: "standard error"}


class OwnOutput:
    """The standard streams of this process that are regular files.

    Args:
        streams: descriptors, with what people call them.
    """

    def __init__(self, streams: Mapping[int, str] = OUTPUT) -> None:
        self._streams = streams
        self._files = [(fd, identity) for fd in streams if (identity := _regular(fd)) is not None]
        self._said: set[int] = set()

    def __bool__(self) -> bool:
        """Whether there is such a file."""
        return bool(self._files)

    def among(self, paths: Collection[bytes]) -> set[bytes]:
        """Those of the absolute paths at which such a file is now. Says once of each file that it is left out.

        Looks at the disk only where a path has the name that the file has now, or the file has several names.
        """
        found: set[bytes] = set()
        for fd, identity in self._files:
            name, names = _name(fd)
            for path in paths:
                if (names > 1 or os.path.basename(path) == name) and _identity(path) == identity:
                    found.add(path)
                    self._say(fd, path)
        return found

    def _say(self, fd: int, path: bytes) -> None:
        if fd not in self._said:
            self._said.add(fd)
            say(
                f"shardwatch: warning: {self._streams[fd]} goes to {os.fsdecode(path)}, which is watched: its changes are left "
                "out, as each would cause another (write to a place outside of the roots, or --exclude it)"
            )


def _regular(fd: int) -> tuple[int, int] | None:
    """The identity of a regular file that is open at `fd`, else None."""
    try:
        found = os.fstat(fd)
    except OSError:  # closed
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _name(fd: int) -> tuple[bytes, int]:
    """The last part of the path that the file has by now, and the number of its names. Without /proc every path is compared."""
    try:
        return os.path.basename(os.readlink(b"/proc/self/fd/%d" % fd)), os.fstat(fd).st_nlink
    except OSError:
        return b"", 2


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
