"""Reads small files of a tree whole, whatever lies there in their place."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

#: Neither is a FIFO waited for, nor a terminal taken.
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: There is no such file, or none that may be read: git goes on without it, too.
ABSENT: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENAMETOOLONG))


def content_of(path: bytes, fd: int | None, bytes_max: int, *, follow: bool = False) -> bytes | None:
    """What a regular file contains; of one that is larger, a beginning of more than `bytes_max`. None if there is no such file,
    or none that may be read. `fd`: of the directory to which the path is relative. Raises OSError."""
    try:
        file = os.open(path, _OPEN if follow else _OPEN | os.O_NOFOLLOW, dir_fd=fd)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return None
        content = b""
        while len(content) <= bytes_max and (more := os.read(file, bytes_max + 1)):
            content += more
        return content
    finally:
        os.close(file)
