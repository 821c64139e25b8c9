"""A disk as a shard looks at it (`Disk`), which refuses what a test says, and lets the test act while it is read."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterator

from shardwatch.shard.contract.files.paths import is_below
from shardwatch.shard.contract.filter.pattern import Names
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.entering import Entered
from shardwatch.shard.disk.reading import Asked, sorted_out


def _nothing(path: bytes) -> None:
    """What a test does if it does not say anything else."""


class FaultyDisk(Disk):
    """Refuses nothing until it is told to.

    Attributes:
        denied: paths of directories that can't be opened, nor anything below them, with `code`.
        once: paths of directories that can't be opened the next time, and why.
        broken: names that can't be looked at, and why.
        leads_nowhere: names of links whose targets can't be looked at.
        breaks_off: paths of directories whose listing fails with EIO before its end.
        twice: a name that a listing gives a second time, as a file.
        before_listing, after_listing: called with the path of a directory that is listed.
        behind_ns: by how much the clock that files are stamped with is behind.
        listed: paths of all directories that were listed.
        made_up: paths at which there seems to be a filesystem that the kernel makes up, and its type.
        refusals: how often something in `denied` was asked for.
    """

    def __init__(self) -> None:
        self.denied: set[bytes] = set()
        self.code = errno.EACCES
        self.once: dict[bytes, int] = {}
        self.broken: dict[bytes, int] = {}
        self.leads_nowhere: set[bytes] = set()
        self.breaks_off: set[bytes] = set()
        self.twice = ""
        self.before_listing: Callable[[bytes], object] = _nothing
        self.after_listing: Callable[[bytes], object] = _nothing
        self.behind_ns = 0
        self.listed: list[bytes] = []
        self.made_up: dict[bytes, str] = {}
        self.refusals = 0

    def deny(self, path: os.PathLike[str]) -> None:
        self.denied.add(os.fsencode(path))

    def virtual_type_at(self, path: bytes) -> str | None:
        return next((kind for at, kind in self.made_up.items() if is_below(path, at)), super().virtual_type_at(path))

    def open(self, path: bytes, *, follow: bool = False) -> int:
        self._check(path)
        return super().open(path, follow=follow)

    def open_below(self, path: bytes, fd: int, *, follow: bool = False) -> int:
        self._check(os.path.join(self._where(fd), path))
        return super().open_below(path, fd, follow=follow)

    def enter(self, name: bytes, fd: int) -> int:
        self._check(os.path.join(self._where(fd), name))
        return super().enter(name, fd)

    def leads_to(self, path: bytes, fd: int, *, follow: bool = False) -> bool:
        """A path that can't be opened may still lead there."""
        try:
            self._check(path)
        except OSError:
            return True
        return super().leads_to(path, fd, follow=follow)

    def _where(self, fd: int) -> bytes:
        """The path of a directory; b"" where it is longer than the kernel tells."""
        try:
            return self.path_of(fd)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return b""

    def _check(self, path: bytes) -> None:
        if (code := self.once.pop(path, 0)) != 0:
            raise OSError(code, os.strerror(code), path)
        if any(path == denied or path.startswith(denied + b"/") for denied in self.denied):
            self.refusals += 1
            raise OSError(self.code, os.strerror(self.code), path)

    def stat(self, name: bytes, fd: int) -> os.stat_result:
        self._check_name(name)
        return super().stat(name, fd)

    def look_at(
        self, fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool
    ) -> tuple[bytes, int]:
        for name in names[start:]:
            self._check_name(name)
        return super().look_at(fd, names, start, coarse_ns, device, invented)

    def look_in_each(
        self, asked: list[Asked], instance: int, coarse_ns: int, device: int, invented: bool
    ) -> list[tuple[list[bytes], bytes] | int | None]:
        """What is refused is not known: whoever looks again is told why."""
        found = super().look_in_each(asked, instance, coarse_ns, device, invented)
        return [
            None if self._refuses(path) or not self.broken.keys().isdisjoint(names) else one
            for (path, _, names, _), one in zip(asked, found, strict=True)
        ]

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
        """Where a test refuses anything, or acts while directories are listed, nothing is known: they are entered one by one."""
        refuses = self.denied or self.once or self.broken or self.breaks_off or self.twice
        if refuses or self.before_listing is not _nothing or self.after_listing is not _nothing:
            return [-1] * len(names)
        found = super().enter_each(fd, names, watch, kept, coarse_ns, filesystem, ns_max)
        above = self._where(fd)
        self.listed += [os.path.join(above, name) for name, one in zip(names, found, strict=False) if not isinstance(one, int)]
        return found

    def _refuses(self, path: bytes) -> bool:
        return path in self.once or any(path == denied or path.startswith(denied + b"/") for denied in self.denied)

    def _check_name(self, name: bytes) -> None:
        if name in self.broken:
            raise OSError(self.broken[name], os.strerror(self.broken[name]), name)

    def stat_target(self, name: bytes, fd: int) -> os.stat_result:
        if name in self.leads_nowhere:
            raise PermissionError(errno.EACCES, "Permission denied")
        return super().stat_target(name, fd)

    def list_names(self, fd: int, on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
        if self.twice or self.breaks_off:
            with self.entries(fd) as items:
                return sorted_out(items, on_progress)
        with self._listed(fd):
            return super().list_names(fd, on_progress)

    @contextlib.contextmanager
    def entries(self, fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with self._listed(fd), super().entries(fd) as entries:
            if self._where(fd) in self.breaks_off:
                yield self._broken_off(entries)
            else:
                yield self._repeated(entries) if self.twice else entries

    @contextlib.contextmanager
    def _listed(self, fd: int) -> Iterator[None]:
        """Around the listing of a directory."""
        path = self._where(fd)
        self.listed.append(path)
        self.before_listing(path)
        yield
        self.after_listing(path)

    def _broken_off(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """The first name, and an error of the disk in the place of the next."""
        yield from itertools.islice(entries, 1)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _repeated(self, entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """As readdir(3) may give it while the directory changes: all of it twice, and that name as a file in between."""
        items = list(entries)
        yield from (item for item in items if item.name == self.twice)
        if any(item.name == self.twice for item in items):
            yield _AsFile(self.twice)  # type: ignore[misc]
        yield from items
        yield from items

    def coarse_ns(self) -> int:
        return super().coarse_ns() - self.behind_ns


class _AsFile:
    """An entry of a listing, which says that it is a file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return False

    def is_symlink(self) -> bool:
        return False
