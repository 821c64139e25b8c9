"""The system calls of fanotify(7) for whole filesystems, by ctypes, and what keeps it from being used at a place.

A *group* reports the changes of every filesystem that has a mark of it. Each report names a directory by its *handle*
(name_to_handle_at(2)), which stays the same for as long as the directory exists, wherever it is moved.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

FAN_MODIFY: Final = 0x2
FAN_ATTRIB: Final = 0x4
FAN_CLOSE_WRITE: Final = 0x8
FAN_MOVED_FROM: Final = 0x40
FAN_MOVED_TO: Final = 0x80
FAN_CREATE: Final = 0x100
FAN_DELETE: Final = 0x200
FAN_DELETE_SELF: Final = 0x400
FAN_MOVE_SELF: Final = 0x800
FAN_Q_OVERFLOW: Final = 0x4000
FAN_ONDIR: Final = 0x40000000

#: The same changes that the backend `inotify` asks for. Never FAN_OPEN, FAN_ACCESS, FAN_CLOSE_NOWRITE: reading the tree would
#: then be events. Not FAN_RENAME, which needs Linux 5.17 and tells a look nothing more.
_MASK: Final = (
    FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_CREATE | FAN_DELETE
    | FAN_DELETE_SELF | FAN_MOVE_SELF | FAN_ONDIR
)  # fmt: skip
#: FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME. Never FAN_UNLIMITED_QUEUE: a process that is stopped
#: would let the kernel's memory grow without a bound; the limit of the queue makes it an overflow.
_GROUP: Final = 0x1 | 0x2 | 0xC00
_MARK_ADD: Final = 0x1
_MARK_REMOVE: Final = 0x2
_MARK_FILESYSTEM: Final = 0x100
#: FAN_MARK_EVICTABLE, Linux 5.19: the kernel may forget the mark together with the directory when it needs the memory.
_EVICTABLE: Final = 0x200
#: FAN_MARK_IGNORE_SURV, Linux 6.0: what the mask names is not reported for this directory, also after a change.
_IGNORE: Final = 0x400 | 0x40
#: What happens to files of the directory, but not to directories in it, nor to itself: no FAN_ONDIR.
_IGNORED: Final = (
    FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_CREATE | FAN_DELETE | 0x08000000
)  # fmt: skip
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
#: MAX_HANDLE_SZ in Linux.
HANDLE_BYTES_MAX: Final = 128
#: handle_bytes, handle_type; the handle follows.
_HANDLE: Final = struct.Struct("=Ii")
_CAP_SYS_ADMIN: Final = 21
#: fsid_t, two numbers.
_ID: Final = struct.Struct("=II")
#: How a line about the mark of a filesystem begins in /proc/self/fdinfo, before the number of its device.
_SDEV: Final = "fanotify sdev:"

#: `ignore` or `report_again`.
Change = Callable[[int, int], None]

_libc = ctypes.CDLL(None, use_errno=True)
_init = getattr(_libc, "fanotify_init", None)
_mark = getattr(_libc, "fanotify_mark", None)
_name_to_handle = getattr(_libc, "name_to_handle_at", None)
_open_by_handle = getattr(_libc, "open_by_handle_at", None)
if _init is not None and _mark is not None and _name_to_handle is not None:
    _init.argtypes = (ctypes.c_uint, ctypes.c_uint)
    _mark.argtypes = (ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)
    _name_to_handle.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
if _open_by_handle is not None:
    _open_by_handle.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def open_group() -> int:
    """The descriptor of a new group, which never blocks.

    Raises OSError: ENOSYS without fanotify, EINVAL where the kernel can't name directories (before Linux 5.9), EMFILE when
    `fs.fanotify.max_user_groups` is reached, EPERM without CAP_SYS_ADMIN, or where a container forbids the call.
    """
    if _init is None or _mark is None or _name_to_handle is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if not _may_mark():  # a group would be had, but no mark of a filesystem
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    return _checked(_init(_GROUP, os.O_RDONLY))


def _may_mark() -> bool:
    """Whether this process has CAP_SYS_ADMIN, in its user namespace. True where that can't be found out."""
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return True
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith(b"CapEff:")), b"f" * 16)
    return bool(int(effective, 16) >> _CAP_SYS_ADMIN & 1)


def mark(group: int, fd: int) -> None:
    """Has the group report the changes of the whole filesystem on which the directory open at `fd` lies. Idempotent.

    Raises OSError: EPERM without CAP_SYS_ADMIN, EOPNOTSUPP, ENODEV and EXDEV where the filesystem has no handles, has no id, or
    has several ids (a subvolume of btrfs), ENOSPC when `fs.fanotify.max_user_marks` is reached.
    """
    _change(group, _MARK_ADD, fd)


def unmark(group: int, fd: int) -> None:
    """Takes the mark of that filesystem back. Raises OSError."""
    _change(group, _MARK_REMOVE, fd)


def _change(group: int, how: int, fd: int) -> None:
    _call_mark(group, how | _MARK_FILESYSTEM, _MASK, fd)


def ignore(group: int, fd: int) -> None:
    """Has the group not report what happens to the files of the directory open at `fd`, in spite of the mark of its filesystem.
    Idempotent.

    Raises OSError: EINVAL where the kernel can't (before Linux 6.0), ENOSPC when `fs.fanotify.max_user_marks` is reached.
    """
    _call_mark(group, _MARK_ADD | _IGNORE | _EVICTABLE, _IGNORED, fd)


def report_again(group: int, fd: int) -> None:
    """Takes `ignore` back. Idempotent: the kernel may have forgotten it. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        _call_mark(group, _MARK_REMOVE | _IGNORE, _IGNORED, fd)


def _call_mark(group: int, how: int, mask: int, fd: int) -> None:
    assert _mark is not None
    # Through /proc: a descriptor that was opened with O_PATH is accepted too.
    _checked(_mark(group, how, mask, _AT_FDCWD, b"/proc/self/fd/%d" % fd))


def open_by_handle(near: int, handle: bytes) -> int:
    """A descriptor (O_PATH) of the directory with a handle, as `Handles.of` returns it.

    Args:
        near: an open directory of the same filesystem.

    Raises OSError: EPERM without the capability CAP_DAC_READ_SEARCH, ESTALE where that directory does not exist any more.
    """
    if _open_by_handle is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    buffer = ctypes.create_string_buffer(handle, len(handle))
    return _checked(_open_by_handle(near, buffer, os.O_PATH | os.O_CLOEXEC))


def marked(group: int) -> set[str]:
    """The devices of the filesystems that have a mark of the group, as the kernel writes their numbers. A filesystem that was
    unmounted everywhere has none any more. Raises OSError without /proc."""
    lines = Path(f"/proc/self/fdinfo/{group}").read_text("ascii").splitlines()
    return {line[len(_SDEV) :].split(" ", 1)[0] for line in lines if line.startswith(_SDEV)}


class Handles:
    """Asks for the handles of directories. Not thread-safe: the buffer is used again."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_HANDLE.size + HANDLE_BYTES_MAX)
        self._mount = ctypes.c_int()
        self._at = ctypes.byref(self._mount)

    def of(self, fd: int) -> bytes:
        """The handle of the directory open at `fd`, with its length and type before it, as fanotify reports it.

        Raises OSError: EOPNOTSUPP where the filesystem has no handles.
        """
        assert _name_to_handle is not None
        _HANDLE.pack_into(self._buffer, 0, HANDLE_BYTES_MAX, 0)
        _checked(_name_to_handle(fd, b"", self._buffer, self._at, _AT_EMPTY_PATH))
        return self._buffer.raw[: _HANDLE.size + _HANDLE.unpack_from(self._buffer)[0]]


def filesystem_id(fd: int) -> bytes:
    """The id of the filesystem on which the directory open at `fd` lies, 8 bytes, as fanotify reports it. Raises OSError."""
    found = os.fstatvfs(fd).f_fsid  # of two numbers, the second is above the first
    return _ID.pack(found & 0xFFFF_FFFF, found >> 32 & 0xFFFF_FFFF)


def obstacle(path: bytes) -> OSError | None:
    """What keeps the filesystem of a directory from being watched as a whole, by trying it; None if nothing does.

    Accesses the filesystem, so it may block on one that can hang. The error has no traceback: that would keep what all callers
    have, such as the claim of a state directory, until the garbage is collected.
    """
    try:
        group = open_group()
    except OSError as error:
        return error.with_traceback(None)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mark(group, fd)
            Handles().of(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return error.with_traceback(None)
    finally:
        os.close(group)
    return None


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
