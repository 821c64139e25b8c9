"""Filesystems whose contents the kernel makes up while somebody reads them: /proc, /sys and the like.

Nobody keeps files there. There may be no end of them, as each process has some, and hardly a change of them raises an event.
So what a followed link leads to there is an empty directory, and so is where one is mounted below a root (`virtual_mounts`). A
root may lie there, save on /proc and /sys (`supervisor/host/scouting.py`), because it was asked for.
"""

from __future__ import annotations

import os

from ..contract.kernel.mounts import MADE_UP
from .statx import filesystem_type


def virtual_type(fd: int) -> str:
    """The name of the type of such a filesystem, on which the directory open at `fd` lies; "" where it lies on another one."""
    return MADE_UP.get(filesystem_type(b".", fd), "")


def virtual_type_at(path: bytes) -> str | None:
    """The same of what is at an absolute path, which is no link; None if that can't be found out now."""
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return virtual_type(fd)
    finally:
        os.close(fd)


def behind_link(path: bytes, fd: int) -> bool:
    """Whether the absolute path by which the directory at `fd` was opened passes a link. Raises OSError."""
    return os.readlink(b"/proc/self/fd/%d" % fd) != path
