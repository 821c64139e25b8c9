"""Names that appeared by a rename, until they are looked at.

The look also asks for the file's time of birth, which proves that it is the file that has disappeared elsewhere
(`identity.moved`). This costs one system call per file, so it is not done for other names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ..contract.files.packed import DIRECTORY, Seen, unpack
from ..disk.disk import Disk
from ..disk.reading import NAMES_AT_ONCE
from .nodes import Node

#: Names that are kept. Beyond this all are forgotten. A move is then reported as a deletion and a creation, which have the same
#: effect.
NAMES_MAX: Final = 10_000


class Renames:
    """Owned by one thread.

    Args:
        disk: tells when a file was made.
        on_progress: called again and again for a directory that was moved and has very many files.
    """

    def __init__(self, disk: Disk | None = None, on_progress: Callable[[], object] = lambda: None) -> None:
        self._disk = disk if disk is not None else Disk()
        self._on_progress = on_progress
        self._came: dict[Node, set[bytes]] = {}
        self._count = 0

    def add(self, came: Mapping[Node, set[bytes]]) -> None:
        for node, names in came.items():
            self._count += len(names)
            self._came.setdefault(node, set()).update(names)
        if self._count > NAMES_MAX:
            self._came.clear()
            self._count = 0

    def awaits(self, node: Node) -> bool:
        """Whether a name in this directory came by a rename and was not looked at yet."""
        return node in self._came

    def births(self, node: Node, fd: int, seen: Seen, looked: Iterable[bytes] | None = None) -> dict[bytes, int]:
        """When those names of `seen` in a directory, open at `fd`, were made that came by a rename, ns since 1970; only what is
        known.

        `looked`: the names that were looked at, None for all of the directory. They are forgotten here.
        """
        came = self._came.get(node) if self._came else None
        if came is None:
            return {}
        found = self.all_births(fd, seen.chosen([name in came for name in seen.names]))
        before = len(came)
        came.difference_update(list(came) if looked is None else looked)
        self._count -= before - len(came)
        if not came:
            del self._came[node]
        return found

    def all_births(self, fd: int, seen: Seen) -> dict[bytes, int]:
        """When these files in the directory open at `fd` were made, as far as the filesystem knows and tells them apart. For a
        directory that came by a rename itself.
        """
        found = {}
        for count, (name, (ino, *_, kind, _)) in enumerate(zip(seen.names, unpack(seen.stats), strict=True), 1):
            birth = self._disk.birth_ns(name, ino, fd) if kind != DIRECTORY and ino else 0
            if birth > 0:
                found[name] = birth
            if count % NAMES_AT_ONCE == 0:
                self._on_progress()
        return found
