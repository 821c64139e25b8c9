"""The system calls of inotify(7) and their constants, by ctypes. Shared by `inotify` and `bell`."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_UNMOUNT: Final = 0x2000
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x01000000
IN_MASK_ADD: Final = 0x20000000
IN_ISDIR: Final = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *argtypes: type) -> Callable[..., int]:
    function = getattr(_libc, name)
    function.argtypes = argtypes
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return]


_init1 = _call("inotify_init1", ctypes.c_int)
_add_watch = _call("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_rm_watch = _call("inotify_rm_watch", ctypes.c_int, ctypes.c_int)


def init() -> int:
    """A new instance, which never blocks. Raises OSError: EMFILE when `fs.inotify.max_user_instances` is reached."""
    fd = _init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    return fd


def add_watch(fd: int, path: bytes, mask: int) -> int:
    """The watch of what is at that path now; the same directory has the same number. Raises OSError.

    Always with IN_MASK_ADD: without it, adding a watch that exists sets its mask to 0 for a moment
    (inotify_update_existing_watch in Linux), and what happens in that moment on another processor is lost without an overflow
    (measured: one event of 1,000 beside a loop that adds).
    """
    wd = _add_watch(fd, path, mask | IN_MASK_ADD)
    if wd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return wd


def watch_open(instance: int, fd: int, mask: int) -> int:
    """`add_watch` of what is open at `fd`. Raises OSError."""
    # Through /proc, so that what is watched is what is open, not what its path leads to by now; it also passes PATH_MAX.
    return add_watch(instance, b"/proc/self/fd/%d" % fd, mask)


def rm_watch(fd: int, wd: int) -> None:
    """Idempotent: a directory that is gone has taken its watch with it."""
    _rm_watch(fd, wd)
