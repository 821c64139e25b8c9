"""Watches the lock files by which version control shows that it is working in a root.

These are `ROOT/.git/index.lock` and `ROOT/.hg/wlock`. If `.git` is a file (in a worktree or a submodule), the directory
that it names is used. `repository` decides which of them count. Repositories below a root, or around it, have no
effect. A watch on the directory of the lock file only wakes the process. Whether the file exists is then determined
from the disk. Without a watch this is done in each turn of the main loop. The tree knows nothing of these directories.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Iterable
from typing import Final

from ..backend.bell import Bell
from ..contract.limits import BEAT_S, next_beat
from .repository import NotBelievedError, open_repository

log = logging.getLogger("shardwatch.shard")

#: Directories whose watch is renewed at each beat: all in turn, if there are more. It finds those that were made or replaced.
_RENEWED_MAX: Final = 256
#: Places without a watch that are looked at in every turn of the main loop.
_ASKED_MAX: Final = 64
#: Lock files that are reported. One would be enough to hold back batches, and the others are for people.
_REPORTED_MAX: Final = 100
_CHECK_NS: Final = int(BEAT_S * 1e9)
#: The directory of each kind of repository, and its lock file there.
_NAMES: Final = ((b".git", b"index.lock"), (b".hg", b"wlock"))


class _Place:
    """A lock file that may be there."""

    __slots__ = ("_distrust_logged", "directory", "file", "name", "root", "there", "wd")

    def __init__(self, root: bytes, directory: bytes, name: bytes) -> None:
        self.root = root
        #: As it is in the root: `.git` may be a file.
        self.directory = directory
        self.name = name
        self.file = os.path.join(root, directory, name)
        self.wd = -1
        self.there = False
        #: Why the file there does not count, as it was last logged.
        self._distrust_logged = ""

    def open(self) -> int:
        """A descriptor of the directory in which the lock file is now; -1 if there is none, or none that is trusted."""
        why = ""
        try:
            found, fd = open_repository(self.root, self.directory)
        except OSError:
            found, fd = os.path.join(self.root, self.directory), -1
        except NotBelievedError as error:
            found, fd, why = b"", -1, str(error)
        self.file = os.path.join(found, self.name) if found else b""
        if why and why != self._distrust_logged:
            log.warning("%s/%s does not count: %s", os.fsdecode(self.root), os.fsdecode(self.directory), why)
        self._distrust_logged = why
        return fd

    def look(self) -> None:
        """Finds out whether it is there by now."""
        there = os.path.lexists(self.file)  # a wlock is a link that leads nowhere
        if there and not self.there:  # it holds batches back: only if it is still what it was taken for
            fd = self.open()
            if fd >= 0:
                os.close(fd)
            there = fd >= 0 and os.path.lexists(self.file)
        self.there = there


class Locks:
    """The lock files of some roots. One thread calls it. `guard`: raises OSError for a root that must not be touched now."""

    def __init__(self, roots: Iterable[bytes], guard: Callable[[bytes], None] = lambda root: None) -> None:
        self._guard = guard
        self._places = [_Place(root, at, name) for root in roots for at, name in _NAMES]
        self._by_wd: dict[int, set[_Place]] = {}
        self._unwatched: list[_Place] = []
        #: Lock files that were there at the last look, some of them if there are many.
        self.there: list[bytes] = []
        self._turn = 0
        self._check_at = 0
        self._bell: Bell | None = None
        if self._places:
            try:
                self._bell = Bell()
            except OSError as error:
                log.warning("the kernel does not report lock files, so they are only looked at from time to time: %s", error)

    def keep_to(self, roots: Collection[bytes]) -> None:
        """Looks in these roots from the next `look` on, and in no other. Those in which it looks already go on as they are."""
        known = {(place.root, place.directory): place for place in self._places}
        wanted = [(root, at, name) for root in roots for at, name in _NAMES]
        for key in known.keys() - {(root, at) for root, at, _ in wanted}:
            self._leave(known[key])
        self._places = [known.get((root, at)) or _Place(root, at, name) for root, at, name in wanted]
        self._unwatched = []
        self._turn = self._check_at = 0

    def fileno(self) -> int:
        """Readable when `look` should be called; -1: there is no such thing."""
        return -1 if self._bell is None else self._bell.fd

    def look(self, now: int) -> None:
        """Finds out which lock files exist now (`there`); `now`: monotonic, ns.

        Call it in every turn, after the looks and before their frames are sent, because what was looked at while a lock file
        existed must not be sent before the report of that lock file.
        """
        asked = set(self._unwatched[:_ASKED_MAX])
        rang, lost = (set(), set()) if self._bell is None else self._bell.rang()
        for wd in lost:
            self._forget(wd)
        for wd in rang:
            asked |= self._by_wd.get(wd, set())
        if lost or -1 in rang or now >= self._check_at:
            self._check_at = next_beat(now, _CHECK_NS)
            self._renew()
            asked.update(self._places)
        for place in asked:
            if self._reachable(place):
                place.look()
        if asked:
            self.there = [place.file for place in self._places if place.there][:_REPORTED_MAX]

    def _reachable(self, place: _Place) -> bool:
        try:
            self._guard(place.root)
        except OSError:
            return False
        return True

    def _renew(self) -> None:
        places = self._places
        begin, self._turn = self._turn, (self._turn + _RENEWED_MAX) % max(1, len(places))
        for place in (places + places)[begin : begin + min(_RENEWED_MAX, len(places))]:
            fd, wd = place.open() if self._reachable(place) else -1, -1
            if fd >= 0:
                if self._bell is not None:
                    with contextlib.suppress(OSError):
                        wd = self._bell.hang(fd)
                os.close(fd)
            if wd != place.wd:
                self._leave(place)
                place.wd = wd
                if wd >= 0:
                    self._by_wd.setdefault(wd, set()).add(place)
        self._unwatched = [place for place in places if place.wd < 0]

    def _leave(self, place: _Place) -> None:
        """The place is watched no more under its old number, which is taken down if it served no other."""
        others = self._by_wd.get(place.wd)
        if others is not None:
            others.discard(place)
            if not others:
                del self._by_wd[place.wd]
                if self._bell is not None:
                    self._bell.take_down(place.wd)
        place.wd = -1

    def _forget(self, wd: int) -> None:
        for place in list(self._by_wd.get(wd, ())):
            self._leave(place)

    def close(self) -> None:
        if self._bell is not None:
            self._bell.close()
