"""Decides which files are trusted: those that belong to the caller or to root, and that nobody else can write or replace.

This is the only place that opens a file which somebody else may have put there. It follows no link unless asked to,
never blocks (on a FIFO without a writer, or a device), and accepts only a regular file of limited size. It checks the
descriptor that is then read, and not a name. docs/trust.md lists the files that are opened in this way, and what each
can cause. Anyone may import this.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from ..errors import UsageError
from .directory import user

#: O_NONBLOCK: opening a FIFO waits for nobody. O_NOCTTY: a terminal in its place does not become ours.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
#: To ask who owns a directory it need not be readable.
_STEP: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def open_regular(path: Path | bytes | str, *, dir_fd: int | None = None, follow: bool = False) -> int:
    """A descriptor of the regular file at `path`, open for reading. Never blocks, whatever lies there.

    Args:
        dir_fd: what a relative path is relative to; default: the working directory.
        follow: whether a link as the last name is followed. Links before it always are: open the directory first where that
            must not be.

    Raises OSError: as open(2), ELOOP for a link, EINVAL for what is no regular file.
    """
    fd = os.open(path, _READ | (0 if follow else os.O_NOFOLLOW), dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return fd


def read_at_most(fd: int, bytes_max: int) -> bytes:
    """The content of an open file, and no more than `bytes_max` bytes held. Raises OSError; EFBIG where it is longer."""
    parts = []
    left = bytes_max + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    if not left:
        raise OSError(errno.EFBIG, f"longer than {bytes_max} bytes")
    return b"".join(parts)


def stranger(found: os.stat_result, uid: int | None = None) -> str:
    """Why its owner is not believed; "" where that is root, or `uid` (default: who this process acts as)."""
    uid = os.geteuid() if uid is None else uid
    return "" if found.st_uid in (uid, 0) else f"belongs to {user(found.st_uid)}"


def replaceable(directory: os.stat_result, private_group: bool) -> bool:
    """Whether others than its owner can put another file in the place of one in this directory. Pure.

    Not where the directory is sticky, as /tmp is: there everyone can make names, but only their owner can take them away.
    """
    others = directory.st_mode & (stat.S_IWOTH if private_group else _OTHERS)
    return bool(others) and not directory.st_mode & stat.S_ISVTX


def open_believed(path: Path) -> int:
    """A descriptor of a file that counts although nobody named it: it was found.

    It counts if it is a regular file of the caller or of root, if all directories that lead to it belong to them too, and if
    nobody else can put another in its place. The way is walked by descriptors from the root directory on, so what was checked
    is what is opened, whoever renames what meanwhile.

    Args:
        path: absolute. A link on the way, or at its end, does not count.

    Raises UsageError with the reason; OSError where there is nothing of that name, or it can't be seen.
    """
    directory = _open_way(path.parent)
    try:
        shared = os.fstat(directory).st_mode & _OTHERS
        fd = open_regular(path.name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(f"{path} is a link") from None
        if error.errno in (errno.EINVAL, errno.ENXIO):  # ENXIO: a socket
            raise UsageError(f"{path} is not a regular file") from None
        raise
    finally:
        os.close(directory)
    found = os.fstat(fd)
    reason = stranger(found)
    # In a shared directory somebody else may have linked a file of ours that was meant for another place.
    if not reason and shared and found.st_nlink > 1:
        reason = f"has {found.st_nlink} names, and others can make names in its directory"
    if reason:
        os.close(fd)
        raise UsageError(f"{path} {reason}")
    return fd


def is_safe(directory: Path | str) -> bool:
    """Whether nobody else could put something of his own in the place of what we make in a directory.

    /tmp is safe: it is root's, and sticky. Links on the way to it are followed. Where it can't be told it counts as safe: what is
    wrong with such a place shows when something is made there.
    """
    try:
        os.close(_open_way(Path(os.path.realpath(directory))))
    except UsageError:
        return False
    except OSError:
        pass
    return True


def _open_way(directory: Path) -> int:
    """A descriptor of an absolute directory, after a check of each on the way to it. Raises UsageError, OSError."""
    fd: int | None = None
    at = Path("/")
    for name in directory.parts:
        above = fd
        at = at / name
        try:
            fd = os.open(name, _STEP, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise UsageError(f"{at} is a link") from None
            raise
        finally:
            if above is not None:
                os.close(above)
        if reason := _why_not_ours(fd):
            os.close(fd)
            raise UsageError(f"its directory {at} {reason}")
    assert fd is not None, "an absolute path begins with /"
    return fd


def _why_not_ours(directory: int) -> str:
    """Why what lies in an open directory may be another's; "" where it may not."""
    found = os.fstat(directory)
    if reason := stranger(found):
        return reason
    if not replaceable(found, private_group=False) or not replaceable(found, _is_private_group(directory, found)):
        return ""
    return f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})"


def _is_private_group(fd: int, found: os.stat_result) -> bool:
    """Whether the group of a directory is its owner alone: the one that useradd makes with a user, and umask 002 goes with.

    An access control list shows in the mode as the group's bits, so there must be none.
    """
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
        group = grp.getgrgid(found.st_gid)
        os.getxattr(f"/proc/self/fd/{fd}", "system.posix_acl_access")
    except OSError as error:
        return error.errno in (errno.ENODATA, errno.ENOTSUP) and group.gr_name == owner and set(group.gr_mem) <= {owner}
    except KeyError:
        return False
    return False
