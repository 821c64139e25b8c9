"""Asks the filesystem of a file whether its inode numbers are meaningful, and when a file was born."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from ..contract.files.identity import INVENTS_INODES

#: Devices remembered; of more the kernel is asked anew.
_DEVICES_MAX: Final = 1_000
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


class Filesystems:
    """Remembers by device number; owned by one thread. `forget` when the table of mounts has changed: numbers are given again."""

    def __init__(self) -> None:
        self._invents: dict[int, bool] = {}

    def forget(self) -> None:
        self._invents.clear()

    def identity(self, fd: int) -> tuple[int, int]:
        """(device, inode) of the directory open at `fd`, for as long as it is mounted; inode 0 where the numbers are invented."""
        found = os.fstat(fd)
        return found.st_dev, 0 if self.invents(found.st_dev, b".", fd) else found.st_ino

    def invents(self, dev: int, name: bytes, fd: int) -> bool:
        """Whether inode numbers on the device `dev`, where the file `name` in the directory open at `fd` lies, are made up."""
        known = self._invents.get(dev)
        if known is None:
            if len(self._invents) >= _DEVICES_MAX:
                self._invents.clear()
            known = self._invents[dev] = filesystem_type(name, fd) in INVENTS_INODES
        return known


def filesystem_type(name: bytes, fd: int) -> int:
    """statfs(2)'s f_type for a name in the directory open at `fd`; 0 where it can't be said (then nothing is assumed)."""
    if _fstatfs is None or not hasattr(os, "O_PATH"):
        return 0
    try:
        at = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return 0
    try:
        buffer = (ctypes.c_long * _BUFFER_BYTES)()
        return 0 if _fstatfs(at, buffer) else int(buffer[0]) & _TYPE_MASK
    finally:
        os.close(at)


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
