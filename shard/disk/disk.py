"""The disk as a shard sees it: the port through which it looks at its trees.

It is passed in, so that a test can use a disk that refuses or returns something else, without patching `os`. Questions
to the kernel about other things (mounts, inotify, lock files) do not pass through here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from ..compiled.choice import native
from ..contract.files.paths import join
from ..contract.filter.pattern import Names
from . import entering, reading
from .calls import ENTER, coarse_ns, is_bare, leads_to, loops, open_directory, opens_at_once
from .entering import Entered
from .reading import Asked
from .statx import birth_ns, filesystem_type
from .virtual import virtual_type, virtual_type_at

#: A directory that is only to be watched need not be readable.
_WATCH: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW

_list_names = native(reading.list_names)
_look_at = native(reading.look_at)
_look_in_each = native(reading.look_in_each)
_enter_each = native(entering.enter_each)


class Disk:
    """Holds nothing, so it may be shared. Each call may block for as long as the filesystem takes, and raises OSError.

    Names are names in the directory open at `fd`; paths are absolute, and may be longer than PATH_MAX where that is said. Whoever
    opens a descriptor closes it (`os.close`).
    """

    def open(self, path: bytes, *, follow: bool = False) -> int:
        """The directory at a path of any length. No link on the way is followed, unless `follow`."""
        return open_directory(path, follow=follow)

    def open_below(self, path: bytes, fd: int, *, follow: bool = False) -> int:
        """The same, of a path relative to the directory open at `fd`."""
        return open_directory(path, follow=follow, at=fd)

    def enter(self, name: bytes, fd: int) -> int:
        """The directory of that name, which is no link."""
        return os.open(name, ENTER, dir_fd=fd)

    def open_to_watch(self, path: bytes) -> int:
        """The directory at a path, which is no link itself: it can be watched by this descriptor, but not read."""
        return os.open(path, _WATCH)

    def list_names(self, fd: int, on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
        """All names in a directory: of what is no directory, and of directories (`reading.list_names`). `on_progress` is called
        again and again while a large one is read."""
        return _list_names(fd, on_progress)

    def look_at(
        self, fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool
    ) -> tuple[bytes, int]:
        """The packed stats of names, of a link itself, up to the first one on another device (`reading.look_at`)."""
        return _look_at(fd, names, start, coarse_ns, device, invented)

    def look_in_each(
        self, asked: list[Asked], instance: int, coarse_ns: int, device: int, invented: bool
    ) -> list[tuple[list[bytes], bytes] | int | None]:
        """The packed stats of names in many directories, by their paths and watches (`reading.look_in_each`)."""
        look = _look_in_each if opens_at_once() else reading.look_in_each  # native code knows openat2 alone
        return look(asked, instance, coarse_ns, device, invented)

    def enter_each(
        self,
        fd: int,
        names: list[bytes],
        watch: tuple[int, int],
        kept: tuple[Names, Names],
        coarse_ns: int,
        filesystem: tuple[int, bool],
        ns_max: int,
    ) -> list[Entered | int]:
        """Opens, watches and lists directories that lie in one directory, and looks at their files (`entering.enter_each`)."""
        return _enter_each(fd, names, watch, kept, coarse_ns, filesystem, ns_max)

    def entries(self, fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """What is in a directory, for those who follow links, from the beginning (`reading.list_names`). An error while it is
        read is raised by the iterator."""
        os.lseek(fd, 0, os.SEEK_SET)
        return os.scandir(fd)

    def stat(self, name: bytes, fd: int) -> os.stat_result:
        """Of the name itself, also where it is a link."""
        return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def stat_target(self, name: bytes, fd: int) -> os.stat_result:
        """Of what the name leads to, where it is a link."""
        return os.stat(name, dir_fd=fd)

    def stat_through(self, directory: bytes, name: bytes, fd: int) -> os.stat_result:
        """Of what a name in `directory`, open at `fd`, leads to. Where that is nothing, a circle, or not to be looked at:
        of the link."""
        try:
            st = self.stat_target(name, fd)
        except OSError:
            return self.stat(name, fd)  # a dangling link is a link
        if stat.S_ISDIR(st.st_mode) and loops(join(directory, name)):
            return self.stat(name, fd)
        return st

    def stat_path(self, path: bytes) -> os.stat_result:
        """Of the path itself, also where it is a link."""
        return os.lstat(path)

    def stat_path_target(self, path: bytes) -> os.stat_result:
        """Of what a path leads to, where it is a link."""
        return os.stat(path)

    def stat_open(self, fd: int) -> os.stat_result:
        """Of what is open at `fd`."""
        return os.fstat(fd)

    def filesystem_type(self, name: bytes, fd: int) -> int:
        """The number of the type of filesystem that the name lies on; 0 where it can't be found out, -1 where that may be
        possible later (`statx.filesystem_type`)."""
        return filesystem_type(name, fd)

    def virtual_type(self, fd: int) -> str:
        """The type of a filesystem that the kernel makes up, where the directory open at `fd` lies on such a one, else ""; never
        raises (`virtual.virtual_type`).
        """
        return virtual_type(fd)

    def virtual_type_at(self, path: bytes) -> str | None:
        """The same of what is at a path; None if that can't be found out now (`virtual.virtual_type_at`)."""
        return virtual_type_at(path)

    def birth_ns(self, name: bytes, ino: int, fd: int) -> int:
        """When the file with this inode number was made, ns since 1970; 0 where that is not known (`statx.birth_ns`)."""
        return birth_ns(name, ino, fd)

    def link_target(self, path: bytes) -> bytes:
        """What the link at a path says."""
        return os.readlink(path)

    def path_of(self, fd: int) -> bytes:
        """The path, without links, of what is open at `fd`, as the kernel knows it now."""
        return os.readlink(b"/proc/self/fd/%d" % fd)

    def is_link(self, path: bytes) -> bool:
        """Whether there is a link at a path; never raises."""
        return os.path.islink(path)

    def loops(self, path: bytes) -> bool:
        """Whether there is a link at a path which leads back (`calls.loops`); never raises."""
        return loops(path)

    def leads_to(self, path: bytes, fd: int, *, follow: bool = False) -> bool:
        """Whether a path still leads to the directory open at `fd`; never raises (`calls.leads_to`)."""
        return leads_to(path, fd, follow=follow)

    def is_bare(self, path: bytes, *, follow: bool = False) -> bool:
        """Whether nothing lies at a path, or an empty directory; never raises (`calls.is_bare`)."""
        return is_bare(path, follow=follow)

    def coarse_ns(self) -> int:
        """The clock that filesystems stamp with, ns since 1970."""
        return coarse_ns()
