"""Reads directories for the survey, as a scan of these settings would see them."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.filter.scope import Scope
from shardwatch.shard.contract.kernel.mounts import read_mounts
from shardwatch.shard.contract.state.planfile import Anchor, Owners
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.calls import open_directory
from shardwatch.shard.disk.ignore_setting import ignore_files_of
from shardwatch.shard.disk.virtual import virtual_type
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

from ..host.scouting import Scouts
from .survey import UNKNOWN

if TYPE_CHECKING:
    from shardwatch.shard.disk.ignore_files import IgnoreFiles


class TreeLook:
    """The real `DirectoryLook`: one os.scandir. Paths outside every root, and unreadable ones, hold nothing."""

    def __init__(self, filter: Filter, settings: Settings, scouts: Scouts | None = None) -> None:
        """`scouts`: ask in its place where a filesystem may hang; what does not answer holds nothing."""
        self._scope = Scope(filter, settings.files, settings.only)
        self._settings = settings
        self._scouts = scouts
        self._virtual = VirtualMounts(StillTable(read_mounts() if scouts is None else scouts.mounts), settings.roots)
        self._ignores = ignore_files_of(settings)
        if self._ignores is not None:
            for root in settings.roots:
                if root not in settings.only and (scouts is None or scouts.mount(root) is None):
                    self._ignores.descend(root)
        self._owners = Owners([Anchor(path=root, shard="", root=root) for root in settings.roots])

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        below, files = self.names(path)
        return below, len(files)

    def names(self, path: bytes) -> tuple[list[bytes], list[bytes]]:
        """Names of the directories to go into, and of the files that are watched. One os.scandir."""
        anchor = self._owners.of(path)
        if anchor is None or self._virtual.over(path, anchor.root):  # it was mounted over what an earlier plan had divided
            return [], []
        relative = path[len(anchor.root) :].lstrip(b"/")
        directories: list[bytes] = []
        files: list[bytes] = []
        if self._scouts is not None and self._scouts.mount(path) is not None:
            answer = self._scouts.ask("list", path) or {}
            directories = [os.fsencode(name) for name in answer.get("directories", ())]
            files = [os.fsencode(name) for kind in ("links", "files") for name in answer.get(kind, ())]
        else:
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        if _descends(entry, self._settings.follow_symlinks):
                            directories.append(entry.name)
                        else:
                            files.append(entry.name)
            except OSError:
                return [], []
        kept = self._scope.files(path, relative, files)
        below: list[bytes] = []
        if self._settings.recursive and self._scope.descends(path):
            below = self._scope.filter.descends(relative, directories)
        kept = self._virtual.others(path, kept)
        below = self._virtual.others(path, below)
        if self._ignores is not None:
            kept, below = self._not_ignored(self._ignores, path, kept, below, [*files, *directories])
        return below, kept

    def _not_ignored(
        self, ignores: IgnoreFiles, path: bytes, files: list[bytes], below: list[bytes], names: list[bytes]
    ) -> tuple[list[bytes], list[bytes]]:
        """What the ignore files leave of a directory. Those on a filesystem that may hang are left to the shard."""
        if self._scouts is None or self._scouts.mount(path) is None:
            with contextlib.suppress(OSError):  # what can't be read is reported by the shard
                ignores.meet(path, names, ())
        return self._scope.unless_ignored(path, files, ignores.files(path, files)), ignores.directories(path, below)

    def count(self, path: bytes) -> int:
        """How many subdirectories, from one lstat: ext4, xfs, tmpfs and others count them in st_nlink.

        btrfs and overlayfs say 1, and ext4 does beyond 64,998: unknown. So is what a link leads to, and what lies where a
        filesystem may hang.
        """
        if not self._scope.descends(path):
            return 0
        if self._scouts is not None and self._scouts.mount(path) is not None:
            return UNKNOWN
        try:
            found = os.lstat(path)
        except OSError:
            return 0
        return found.st_nlink - 2 if stat.S_ISDIR(found.st_mode) and found.st_nlink >= 2 else UNKNOWN


def _descends(entry: os.DirEntry[bytes], follow_symlinks: bool) -> bool:
    """Whether an entry is a directory to go into. Of links, one on each path; a shard follows more of them."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return True
        if not follow_symlinks or not entry.is_symlink() or not entry.is_dir():
            return False
        here = os.path.dirname(entry.path)
        target = os.path.realpath(entry.path)
        if os.path.realpath(here) != here or _is_virtual(target):
            return False
    except OSError:
        return False
    return not (here == target or here.startswith(target.rstrip(b"/") + b"/"))


def _is_virtual(path: bytes) -> bool:
    """Whether a directory lies on a filesystem that the kernel makes up. Raises OSError."""
    fd = open_directory(path)
    try:
        return bool(virtual_type(fd))
    finally:
        os.close(fd)
