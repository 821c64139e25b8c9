"""Walks the disk by itself, with no code of the shards', and tells what the index should know of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from shardwatch.aggregator.index.opening import keeper
from shardwatch.aggregator.index.reading import Known
from shardwatch.shard.contract.files.packed import DIRECTORY
from shardwatch.shard.contract.files.paths import Nearest, join
from shardwatch.shard.contract.filter.scope import scope_of
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.calls import ABSENT
from shardwatch.shard.disk.ignore_setting import ignore_files_of
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

from .bounded_look import BoundedLook, Silent
from .disk_look import Entry


class DiskTree:
    """The disk, as the index should know it."""

    def __init__(
        self, settings: Settings, state_dir: bytes, look: BoundedLook, known: Callable[[bytes], bool] = lambda path: True
    ) -> None:
        """`known`: whether the index has anything of a directory; asked of those behind two links or more, not all of which are
        followed."""
        self._settings = settings
        self._look = look
        self._known = known
        self._scope = scope_of(settings)
        self._keeps = keeper(settings)
        self._ignores = ignore_files_of(settings, look.guard)
        self._state_dir = state_dir
        self._virtual = VirtualMounts(StillTable(look.mounts), settings.roots)
        #: Directories that could not be read, and subtrees whose filesystem does not answer.
        self.unreadable: set[bytes] = set()
        #: Those of them that do not answer.
        self.silent: set[bytes] = set()

    def directories(self, wanted: Callable[[bytes], bool] = lambda path: True) -> Iterator[tuple[bytes, Known]]:
        """Every directory that is watched and `wanted`, and what is in it."""
        for root in self._settings.roots:
            if self._ignores is not None and root not in self._settings.only:
                self._ignores.descend(root)
            below = [(root, b"", 0)]
            while below:
                path, relative, links = below.pop()
                entries = self._entries(path) if wanted(path) else None
                if entries is None:
                    continue
                found = self._in_scope(path, relative, entries)
                yield path, found
                prefix = relative + b"/" if relative else b""
                for name, _, is_link in entries:
                    at, passed = join(path, name), links + is_link
                    if (name, 1) not in found or at in self._settings.roots:
                        continue
                    if passed == links or passed < 2 or self._known(at):
                        below.append((at, prefix + name, passed))

    def _entries(self, path: bytes) -> list[Entry] | None:
        if self._virtual.at(path):
            return []
        try:
            entries = self._look.entries(path)
            if self._ignores is not None:
                self._look.guard(path)
                self._ignores.meet(path, [entry.name for entry in entries], ())
            return entries
        except Silent as silent:
            self._note(silent)
        except OSError as error:
            if error.errno not in ABSENT:
                self.unreadable.add(path)
        return None

    def _note(self, silent: Silent) -> None:
        self.silent.add(silent.point)
        self.unreadable.add(silent.point)

    def _in_scope(self, path: bytes, relative: bytes, entries: list[Entry]) -> Known:
        files = self._scope.files(path, relative, [entry.name for entry in entries if entry.stat[0] != DIRECTORY])
        files = self._virtual.others(path, files)
        below: list[bytes] = []
        if self._settings.recursive and self._scope.descends(path):
            prefix = relative + b"/" if relative else b""
            names = [entry.name for entry in entries if entry.stat[0] == DIRECTORY]
            below = [n for n in names if not self._scope.filter.prunes(prefix + n) and join(path, n) != self._state_dir]
        if self._ignores is not None:
            files = self._scope.unless_ignored(path, files, self._ignores.files(path, files))
            below = self._ignores.directories(path, below)
        kept = {*((name, 0) for name in files), *((name, 1) for name in below)}
        known: Known = {}
        for name, found, _ in entries:
            key = name, int(found[0] == DIRECTORY)
            if key in kept:
                known[key] = found
        return known

    def at(self, path: bytes) -> Known:
        """What is at one path now; nothing where the index is not to know it, or where it can't be found out."""
        try:
            found = self._look.entry_at(path)
        except Silent as silent:
            self._note(silent)
            return {}
        except OSError:
            return {}
        if found is None or path == self._state_dir or self._is_below_virtual(path, found):
            return {}
        directory = int(found.stat[0] == DIRECTORY)
        if self._is_ignored(path, directory=bool(directory)):
            return {}
        return {(os.path.basename(path), directory): found.stat} if self._keeps(path, bool(directory)) else {}

    def _is_below_virtual(self, path: bytes, found: Entry) -> bool:
        """Whether a path lies in a filesystem that the kernel makes up, or is a file on which one is mounted."""
        if self._virtual.none:
            return False
        root = Nearest(self._settings.roots).of(os.path.dirname(path))
        if root is None:
            return False
        return bool(self._virtual.over(os.path.dirname(path), root) or (found.stat[0] != DIRECTORY and self._virtual.at(path)))

    def _is_ignored(self, path: bytes, *, directory: bool) -> bool:
        """Whether the ignore files leave out a path, or a directory above it. Those of the directories above were read when these
        were looked at."""
        if self._ignores is None or self._scope.names(path):
            return False
        root = Nearest(self._settings.roots).of(os.path.dirname(path))
        if root is None or root in self._settings.only:
            return False
        above, name = os.path.split(path)
        kept = self._ignores.directories if directory else self._ignores.files
        return self._ignores.hides(above, root) is not None or not kept(above, [name])
