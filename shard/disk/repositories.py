"""Finds the repositories of git in a tree, as git itself does."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from typing import Final

from ..contract.files.paths import join
from ..contract.filter.ignores import GIT
from .regular_file import ABSENT, content_of

#: What git requires of a HEAD that is no link.
_HEAD: Final = re.compile(rb"ref:[ \t\n\r]*refs/|[0-9a-fA-F]{40}")
#: A gitdir file, a commondir file and a HEAD hold one path each.
_POINTER_BYTES_MAX: Final = 8192


class Repositories:
    """Answers which directories are the top of a repository. Keeps nothing.

    Args:
        guard: called with each path to which a `.git` leads, before it is read. Raises OSError if it must not be touched now,
            because its filesystem does not answer.
    """

    def __init__(self, guard: Callable[[bytes], object]) -> None:
        self._guard = guard

    def git_directory(self, top: bytes, fd: int | None) -> bytes | None:
        """The directory that `.git` is, or leads to; None if that is no repository for git. Raises OSError."""
        path = join(top, GIT)
        try:
            mode = os.lstat(path).st_mode if fd is None else os.stat(GIT, dir_fd=fd, follow_symlinks=False).st_mode
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        if stat.S_ISDIR(mode):
            target = path
        elif stat.S_ISLNK(mode):
            target = _led_to(top, os.readlink(path))
            self._guard(target)
        else:
            content = _pointer(path) if stat.S_ISREG(mode) else None
            if content is None or not content.startswith(b"gitdir: "):
                return None
            target = _led_to(top, content.removeprefix(b"gitdir: ").rstrip(b"\r\n"))
            self._guard(target)
        return target if self._is_git_directory(target) else None

    def _is_git_directory(self, path: bytes) -> bool:
        """Whether git takes a directory for a repository (its `is_git_directory`): what `git init` has begun, or somebody has
        removed in part, is none. Raises OSError."""
        if not _is_head(join(path, b"HEAD")):
            return False
        common = self.common_directory(path)
        return all(os.access(join(common, name), os.X_OK) for name in (b"objects", b"refs"))

    @staticmethod
    def has_git(top: bytes, fd: int | None) -> bool:
        """Whether a directory has a `.git`, of whatever kind. Raises OSError."""
        try:
            os.stat(join(top, GIT) if fd is None else GIT, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return True

    def common_directory(self, git: bytes) -> bytes:
        """The directory that a worktree's git directory shares with the repository to which it belongs; itself if it is none.
        Raises OSError."""
        common = _pointer(join(git, b"commondir"), follow=True)
        if common is None:
            return git
        shared = _led_to(git, common.rstrip(b"\r\n"))
        self._guard(shared)
        return shared


def _led_to(directory: bytes, path: bytes) -> bytes:
    """Where a path that is written in a directory leads: an absolute one, or one that is relative to the directory."""
    return os.path.normpath(os.path.join(directory, path))


def _is_head(path: bytes) -> bool:
    """Whether a file can be the HEAD of a repository: a link or a line that names a ref, or the name of a commit. Raises
    OSError."""
    try:
        named = os.readlink(path)
    except OSError as error:
        if error.errno != errno.EINVAL and error.errno not in ABSENT:
            raise
        return _HEAD.match(_pointer(path) or b"") is not None
    return named.startswith(b"refs/")


def _pointer(path: bytes, *, follow: bool = False) -> bytes | None:
    """What a file contains that names a directory; None if there is none. Raises OSError."""
    content = content_of(path, None, _POINTER_BYTES_MAX, follow=follow)
    return content if content is not None and len(content) <= _POINTER_BYTES_MAX else None
