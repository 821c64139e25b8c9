"""Whether version control is at work in a root: its lock file is there. Looks at directories that the tree knows nothing of.

`ROOT/.git/index.lock` and `ROOT/.hg/wlock`; where `.git` is a file (a worktree, a submodule), the directory that it names. Of
repositories below a root, or around it, nothing is known. A watch on the lock file's directory only wakes; whether the file
is there is asked of the disk. Where there can be no watch the disk is asked in each turn of the main loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterable
from typing import Final

from shardwatch.shard.backend.bell import Bell
from shardwatch.shard.contract.limits import BEAT_S, next_beat

log = logging.getLogger("shardwatch.shard")

#: Directories whose watch is renewed at each beat: all in turn, if there are more. It finds those that were made or replaced.
_RENEWED_MAX: Final = 256
#: Places without a watch that are looked at in every turn of the main loop.
_ASKED_MAX: Final = 64
#: Lock files that are told: one would do to hold batches back, the rest is for people.
_TOLD_MAX: Final = 100
#: A gitdir file holds one path.
_GITDIR_BYTES_MAX: Final = 8192
_CHECK_NS: Final = int(BEAT_S * 1e9)


class _Place:
    """A lock file that may be there."""

    __slots__ = ("directory", "file", "name", "there", "wd")

    def __init__(self, directory: bytes, name: bytes) -> None:
        #: As it is in the root: `.git` may be a file.
        self.directory = directory
        self.name = name
        self.file = os.path.join(directory, name)
        self.wd = -1
        self.there = False

    def locate(self) -> bytes:
        """The directory that the lock file is in by now."""
        found = _gitdir(self.directory) if self.name == b"index.lock" else self.directory
        self.file = os.path.join(found, self.name)
        return found

    def look(self) -> bool:
        """Whether that is another answer than before."""
        before, self.there = self.there, os.path.lexists(self.file)  # a wlock is a link that leads nowhere
        return self.there != before


class Locks:
    """The lock files of some roots. One thread calls it."""

    def __init__(self, roots: Iterable[bytes]) -> None:
        names = ((b".git", b"index.lock"), (b".hg", b"wlock"))
        self._places = [_Place(os.path.join(root, at), name) for root in roots for at, name in names]
        self._by_wd: dict[int, set[_Place]] = {}
        self._unwatched: list[_Place] = []
        self._turn = 0
        self._check_at = 0
        self._bell: Bell | None = None
        if self._places:
            try:
                self._bell = Bell()
            except OSError as error:
                log.warning("no word of lock files, so they are looked at now and then only: %s", error)

    def fileno(self) -> int:
        """Readable when `look` should be called; -1: there is no such thing."""
        return -1 if self._bell is None else self._bell.fd

    @property
    def there(self) -> list[bytes]:
        """Lock files that were there at the last look, some of them if there are many."""
        return [place.file for place in self._places if place.there][:_TOLD_MAX]

    def look(self, now: int) -> bool:
        """Whether a lock file has come or gone; `now`: monotonic, ns.

        To be called in every turn, after the looks and before their frames are sent: what was looked at while a lock file was
        there must not be told before it.
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
        return sum(place.look() for place in asked) > 0  # each of them, so not any()

    def _renew(self) -> None:
        places = self._places
        begin, self._turn = self._turn, (self._turn + _RENEWED_MAX) % max(1, len(places))
        for place in (places + places)[begin : begin + min(_RENEWED_MAX, len(places))]:
            directory, wd = place.locate(), -1
            if self._bell is not None:
                with contextlib.suppress(OSError):
                    wd = self._bell.hang(directory)
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


def _gitdir(path: bytes) -> bytes:
    """The repository's own directory: `path`, or what is named in it where it is a file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return path
    try:
        content = os.read(fd, _GITDIR_BYTES_MAX) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        content = b""
    finally:
        os.close(fd)
    prefix, _, named = content.partition(b"gitdir: ")
    named = named.rstrip(b"\r\n")
    return path if prefix or not named or b"\0" in named else os.path.join(os.path.dirname(path), named)
