"""The directories whose files a group of fanotify(7) does not report, although their filesystem is marked."""

from __future__ import annotations

import errno
import logging
import os
from typing import Final

from ..contract.kernel import fanotify
from .fan_decoding import number_of, parts_of
from .noise import IGNORED_MAX

log = logging.getLogger("shardwatch.shard")

#: The kernel is too old, or the process lacks CAP_DAC_READ_SEARCH: there is no point in asking again.
_NEVER: Final = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Unreported:
    """Not thread-safe.

    It only saves time. Whatever goes wrong here, the directory is reported as before, and its events are passed over.

    Args:
        group: of the marks; nothing is left when it is closed.
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self._able = True
        #: Filesystem and handle, by the number of the directory; the longest ignored first.
        self._directories: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._directories)

    def add(self, directory: bytes, near: bytes) -> None:
        """Ignores what happens to the files of a directory, in place of the longest ignored one if there are too many.

        Args:
            directory: the id of its filesystem and its handle.
            near: path of a directory of that filesystem.
        """
        if not self._able:
            return
        try:
            self._change(directory, near, fanotify.ignore)
        except OSError as error:
            self._able = error.errno not in _NEVER
            log.debug("a busy directory is still reported: %s", error)
            return
        self._directories[number_of(*parts_of(directory))] = directory
        if len(self._directories) > IGNORED_MAX:
            self._drop(next(iter(self._directories)), near)

    def _drop(self, number: int, near: bytes) -> None:
        try:
            self._change(self._directories[number], near, fanotify.report_again)
        except OSError as error:
            # Gone, or on a filesystem that `near` is not on. If it is there, it has to be known for when it is watched.
            if error.errno != errno.ESTALE:
                return
        del self._directories[number]

    def _change(self, directory: bytes, near: bytes, change: fanotify.Change) -> None:
        """Raises OSError: ESTALE where the directory is gone."""
        filesystem, handle = parts_of(directory)
        beside = os.open(near, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if fanotify.filesystem_id(beside) != filesystem:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            fd = fanotify.open_by_handle(beside, handle)
        finally:
            os.close(beside)
        try:
            change(self._group, fd)
        finally:
            os.close(fd)

    def watch(self, number: int, fd: int) -> None:
        """The directory open at `fd` is to be reported from now on. Raises OSError if that can't be had."""
        if number in self._directories:
            fanotify.report_again(self._group, fd)
            del self._directories[number]
