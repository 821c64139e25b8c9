"""Opens a directory to look at it. One that cannot be opened or read produces no record, and is in doubt from then on.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Self

from ..disk.calls import ABSENT
from ..disk.disk import Disk
from ..disk.slow import SlowMounts
from .doubts import Doubts, Subject


class Opened:
    """A directory that was opened, or the reason why it could not be. Used as a context, in which it is read.

    At the end of the context its descriptor is closed. An OSError that leaves the context is caught here, and the subject of
    the directory, if it has one, is then in doubt.

    Attributes:
        fd: its descriptor; -1 if it could not be opened.
        error: why not.
    """

    __slots__ = ("_doubts", "_subject", "error", "fd")

    def __init__(self, doubts: Doubts, subject: Subject | None, fd: int, error: OSError | None = None) -> None:
        self._doubts = doubts
        self._subject = subject
        self.fd = fd
        self.error = error

    @property
    def absent(self) -> bool:
        """Whether there is certainly no directory at that path. No other error proves this."""
        return self.error is not None and self.error.errno in ABSENT

    def take(self) -> int:
        """Returns the descriptor. From now on the caller has to close it."""
        fd, self.fd = self.fd, -1
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if not isinstance(error, OSError):
            return False
        if self._subject is not None:
            self._doubts.add(self._subject, error)
        return True


class Opener:
    """Opens directories of one shard. Nothing is touched on a filesystem that does not answer (`SlowMounts.guard`).

    May block for as long as `SlowMounts` waits for an answer.
    """

    def __init__(self, disk: Disk, slow: SlowMounts, doubts: Doubts, *, follow: bool) -> None:
        self._disk = disk
        self._follow = follow
        self._slow = slow
        self._doubts = doubts

    def open(self, subject: Subject, path: bytes | None = None) -> Opened:
        """Opens the directory at `path`, by default that of the subject. If it can't be opened and is not absent, the subject is
        in doubt.
        """
        try:
            return Opened(self._doubts, subject, self._slow.open(subject.path if path is None else path))
        except OSError as error:
            return self.refused(subject, error)

    def child(self, path: bytes, name: bytes, fd: int) -> int:
        """Opens a directory by its name in its parent, which is open at `fd`, so that no path is trusted: a descriptor, which the
        caller closes. Raises OSError (see `refused`).
        """
        if not self._slow.none:
            self._slow.guard(path)
        return self._disk.enter(name, fd)

    def refused(self, subject: Subject, error: OSError) -> Opened:
        """What comes of a directory that can't be opened, or read: if it is not absent, the subject is in doubt."""
        if error.errno not in ABSENT:
            self._doubts.add(subject, error)
        return Opened(self._doubts, subject, -1, error)

    def attempt(self, subject: Subject) -> Opened:
        """The directory of the subject, unless it is a link that leads back. What follows from an error of the opening is for the
        caller to say."""
        try:
            self._slow.guard(subject.path)
            if self._follow and self._disk.loops(subject.path):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return Opened(self._doubts, subject, self._slow.open(subject.path))
        except OSError as error:
            return Opened(self._doubts, subject, -1, error)

    def quietly(self, path: bytes) -> Opened:
        """Opens the directory at a path for a check only: if it can't be opened or read, nothing is in doubt because of that."""
        try:
            return Opened(self._doubts, None, self._slow.open(path))
        except OSError as error:
            return Opened(self._doubts, None, -1, error)

    def quietly_below(self, path: bytes, below: bytes, fd: int) -> Opened:
        """Does the same for a path that is `below` the directory open at `fd`."""
        try:
            self._slow.guard(path)
            return Opened(self._doubts, None, self._disk.open_below(below, fd, follow=self._follow))
        except OSError as error:
            return Opened(self._doubts, None, -1, error)
