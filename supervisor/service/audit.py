"""Compares the index of a running service with the disk, without stopping anything.

It walks the tree with its own code, and uses none of the shards' code, so that it does not overlook what they overlook.
Changes in progress are not differences: paths that differ at first are looked at again around further syncs. They count
only if the disk showed the same before and after these syncs, and the index still showed something else.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shardwatch.aggregator.index.opening import keeper
from shardwatch.aggregator.index.reading import IndexReader, Known, Stat
from shardwatch.shard.contract.files.identity import alike
from shardwatch.shard.contract.files.paths import is_exact, join
from shardwatch.shard.contract.filter.scope import scope_of
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.directory import TAG_NAME, is_state_directory
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import DIRECTORY, FILE, INT_MAX, INT_MIN, LINK
from shardwatch.shard.disk.calls import ABSENT, open_directory

#: Paths that are looked at a second time, and repaired; how many more there are is counted.
SUSPECTS_MAX: Final = 10_000
#: Syncs after which a path that changes all the time is left alone.
_ROUNDS: Final = 12
#: Syncs over which a path must stand still, and differ, and the pause between two of them, seconds.
_STILL: Final = 3
_PAUSE_S: Final = 0.05
_KINDS: Final = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}


class Service(Protocol):
    """What is asked of the running service."""

    def sync(self) -> Sequence[bytes]:
        """Returns when all that was done before is in the index, with the subtrees of which that can't be said."""

    def look(self, paths: Sequence[bytes]) -> None:
        """Has the owners look at these again."""


@dataclass
class Difference:
    """One path of which the index says something else than the disk."""

    path: bytes
    directory: bool
    #: None: it is not there.
    disk: Stat | None
    index: Stat | None
    repaired: bool = False


@dataclass
class Findings:
    """What an audit found."""

    files: int = 0
    directories: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: Further paths that differed at the first look.
    more: int = 0
    #: Paths that changed so often that nothing can be said of them.
    unsettled: int = 0
    #: Subtrees that can't be read, or whose shard does not answer.
    not_compared: list[bytes] = field(default_factory=list)
    #: What is wrong in the index file itself.
    damage: str = ""

    @property
    def ok(self) -> bool:
        return not (self.differences or self.more or self.not_compared or self.damage)


class Tree:
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


def _agree(known: Known, there: Known) -> bool:
    return known == there or all(alike(known.get(key), there.get(key)) for key in known.keys() | there.keys())


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


class Audit:
    """One audit. `progress` is called with the number of directories compared."""

    def __init__(self, tree: Tree, reader: IndexReader, service: Service, progress: Callable[[int], None]) -> None:
        self._tree = tree
        self._reader = reader
        self._service = service
        self._progress = progress
        self._findings = Findings()
        self._left_out: set[bytes] = set()

    def run(self, *, repair: bool) -> Findings:
        """Compares everything; has the owners look again at what differs, unless `repair` is false."""
        findings = self._findings
        self._sync()
        suspects = self._compare()
        findings.more = max(0, len(suspects) - SUSPECTS_MAX)
        suspects = dict.fromkeys(list(suspects)[:SUSPECTS_MAX])
        findings.differences, unsettled = self._confirm(suspects)
        findings.unsettled = len(unsettled)
        if repair and findings.differences:
            # A damaged row may name what no path is: there is nothing to look at.
            self._service.look([d.path for d in findings.differences if is_exact(d.path)])
            left, _ = self._confirm(dict.fromkeys(d.path for d in findings.differences))
            still = {d.path for d in left}
            for difference in findings.differences:
                difference.repaired = difference.path not in still
        findings.damage = self._reader.damage()
        findings.not_compared = sorted(self._left_out)
        return findings

    def _sync(self) -> None:
        self._left_out.update(self._service.sync())

    def _compared(self, path: bytes) -> bool:
        return not any(path == out or path.startswith(out.rstrip(b"/") + b"/") for out in self._left_out)

    def _compare(self) -> dict[bytes, None]:
        """Paths that differ at the first look, in-flight changes included."""
        findings = self._findings
        suspects: dict[bytes, None] = {}
        seen: set[bytes] = set()
        for path, there in self._tree.directories():
            seen.add(path)
            findings.directories += 1
            findings.files += sum(1 for _, directory in there if not directory)
            known = self._reader.names(path)
            if known != there:  # mostly they are equal in everything
                names = {key[0] for key in known.keys() | there.keys() if not alike(known.get(key), there.get(key))}
                suspects.update(dict.fromkeys(join(path, name) for name in names))
            self._progress(findings.directories)
        self._left_out.update(self._tree.unreadable)
        for path in self._reader.directories():
            if path not in seen:
                suspects.update((join(path, name), None) for name, _ in self._reader.names(path))
        return {path: None for path in suspects if self._compared(path)} if self._left_out else suspects

    def _confirm(self, suspects: dict[bytes, None]) -> tuple[list[Difference], list[bytes]]:
        """(those that really differ, those that changed at every look).

        Once is not enough: a stat shows what a system call has done before its event is queued, so also before it returned.
        """
        found: list[Difference] = []
        #: path -> how often it stood still, and differed.
        left = dict.fromkeys(suspects, 0)
        for number in range(_ROUNDS):
            if not left:
                break
            if number:
                time.sleep(_PAUSE_S)
            before = [(path, self._tree.at(path)) for path in left]
            self._sync()
            for path, there in before:
                known = self._reader.at(*os.path.split(path))
                if _agree(known, there) or not self._compared(path):
                    del left[path]
                    continue
                left[path] = left[path] + 1 if _agree(there, self._tree.at(path)) else 0
                if left[path] < _STILL:
                    continue
                del left[path]
                for key in sorted(known.keys() | there.keys()):
                    if not alike(known.get(key), there.get(key)):
                        found.append(Difference(path, bool(key[1]), there.get(key), known.get(key)))
        return found, list(left)
