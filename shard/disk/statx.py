"""statfs(2) and statx(2), which Python does not offer: the type of a filesystem, and when a file was made."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

#: struct statfs begins with f_type, struct statx is 256 bytes (statfs(2), statx(2)); no field that is read lies elsewhere on
#: any 64-bit Linux.
_BUFFER_BYTES: Final = 256
_TYPE_MASK: Final = 0xFFFFFFFF
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_STATX_BTIME: Final = 0x800
_MASK: Final = struct.Struct("I").unpack_from
_INO: Final = struct.Struct("Q").unpack_from
_TIME: Final = struct.Struct("qI").unpack_from

_libc = ctypes.CDLL(None, use_errno=True)
_fstatfs = getattr(_libc, "fstatfs", None)
_statx = getattr(_libc, "statx", None)


def filesystem_type(name: bytes, fd: int) -> int:
    """statfs(2)'s f_type for a name in the directory open at `fd`, or for that itself (b"."); 0 where it can't be said (then
    nothing is assumed), and -1 where the name can't be opened now: it is gone, or no descriptor is left.
    """
    if name == b".":
        return _type_of(fd)
    try:
        at = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return -1
    try:
        return _type_of(at)
    finally:
        os.close(at)


def _type_of(fd: int) -> int:
    buffer = (ctypes.c_long * _BUFFER_BYTES)()
    return 0 if _fstatfs is None or _fstatfs(fd, buffer) else int(buffer[0]) & _TYPE_MASK


def birth_ns(name: bytes, ino: int, fd: int) -> int:
    """When the file with this inode number, that name in the directory open at `fd`, was made, ns since 1970; 0 where the
    filesystem does not know, or it is another file by now."""
    if _statx is None:
        return 0
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    if _statx(fd, name, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer):
        return 0
    found = buffer.raw
    if not _MASK(found, 0)[0] & _STATX_BTIME or _INO(found, 32)[0] != ino:
        return 0
    seconds, nanoseconds = _TIME(found, 80)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
