"""Identifies the file of a descriptor, so that a copied or restored file can be distinguished from the original."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
#: struct statx (statx(2)): 256 bytes; the mask is at 0, the birth's seconds at 80 and its nanoseconds at 88.
_STATX_BYTES: Final = 256
_BTIME_AT: Final = 80

_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def birth_ns(fd: int) -> int:
    """When the file open at `fd` was made, ns of its filesystem's clock; 0 where that is not known."""
    if _statx is None:
        return 0
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if _statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, found) != 0:
        return 0
    if not int.from_bytes(found.raw[:4], sys.byteorder) & _STATX_BTIME:
        return 0
    seconds = int.from_bytes(found.raw[_BTIME_AT : _BTIME_AT + 8], sys.byteorder, signed=True)
    return seconds * 10**9 + int.from_bytes(found.raw[_BTIME_AT + 8 : _BTIME_AT + 12], sys.byteorder)


def origin(fd: int) -> tuple[int, int]:
    """(inode, birth in ns) of the file open at `fd`: no other file of its filesystem has or had the same, and it stays the same
    when the filesystem is mounted again, or the file or a directory above it is renamed. The device's number does not."""
    return os.fstat(fd).st_ino, birth_ns(fd)
