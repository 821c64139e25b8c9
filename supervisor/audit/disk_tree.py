"""Walks the disk by itself, with no code of the shards', and tells what the index should know of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from shardwatch.aggregator.index.opening import keeper
from shardwatch.aggregator.index.reading import Known
from shardwatch.shard.contract.files.packed import DIRECTORY
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.filter.scope import scope_of
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.calls import ABSENT

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
        self._state_dir = state_dir
        #: Directories that could not be read, and subtrees whose filesystem does not answer.
        self.unreadable: set[bytes] = set()
        #: Those of them that do not answer.
        self.silent: set[bytes] = set()

    def directories(self, wanted: Callable[[bytes], bool] = lambda path: True) -> Iterator[tuple[bytes, Known]]:
        """Every directory that is watched and `wanted`, and what is in it."""
        for root in self._settings.roots:
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
        try:
            return self._look.entries(path)
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
        descends = self._settings.recursive and self._scope.descends(path)
        prefix = relative + b"/" if relative else b""
        known: Known = {}
        files = [entry.name for entry in entries if entry.stat[0] != DIRECTORY]
        kept = set(self._scope.files(path, relative, files))
        for name, found, _ in entries:
            if found[0] != DIRECTORY:
                if name in kept:
                    known[name, 0] = found
            elif descends and not self._scope.filter.prunes(prefix + name) and join(path, name) != self._state_dir:
                known[name, 1] = found
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
        if found is None or path == self._state_dir:
            return {}
        directory = int(found.stat[0] == DIRECTORY)
        return {(os.path.basename(path), directory): found.stat} if self._keeps(path, bool(directory)) else {}
