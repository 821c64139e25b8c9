"""The few system calls by which a shard looks. Paths are walked step by step, and no link on the way is followed."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from typing import Final

from ..contract.files.paths import join

_SYS_OPENAT2: Final = 437  # the same number on every architecture (openat2(2), Linux 5.6)
_AT_FDCWD: Final = -100
#: clock_gettime(2) on Linux; Python's `time` has no name for it.
_CLOCK_REALTIME_COARSE: Final = 5
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: To walk through a directory it need not be readable.
_STEP: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

#: open(2) of a directory by its name in the one above, which is no link.
ENTER: Final = _OPEN | os.O_NOFOLLOW

#: Bytes of a path that one system call takes (PATH_MAX, the closing NUL included).
PIECE_BYTES_MAX: Final = 4096

#: Errors that mean "there is no directory here". After any other error nothing is known, and the subtree is in doubt.
ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = getattr(_libc, "syscall", None)
#: Of inotify(7), for `watch_of`: every watch of a directory has this event, so that asking changes none.
_IN_DELETE_SELF: Final = 0x400
_IN_ONLYDIR: Final = 0x01000000
_IN_MASK_ADD: Final = 0x20000000


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _OpenHow(_OPEN | os.O_NOFOLLOW, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
_HOW_THROUGH = _OpenHow(_STEP | os.O_NOFOLLOW, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
_have_openat2 = _syscall is not None and hasattr(os, "O_PATH")


def open_directory(path: bytes, *, follow: bool = False, at: int = _AT_FDCWD) -> int:
    """A descriptor of the directory at a path of any length, no link in it followed unless `follow`.

    Args:
        path: absolute, or relative to the directory open at `at`.

    Raises OSError; see `ABSENT`.
    """
    global _have_openat2
    dir_fd = None if at == _AT_FDCWD else at
    if follow:
        try:
            return os.open(path, _OPEN, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):  # a path may pass 40 links, a step of it too
                raise
    elif _have_openat2:
        fd = int(_syscall(_SYS_OPENAT2, at, path, ctypes.byref(_HOW), ctypes.sizeof(_HOW)))  # type: ignore[misc]
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code in (errno.ENOSYS, errno.EPERM, errno.E2BIG, errno.EINVAL):
            fd = _open_in_steps(path, dir_fd, follow=False)
            _have_openat2 = False  # an old kernel, or a container's filter: a filesystem would have said the same to these steps
            return fd
        if code != errno.ENAMETOOLONG:
            raise OSError(code, os.strerror(code), path)
        if len(path) >= PIECE_BYTES_MAX:
            return _open_in_pieces(path, at)
    return _open_in_steps(path, dir_fd, follow=follow)


def _open_in_steps(path: bytes, dir_fd: int | None, *, follow: bool) -> int:
    flags = _STEP | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(b"/" if path.startswith(b"/") else b".", flags, dir_fd=dir_fd)
    for name in path.split(b"/"):
        if name:
            try:
                step = os.open(name, flags, dir_fd=fd)
            finally:
                os.close(fd)
            fd = step
    try:
        return os.open(b".", _OPEN, dir_fd=fd)
    finally:
        os.close(fd)


def opens_at_once() -> bool:
    """Whether one system call opens a directory without following a link on the way (openat2(2)), as far as is known."""
    return _have_openat2


def watch_of(instance: int, fd: int) -> int:
    """The number of the watch of the directory open at `fd` in an inotify instance. A directory that had none has one now: of
    its own end only. Raises OSError.

    What is watched is what is open, not what its path leads to by now, so it is asked through /proc.
    """
    return watch(instance, fd, _IN_DELETE_SELF | _IN_ONLYDIR)


def watch(instance: int, fd: int, mask: int) -> int:
    """Watches the directory open at `fd` in an inotify instance, with a mask that is added to the one it has. Returns the number
    of its watch. Raises OSError."""
    number = int(_libc.inotify_add_watch(instance, b"/proc/self/fd/%d" % fd, mask | _IN_MASK_ADD))
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


def identity(fd: int) -> tuple[int, int]:
    """(dev, ino) of what is open there."""
    st = os.fstat(fd)
    return st.st_dev, st.st_ino


def leads_to(path: bytes, fd: int, *, follow: bool = False) -> bool:
    """Whether a path still leads to the directory open at `fd`. True if this cannot be determined."""
    try:
        there = open_directory(path, follow=follow)
    except OSError as error:
        return error.errno not in ABSENT
    try:
        return os.path.sameopenfile(there, fd)
    finally:
        os.close(there)


def _open_in_pieces(path: bytes, at: int) -> int:
    """Walks a path that is too long for one system call, in as few steps as possible."""
    cut = path.rindex(b"/", 1, PIECE_BYTES_MAX) if b"/" in path[1:PIECE_BYTES_MAX] else -1
    if cut < 0:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    fd = int(_syscall(_SYS_OPENAT2, at, path[:cut], ctypes.byref(_HOW_THROUGH), ctypes.sizeof(_HOW_THROUGH)))  # type: ignore[misc]
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    try:
        return open_directory(path[cut:].lstrip(b"/"), at=fd)
    finally:
        os.close(fd)


def is_bare(path: bytes, *, follow: bool = False) -> bool:
    """Whether there is nothing at a path, or only an empty directory, such as a mount point without its filesystem."""
    try:
        fd = open_directory(path, follow=follow)
    except OSError as error:
        return error.errno in ABSENT
    try:
        with os.scandir(fd) as items:
            return next(items, None) is None
    except OSError:
        return False  # in doubt for another reason
    finally:
        os.close(fd)


def coarse_ns() -> int:
    """The clock from which filesystems take coarse times (the kernel's tick)."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) if sys.platform == "linux" else time.time_ns()


def loops(path: bytes) -> bool:
    """Whether `path` is a link to a directory that the path has already passed, or in which the link lies. Following it would
    lead back to the link.
    """
    if not os.path.islink(path):
        return False
    passed, real = [], b"/"
    for name in path.split(b"/"):
        at = join(real, name)
        try:
            os.readlink(at)
        except OSError:
            real = at if name else real
            continue
        passed.append(real)
        real = os.path.realpath(at)
    inside = real if real == b"/" else real + b"/"
    return any(directory == real or directory.startswith(inside) for directory in passed)
