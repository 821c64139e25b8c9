"""Walks the disk by itself, with no code of the shards', and tells what the index should know of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from shardwatch.aggregator.index.opening import keeper
from shardwatch.aggregator.index.reading import Known, Stat
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, INT_MAX, INT_MIN, LINK
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.filter.scope import scope_of
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.directory import TAG_NAME, is_state_directory
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.calls import ABSENT, open_directory

_KINDS: Final = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}


class DiskTree:
    """The disk, as the index should know it."""

    def __init__(self, settings: Settings, state_dir: bytes, known: Callable[[bytes], bool] = lambda path: True) -> None:
        """`known`: whether the index has anything of a directory; asked of those behind two links or more, not all of which are
        followed."""
        self._settings = settings
        self._known = known
        self._scope = scope_of(settings)
        self._keeps = keeper(settings)
        self._state_dir = state_dir
        #: Directories that could not be read.
        self.unreadable: list[bytes] = []

    def directories(self) -> Iterator[tuple[bytes, Known]]:
        """Every directory that is watched, and what is in it."""
        for root in self._settings.roots:
            below = [(root, b"", 0)]
            while below:
                path, relative, links = below.pop()
                found = self._list(path, relative)
                if found is None:
                    continue
                yield path, found
                prefix = relative + b"/" if relative else b""
                for name in [name for name, directory in found if directory]:
                    at, passed = join(path, name), links
                    if self._settings.follow_symlinks and os.path.islink(at):
                        passed += 1
                    if at not in self._settings.roots and (passed == links or passed < 2 or self._known(at)):
                        below.append((at, prefix + name, passed))

    def _list(self, path: bytes, relative: bytes) -> Known | None:
        try:
            fd = open_directory(path, follow=self._settings.follow_symlinks)
        except OSError as error:
            if error.errno not in ABSENT:
                self.unreadable.append(path)
            return None
        try:
            # Through the descriptor: a path may be longer than the kernel takes, and would be walked for each name.
            with os.scandir(fd) as entries:
                names = [os.fsencode(entry.name) for entry in entries]
            if TAG_NAME in names and is_state_directory(fd):
                return {}
            stats = [(name, self._stat(path, name, fd)) for name in names if len(path) + 1 + len(name) <= PATH_BYTES_MAX]
        except OSError:
            self.unreadable.append(path)
            return None
        finally:
            os.close(fd)
        known: Known = {}
        files: list[bytes] = []
        descends = self._settings.recursive and self._scope.descends(path)
        prefix = relative + b"/" if relative else b""
        for name, found in stats:
            if found is None:
                continue
            if found[0] != DIRECTORY:
                known[name, 0] = found
                files.append(name)
            elif descends and not self._scope.filter.prunes(prefix + name) and join(path, name) != self._state_dir:
                known[name, 1] = found
        kept = set(self._scope.files(path, relative, files))
        return {key: found for key, found in known.items() if key[1] or key[0] in kept}

    def _stat(self, directory: bytes, name: bytes, fd: int) -> Stat | None:
        """What a name in the directory that is open at `fd` is; None for nothing, or nothing of ours."""
        follow = self._settings.follow_symlinks and not _loops(join(directory, name))
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=follow)
        except OSError:
            if not follow:
                return None
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)  # a dangling link is a link
            except OSError:
                return None
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return None
        if kind == DIRECTORY:
            return (kind,)
        numbers = (found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return (kind, *(max(INT_MIN, min(number, INT_MAX)) for number in numbers))

    def at(self, path: bytes) -> Known:
        """What is at one path now; nothing where the index is not to know it."""
        parent, name = os.path.split(path)
        try:
            fd = open_directory(parent, follow=self._settings.follow_symlinks)
        except OSError:
            return {}
        try:
            found = self._stat(parent, name, fd)
        finally:
            os.close(fd)
        if found is None or path == self._state_dir:
            return {}
        directory = int(found[0] == DIRECTORY)
        return {(name, directory): found} if self._keeps(path, bool(directory)) else {}


def _loops(path: bytes) -> bool:
    """Whether it is a link to a directory that the path has passed already, or in which it lies."""
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path).rstrip(b"/") + b"/"
    above = os.path.dirname(path)
    while not (os.path.realpath(above) + b"/").startswith(target):
        above, below = os.path.dirname(above), above
        if above == below:
            return False
    return True
