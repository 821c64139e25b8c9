"""The names in a directory without a watch, kept from one look to the next: as long as the directory's own stat is the same,
no name in it was added, removed or renamed. Then its files are looked at without listing it again. Does no input or output.
"""

from __future__ import annotations

import os
from typing import Final

from ..contract.files.identity import racy
from ..contract.files.packed import DIRECTORY, Seen, kinds
from ..tree.nodes import Node

#: Names of all directories of a shard that are kept, bytes. Directories beyond are listed at each look.
KEPT_BYTES_MAX: Final = 8 << 20
#: So many looks in a row rely on the directory's own stat; then it is listed all the same.
RELIED_ON_MAX: Final = 9

#: (files, directories).
Names = tuple[list[bytes], list[bytes]]


class _Kept:
    """The names of one directory, separated by NUL."""

    __slots__ = ("directories", "files", "looks", "stamp")

    def __init__(self, stamp: int, files: bytes, directories: bytes) -> None:
        self.stamp = stamp
        self.files = files
        self.directories = directories
        self.looks = 0

    def __len__(self) -> int:
        return len(self.files) + len(self.directories)


class Recall:
    """The names of one shard's directories. Owned by one thread."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: dict[Node, _Kept] = {}
        self._bytes = 0

    def __contains__(self, node: Node) -> bool:
        """Whether the names of a directory are kept."""
        return node in self._kept

    def names(self, node: Node, stamp: int) -> Names | None:
        """The names that are kept of a directory whose stat has this stamp (`stamp_of`); None: it has to be listed."""
        kept = self._kept.get(node)
        if kept is None or not stamp or kept.stamp != stamp or kept.looks >= RELIED_ON_MAX:
            return None
        kept.looks += 1
        return _apart(kept.files), _apart(kept.directories)

    def keep(self, node: Node, stamp: int, seen: Seen, directories: list[bytes]) -> None:
        """Keeps the names that a listing has shown, if there is room. `stamp`: of the directory's stat before it was listed."""
        self.forget(node)
        if not stamp:
            return
        files = b"\0".join([name for name, kind in zip(seen.names, kinds(seen.stats), strict=True) if kind != DIRECTORY])
        kept = _Kept(stamp, files, b"\0".join(directories))
        if self._bytes + len(kept) <= self._bytes_max:
            self._kept[node] = kept
            self._bytes += len(kept)

    def forget(self, node: Node) -> None:
        """Keeps nothing of a directory any more. Idempotent."""
        kept = self._kept.pop(node, None)
        if kept is not None:
            self._bytes -= len(kept)


def stamp_of(st: os.stat_result, coarse_ns: int) -> int:
    """What changes whenever a name is added to a directory, removed from it or renamed; 0 where that is not certain, because it
    was changed just before the clock showed `coarse_ns` (`racy`)."""
    if racy(st.st_ctime_ns, coarse_ns):
        return 0
    return hash((st.st_dev, st.st_ino, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink, st.st_size)) or 1


def _apart(names: bytes) -> list[bytes]:
    return names.split(b"\0") if names else []
