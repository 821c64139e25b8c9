"""Finds the lock file of a root's repository, and decides whether the repository is trusted. Reads only, and writes
nothing.

`ROOT/.git` or `ROOT/.hg` counts if it is a directory, not a link, and belongs to the owner of the root, to root, or to
the user that the service runs as. If `.git` is a file (in a worktree or a submodule), both the file and the directory
that it names must belong to one of them. That directory may be anywhere, but it must contain a HEAD, as every git
directory does. docs/trust.md says what such a directory can cause: a watch, an lstat per turn, and batches that are
held back for a while.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import Final

from ..contract.kernel.mounts import can_hang, holder, read_mounts
from ..contract.state.directory import user
from ..contract.state.trust import read_at_most

#: A gitdir file holds one path.
_GITDIR_BYTES_MAX: Final = 8192
#: Neither a link is followed, nor is a FIFO waited for.
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_NAMED: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class NotBelievedError(Exception):
    """There is something that does not count. The message gives the reason."""


def open_repository(
    root: bytes, name: bytes, mounts: Callable[[], Iterable[tuple[bytes, str]]] = read_mounts
) -> tuple[bytes, int]:
    """(path, descriptor) of the directory in which the lock file of the repository `root/name` is made.

    Raises OSError if there is none; NotBelievedError. Blocks no longer than the root's own filesystem does.
    """
    path = os.path.join(root, name)
    owners = {os.lstat(root).st_uid, os.geteuid(), 0}
    try:
        fd = os.open(path, _OPEN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotBelievedError("it is a link, or a socket") from None
        raise
    try:
        found = os.fstat(fd)
        _check_owner(found, owners, "it")
        if stat.S_ISDIR(found.st_mode):
            return path, os.dup(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotBelievedError("it is neither a directory nor a file")
        named = _named(_content(fd))
    finally:
        os.close(fd)
    path = os.path.normpath(os.path.join(root, named))
    table = list(mounts())
    point, kind = holder(path, table)
    if can_hang(kind) and point != holder(root, table)[0]:
        raise NotBelievedError(f"it names a directory on a filesystem that can hang ({kind}), and the root is on another")
    return _open_named(path, owners)


def _content(fd: int) -> bytes:
    try:
        return read_at_most(fd, _GITDIR_BYTES_MAX)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise NotBelievedError("it is too long for a file that names a directory") from None
        raise


def _named(content: bytes) -> bytes:
    """The path in a gitdir file. Pure."""
    prefix, _, named = content.partition(b"gitdir: ")
    named = named.rstrip(b"\r\n")
    if prefix or not named or b"\0" in named or b"\n" in named:
        raise NotBelievedError("it names no directory")
    return named


def _open_named(path: bytes, owners: set[int]) -> tuple[bytes, int]:
    fd = os.open(path, _NAMED)
    try:
        _check_owner(os.fstat(fd), owners, "the directory that it names")
        try:
            head = os.stat("HEAD", dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            raise NotBelievedError("the directory that it names has no HEAD, so it is not a git directory") from None
        _check_owner(head, owners, "the HEAD that it leads to")
        return path, os.dup(fd)
    finally:
        os.close(fd)


def _check_owner(found: os.stat_result, owners: set[int], what: str) -> None:
    if found.st_uid not in owners:
        raise NotBelievedError(f"{what} belongs to {user(found.st_uid)}, and not to the owner of the root")
