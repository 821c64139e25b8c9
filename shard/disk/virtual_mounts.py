"""Where filesystems that the kernel makes up (`virtual`) are mounted inside the trees: nobody looks at what is in them.

The table of mounts says where that may be, so an ordinary tree costs no system call. What it says of a path is confirmed by the
filesystem that is found there (statfs), because another mount may cover it; asked once for each table and path.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from ..contract.files.paths import is_below, join
from ..contract.kernel.mounts import UNSEEN, holder, is_made_up
from .virtual import virtual_type_at

log = logging.getLogger("shardwatch.shard")

#: Paths of which it is remembered that the log has named them. Mounts beyond that are named again whenever they are met.
_TOLD_MAX: Final = 1_000


class MountTable(Protocol):
    """The table of mounts."""

    @property
    def version(self) -> int:
        """Another number for each other table."""
        ...

    def all(self) -> Sequence[tuple[bytes, str]]:
        """(mount point, type of the filesystem), in the order of mounting."""
        ...


class StillTable:
    """A table that was read once."""

    version = 0

    def __init__(self, mounts: Iterable[tuple[bytes, str]]) -> None:
        self._mounts = list(mounts)

    def all(self) -> Sequence[tuple[bytes, str]]:
        return self._mounts


class VirtualMounts:
    """Owned by one thread.

    Args:
        table: None: nothing is known of any mount.
        tops: the directories below which this is asked: roots, or anchors. A top that lies on such a filesystem itself was asked
            for, so it does not count here (but see `over`).
        kind_at: `virtual.virtual_type_at`; it is asked of nothing but such paths.
    """

    def __init__(
        self, table: MountTable | None, tops: Iterable[bytes], kind_at: Callable[[bytes], str | None] = virtual_type_at
    ) -> None:
        self._table = table
        self._tops = list(tops)
        self._kind_at = kind_at
        self._version = -1
        self._all: Sequence[tuple[bytes, str]] = ()
        self._none = True
        #: Points at which such a filesystem seems to be mounted, and the directories in which these are names.
        self._points: frozenset[bytes] = frozenset()
        self._above: frozenset[bytes] = frozenset()
        #: The points, and the tops at which such a filesystem seems to be mounted.
        self._made_up: frozenset[bytes] = frozenset()
        #: What is there, as far as it was asked since the table was read.
        self._kinds: dict[bytes, str] = {}
        self._passed: dict[bytes, None] = {}
        self._told: dict[bytes, None] = {}

    def keep_to(self, tops: Iterable[bytes]) -> None:
        """Other tops count from now on."""
        self._tops = list(tops)
        self._version = -1

    @property
    def none(self) -> bool:
        """Whether there is no such mount at all."""
        if self._table is not None and self._version != self._table.version:
            self._refresh(self._table)
        return self._none

    def _refresh(self, table: MountTable) -> None:
        self._version = table.version
        self._all = table.all()
        on_top = dict(self._all)  # of several on one point the last
        made_up = {point: kind for point, kind in on_top.items() if is_made_up(kind) and self._counts(point)}
        self._none = not made_up
        self._points = frozenset(point for point, kind in made_up.items() if kind in UNSEEN or point not in self._tops)
        self._above = frozenset(map(os.path.dirname, self._points))
        self._kinds.clear()
        self._made_up = frozenset(made_up)
        self._passed = {path: None for path in self._passed if path in self._made_up}

    def _counts(self, point: bytes) -> bool:
        return any(is_below(point, top) or is_below(top, point) for top in self._tops)

    def among(self, directory: bytes) -> bool:
        """Whether such a filesystem seems to be mounted at a name in a directory."""
        return not self.none and directory in self._above

    def at(self, path: bytes) -> str:
        """The type of the filesystem that the kernel makes up and that is mounted at a path; "" for none. Never raises."""
        return "" if self.none or path not in self._points else self._kind(path)

    def over(self, path: bytes, root: bytes) -> str:
        """The type of such a filesystem, on which a top lies although that was not asked for; "" for none. Never raises.

        It is mounted at the top or above it, and below the root of the top; or it is one on which no root may lie.
        """
        if self.none:
            return ""
        point, kind = holder(path, self._all)
        if not is_made_up(kind) or not (kind in UNSEEN or _inside(point, root)):
            return ""
        return self._kind(path)

    def _kind(self, path: bytes) -> str:
        known = self._kinds.get(path)
        if known is None:
            known = self._kind_at(path)
            if known is None:
                return ""  # whoever opens the path meets the same error
            self._kinds[path] = known
        return known

    def all_below(self) -> list[bytes]:
        """All paths below the tops at which such a filesystem is mounted, sorted; also those in directories that are left out."""
        below = [] if self.none else sorted(path for path in self._points if any(_inside(path, top) for top in self._tops))
        return [path for path in below if self._kind(path)]

    def others(self, directory: bytes, names: list[bytes]) -> list[bytes]:
        """Those of `names` in a directory at which no such filesystem is mounted (`mount --bind /proc/stat FILE`)."""
        if not self.among(directory):
            return names
        return [name for name in names if not self.at(join(directory, name))]

    # -- what was passed over

    def begin_epoch(self) -> None:
        """From now on, whatever is passed over is said anew."""
        self._passed.clear()

    def passed(self, path: bytes) -> None:
        """Nobody looks at what is at this path, which has been said. The log names each path once. A top that lies below the
        mount point is no mount of its own, so nobody is told of it but the log."""
        if path in self._made_up:
            self._passed[path] = None
        if path not in self._told:
            if len(self._told) >= _TOLD_MAX:
                self._told.clear()
            self._told[path] = None
            log.info("%s is not watched: the kernel makes up what is there (%s)", os.fsdecode(path), self._kind(path))

    def unsaid(self, directory: bytes, names: list[bytes]) -> list[bytes]:
        """Those of `names` in a directory of which it was not said yet that nobody looks at what is there."""
        if not self.among(directory):
            return names
        return [name for name in names if not ((path := join(directory, name)) in self._passed and self.at(path))]

    def all_passed(self) -> list[bytes]:
        """The paths that were passed over and that nobody looks at now, in the order of meeting them."""
        return [] if self.none else [path for path in self._passed if self._kind(path)]


def _inside(path: bytes, directory: bytes) -> bool:
    """Whether a path lies below a directory, and is another one."""
    return path != directory and is_below(path, directory)
