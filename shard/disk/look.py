"""Reads a directory, or names in it, and returns what is in scope. It sends nothing; the caller reports what was seen, and
when.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

from ..contract.files.packed import A_DIRECTORY, DIRECTORY, FILE, LINK, NOTHING, OTHER, WIDTH, Seen, joined, kinds, pieces
from ..contract.files.paths import join
from ..contract.filter.filter import Filter
from ..contract.filter.pattern import Names
from ..contract.filter.scope import Scope
from ..contract.limits import PATH_BYTES_MAX
from ..contract.state.directory import TAG_NAME, is_state_directory
from .calls import ABSENT
from .disk import Disk
from .entering import Entered
from .filesystems import Filesystems
from .ignore_setting import ignoring_roots
from .reading import NAMES_AT_ONCE, Asked, packed

if TYPE_CHECKING:
    from ..contract.state.settings import Settings
    from .ignore_files import IgnoreFiles  # only services that ask them load this
    from .virtual_mounts import VirtualMounts

#: Longest name that the kernel takes (NAME_MAX).
_NAME_BYTES_MAX: Final = 255
#: Sorted parts that are merged in one step, which takes some tenths of a second for a million names. To merge more at once is
#: quicker, and silent for longer.
_RUNS_AT_ONCE: Final = 8
#: What is reported as a file.
_FILES: Final = bytes((FILE, LINK))


class Reader:
    """Reads directories for one shard, with its scope and its links, and counts what it does. Owned by one thread.

    Args:
        disk: the port to the disk.
        state_dir: the service's own directory, which is never looked into.
        recursive: False: no directory is in scope.
        follow: a link counts as its target.
        on_progress: called again and again during work on a large directory: it is read, filtered, sorted, looked at.
        ignores: what the ignore files leave out; None: they are not asked.
    """

    def __init__(
        self,
        filter: Filter | Scope,
        *,
        state_dir: bytes,
        recursive: bool = True,
        follow: bool = False,
        disk: Disk | None = None,
        on_progress: Callable[[], None] = lambda: None,
        ignores: IgnoreFiles | None = None,
    ) -> None:
        self.ignores = ignores
        self.disk = disk if disk is not None else Disk()
        self.scope = filter if isinstance(filter, Scope) else Scope(filter)
        self._filter = self.scope.filter
        self._state_dir = state_dir
        self._state_name = os.path.basename(state_dir)
        self._recursive = recursive
        self.follow = follow
        self.on_progress = on_progress
        self.filesystems = Filesystems(self.disk)
        self.looks = 0
        self.filtered = 0
        self.others = 0
        self._too_long = 0
        self._virtual: VirtualMounts | None = None

    def leave_to(self, virtual: VirtualMounts) -> None:
        """A file that is mounted over another one is not ours if it lies on a filesystem that the kernel makes up."""
        self._virtual = virtual

    def go_by(self, settings: Settings) -> None:
        """Goes by the roots and single files of these settings, which differ in nothing else."""
        self.scope = Scope(self._filter, settings.files, settings.only)
        if self.ignores is not None:
            self.ignores.go_by(ignoring_roots(settings))

    def directory(
        self,
        path: bytes,
        fd: int,
        relative: bytes,
        demand: Callable[[bytes, list[bytes]], None] | None = None,
        known: tuple[list[bytes], list[bytes]] | None = None,
    ) -> tuple[Seen, list[bytes]]:
        """All that is in scope in the directory open at `fd`, sorted by name, and the names in it that are directories.

        `demand`: called before the files are looked at, with the directory and their names; it raises OSError to prevent that.
        None: nothing does. `known`: its names, of files and of directories, as `listed` returned them; None: it is listed. Raises
        OSError if it cannot be read completely.
        """
        coarse = self.disk.coarse_ns()
        files, directories = self.listed(path, fd, relative) if known is None else known
        if demand is not None:
            demand(path, files)
        return self.looked(path, fd, relative, files, directories, coarse)

    def listed(self, path: bytes, fd: int, relative: bytes) -> tuple[list[bytes], list[bytes]]:
        """The names in scope of files, and of directories, in the directory open at `fd`. For a state directory, of any service,
        there are none. Raises OSError if it cannot be read completely.
        """
        if self.follow:
            files, directories = self._names_through_links(path, fd)
        else:
            files, directories = self.disk.list_names(fd, self.on_progress)
        if (TAG_NAME in files or TAG_NAME in directories) and is_state_directory(fd):
            return [], []
        if self.ignores is not None and self.scope.descends(path):  # beside single files alone, none counts
            self.ignores.meet(path, files, directories, fd)
        if not files:
            return files, directories
        if len(files) <= NAMES_AT_ONCE:
            kept = self._ours(path, relative, files)
        else:
            kept = [name for part in self._parts(files) for name in self._ours(path, relative, part)]
        self.filtered += len(files) - len(kept)
        return self._short(path, kept), directories

    def looked(
        self, path: bytes, fd: int, relative: bytes, files: list[bytes], directories: list[bytes], coarse: int
    ) -> tuple[Seen, list[bytes]]:
        """As `directory`, of some of the names that it has."""
        names = in_order(files, self.on_progress)
        seen, became = Seen(names, self.stats(path, names, fd, coarse) if names else b""), []
        found = kinds(seen.stats)
        if found.strip(_FILES):  # something is neither file nor link
            became = [name for name, kind in zip(names, found, strict=True) if kind == DIRECTORY]
            seen = seen.chosen([kind in _FILES for kind in found])
        if became:
            directories = [*directories, *became]
        return self._with_directories(path, relative, seen, directories) if directories else (seen, [])

    def _with_directories(self, path: bytes, relative: bytes, files: Seen, directories: list[bytes]) -> tuple[Seen, list[bytes]]:
        """What was seen of files, and the directories that are ours; and the names of these."""
        subdirectories = self.watched(path, relative, directories)
        if not subdirectories:
            return files, []
        both = [(name, A_DIRECTORY) for name in subdirectories]
        both += zip(files.names, pieces(files.stats), strict=True)
        return joined(both), subdirectories

    def entered(self, path: bytes, relative: bytes, found: Entered) -> tuple[Seen, list[bytes]]:
        """As `directory`, of one that was listed and looked at by `Disk.enter_each`."""
        _, _, files, stats, directories, left_out = found
        self.looks += len(files)
        self.filtered += left_out
        seen = Seen(files, stats)
        return self._with_directories(path, relative, seen, directories) if directories else (seen, directories)

    def stats(self, path: bytes, names: list[bytes], fd: int, coarse: int) -> bytes:
        """The packed stats of these names in the directory `path`, open at `fd`, in the order of the names. Each is looked at
        after the clock `coarse` was read. The kind of a name that does not exist is `ABSENT`, of what is nothing of ours `OTHER`.

        Raises OSError if one of them cannot be determined.
        """
        some = self._stats_through_links if self.follow else self._stats_here
        if len(names) <= NAMES_AT_ONCE:
            stats = some(path, names, fd, coarse)
        else:
            stats = b"".join([some(path, part, fd, coarse) for part in self._parts(names)])
        self.others += kinds(stats).count(OTHER)
        return stats

    def _stats_here(self, path: bytes, names: list[bytes], fd: int, coarse: int) -> bytes:
        stats, device = self.disk.look_at(fd, names, 0, coarse, *self.filesystems.last)
        while (start := len(stats) // WIDTH) < len(names):
            invented = self.filesystems.invents(device, names[start], fd)
            more, device = self.disk.look_at(fd, names, start, coarse, device, invented)
            stats += more
        self.looks += len(names)
        return stats

    def _stats_through_links(self, path: bytes, names: list[bytes], fd: int, coarse: int) -> bytes:
        stats = []
        for name in names:
            try:
                st = self.disk.stat_through(path, name, fd)
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                stats.append(NOTHING)
                continue
            stats.append(packed(st, coarse, self.filesystems.invents(st.st_dev, name, fd)))
        self.looks += len(names)
        return b"".join(stats)

    def look_in_each(
        self, asked: list[Asked], instance: int, coarse: int
    ) -> list[tuple[list[bytes], bytes] | int | None]:
        """Looks at names in many directories (`reading.look_in_each`), as long as they lie on the filesystem of the last look."""
        found = self.disk.look_in_each(asked, instance, coarse, *self.filesystems.last)
        self.looks += sum([len(one[0]) for one in found if isinstance(one, tuple)])
        return found

    def decides_alone(self) -> Callable[[bytes], tuple[Names, Names] | None] | None:
        """`Filter.in_directory`, where that and the length of their paths alone decide which files are ours; else None."""
        return None if self.ignores is not None else self.scope.decides_alone()

    def watched(self, path: bytes, relative: bytes, names: list[bytes]) -> list[bytes]:
        """Those of `names` in a directory that are ours if they are directories."""
        if not self._recursive or not self.scope.descends(path):
            return []
        descends, state_name = self._filter.descends, self._state_name
        parts = (names,) if len(names) <= NAMES_AT_ONCE else self._parts(names)
        ours = [
            name
            for part in parts
            for name in descends(relative, part)
            if not (name == state_name and join(path, name) == self._state_dir)
        ]
        if self.ignores is not None and ours:
            ours = self.ignores.directories(path, ours)
        return self._short(path, ours)

    def enters(self, path: bytes, relative: bytes, name: bytes) -> bool:
        """Whether `name` in a directory is ours if it is a directory, as far as the patterns and the ignore files say."""
        if not self._recursive or self._filter.prunes(relative + b"/" + name if relative else name):
            return False
        return self.ignores is None or bool(self.ignores.directories(path, [name]))

    def kept(self, path: bytes, relative: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names` in a directory that are ours if they are files."""
        return self._short(path, self._ours(path, relative, names))

    def _ours(self, path: bytes, relative: bytes, names: Collection[bytes]) -> list[bytes]:
        kept = self.scope.files(path, relative, names)
        if kept and self._virtual is not None:
            kept = self._virtual.others(path, kept)
        if self.ignores is None or not kept:
            return kept
        return self.scope.unless_ignored(path, kept, self.ignores.files(path, kept))

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

    def _names_through_links(self, path: bytes, fd: int) -> tuple[list[bytes], list[bytes]]:
        """As `Disk.list_names`; a link that leads to a directory is one."""
        found: dict[bytes, bool] = {}
        with self.disk.entries(fd) as items:
            for count, item in enumerate(items, 1):
                found[os.fsencode(item.name)] = self._leads_on(path, item)
                if count % NAMES_AT_ONCE == 0:
                    self.on_progress()
        directories = [name for name, is_directory in found.items() if is_directory]
        return [name for name, is_directory in found.items() if not is_directory], directories

    def _parts(self, names: list[bytes]) -> Iterator[list[bytes]]:
        """These names, `NAMES_AT_ONCE` at a time, with a sign of life after each part."""
        for begin in range(0, len(names), NAMES_AT_ONCE):
            yield names[begin : begin + NAMES_AT_ONCE]
            self.on_progress()

    def _leads_on(self, path: bytes, item: os.DirEntry[str]) -> bool:
        """Whether it is a directory, or a link to one that does not lead back. A directory is not looked at: it may be the mount
        point of a filesystem that does not answer."""
        try:
            return item.is_dir() and not (item.is_symlink() and self.disk.loops(join(path, os.fsencode(item.name))))
        except OSError:
            return False  # a link in a circle, or to where we may not look


def in_order(names: list[bytes], on_progress: Callable[[], object]) -> list[bytes]:
    """These names, sorted. Many are sorted in parts, which are then merged, with a sign of life after each step."""
    if len(names) <= NAMES_AT_ONCE:
        return sorted(names)
    runs = []
    for begin in range(0, len(names), NAMES_AT_ONCE):
        runs.append(sorted(names[begin : begin + NAMES_AT_ONCE]))
        on_progress()
    while len(runs) > 1:
        merged = []
        for begin in range(0, len(runs), _RUNS_AT_ONCE):
            run = list(chain.from_iterable(runs[begin : begin + _RUNS_AT_ONCE]))
            run.sort()  # of runs, one after the other: it only merges them
            merged.append(run)
            on_progress()
        runs = merged
    return runs[0]


def digest(seen: Seen) -> int:
    """Of what was said last of a directory that is swept; with `racy`: what was looked at too early is said once more."""
    return hash((b"\0".join(seen.names), seen.stats)) or 1
