"""Reads a directory, or names in it, and returns what is in scope. It sends nothing; the caller reports what was seen, and
when.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ..contract.files.packed import DIRECTORY
from ..contract.files.paths import join
from ..contract.filter.filter import Filter
from ..contract.filter.scope import Scope
from ..contract.limits import PATH_BYTES_MAX
from ..contract.state.directory import TAG, is_state_directory
from ..contract.wire.frames import Entry
from .calls import ABSENT, directory_entry, entry_of
from .disk import Disk
from .filesystems import Filesystems

#: Longest name that the kernel takes (NAME_MAX).
_NAME_BYTES_MAX: Final = 255


class Reader:
    """Reads directories for one shard, with its scope and its links, and counts what it does. Owned by one thread.

    Args:
        disk: the port to the disk.
        state_dir: the service's own directory, which is never looked into.
        recursive: False: no directory is in scope.
        follow: a link counts as its target.
    """

    def __init__(
        self, filter: Filter | Scope, *, state_dir: bytes, recursive: bool = True, follow: bool = False, disk: Disk | None = None
    ) -> None:
        self.disk = disk if disk is not None else Disk()
        self._scope = filter if isinstance(filter, Scope) else Scope(filter)
        self._filter = self._scope.filter
        self._state_dir = state_dir
        self._state_name = os.path.basename(state_dir)
        self._recursive = recursive
        self.follow = follow
        self.filesystems = Filesystems()
        self.looks = 0
        self.filtered = 0
        self.others = 0
        self._too_long = 0

    def directory(self, path: bytes, fd: int, relative: bytes) -> tuple[list[Entry], list[bytes]]:
        """All entries in scope in the directory open at `fd`, sorted by name, and those of them that are directories.

        Raises OSError if it cannot be read completely.
        """
        coarse = self.disk.coarse_ns()
        files, directories = self.listed(path, fd, relative)
        return self.looked(path, fd, relative, files, directories, coarse)

    def listed(self, path: bytes, fd: int, relative: bytes) -> tuple[list[bytes], list[bytes]]:
        """The names in scope of files, and of directories, in the directory open at `fd`. For a state directory, of any service,
        there are none. Raises OSError if it cannot be read completely.
        """
        # By name: a directory that changes while it is read may give a name twice. What it gave last counts.
        with self.disk.entries(fd) as items:
            if not self.follow:
                found = {item.name: item.is_dir(follow_symlinks=False) for item in items}
            else:
                found = {item.name: self._leads_on(path, item) for item in items}
        if TAG in found and is_state_directory(fd):
            return [], []
        fsencode = os.fsencode
        directories = [fsencode(name) for name, is_directory in found.items() if is_directory]
        files = [fsencode(name) for name, is_directory in found.items() if not is_directory]
        kept = self._scope.files(path, relative, files)
        self.filtered += len(files) - len(kept)
        return self._short(path, kept), directories

    def looked(
        self, path: bytes, fd: int, relative: bytes, files: list[bytes], directories: list[bytes], coarse: int
    ) -> tuple[list[Entry], list[bytes]]:
        """As `directory`, of some of the names that it has."""
        directories = list(directories)
        entries = []
        for name, entry in zip(files, self.names(path, files, fd, coarse), strict=True):
            if entry is not None and entry[1] == DIRECTORY:
                directories.append(name)
            elif entry is not None:
                entries.append(entry)
        subdirectories = self.watched(path, relative, directories)
        entries += [directory_entry(name) for name in subdirectories]
        entries.sort()
        return entries, subdirectories

    def names(self, path: bytes, names: Sequence[bytes], fd: int, coarse: int) -> list[Entry | None]:
        """What these names in the directory `path`, open at `fd`, are. Each is looked at after the clock `coarse` was read. None
        for a name that does not exist or is not in scope. Raises OSError if one of them cannot be determined.
        """
        follow, disk, stat = self.follow, self.disk, self.disk.stat
        device, invented, others = -1, False, 0
        found: list[Entry | None] = []
        for name in names:
            try:
                st = disk.stat_through(path, name, fd) if follow else stat(name, fd)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                found.append(None)
                continue
            if st.st_dev != device:
                device = st.st_dev
                invented = self.filesystems.invents(device, name, fd)
            entry = entry_of(name, st, coarse, invented=invented)
            others += entry is None
            found.append(entry)
        self.others += others
        self.looks += len(found)
        return found

    def watched(self, path: bytes, relative: bytes, names: Iterable[bytes]) -> list[bytes]:
        """Those of `names` in a directory that are ours if they are directories."""
        if not self._recursive or not self._scope.descends(path):
            return []
        prunes = self._filter.prunes
        prefix = relative + b"/" if relative else b""
        ours = [n for n in names if not prunes(prefix + n) and not (n == self._state_name and join(path, n) == self._state_dir)]
        return self._short(path, ours)

    def enters(self, relative: bytes, name: bytes) -> bool:
        """Whether `name` in a directory is ours if it is a directory, as far as the patterns say."""
        return self._recursive and not self._filter.prunes(relative + b"/" + name if relative else name)

    def kept(self, path: bytes, relative: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names` in a directory that are ours if they are files."""
        return self._short(path, self._scope.files(path, relative, names))

    def hinted(self, path: bytes, relative: bytes, names: Collection[bytes]) -> set[bytes]:
        """As `kept`, of names that had a hint; the others are counted as filtered."""
        ours = set(self.kept(path, relative, names))
        self.filtered += len(names) - len(ours)
        return ours

    def take_too_long(self) -> int:
        """The number of names that were left out since the last call because their paths are longer than PATH_BYTES_MAX."""
        count, self._too_long = self._too_long, 0
        return count

    def _short(self, path: bytes, names: list[bytes]) -> list[bytes]:
        room = PATH_BYTES_MAX - len(path) - 1
        if room >= _NAME_BYTES_MAX:
            return names
        short = [n for n in names if len(n) <= room]
        self._too_long += len(names) - len(short)
        return short

    def _leads_on(self, path: bytes, item: os.DirEntry[str]) -> bool:
        """Whether it is a directory, or a link to one that does not lead back."""
        try:
            return item.is_dir() and not self.disk.loops(join(path, os.fsencode(item.name)))
        except OSError:
            return False  # a link in a circle, or to where we may not look


def digest(entries: list[Entry]) -> int:
    """Of what was said last of a directory that is swept; with `racy`: what was looked at too early is said once more."""
    return hash(tuple(entries)) or 1
