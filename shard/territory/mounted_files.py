"""Files that are mounted over others (`mount --bind FILE FILE`).

Their events concern the directory in which they really lie, which may be anywhere. So their stat is compared at every
look at the table of mounts, and at every sync.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from ..contract.files.identity import racy
from ..tree.nodes import Node
from .territory import Territory

#: How many files are compared. Changes in further ones are found by the verification.
FILES_MAX: Final = 1_000


class MountedFiles:
    """Owned by one thread."""

    def __init__(self, territory: Territory) -> None:
        self._territory = territory
        self._seen: dict[bytes, tuple[int, ...]] = {}

    def changed(self, points: Iterable[bytes]) -> list[tuple[Node, bytes]]:
        """The names (node of the directory, name) at these mount points whose stat has changed since the last call."""
        found: list[tuple[Node, bytes]] = []
        seen: dict[bytes, tuple[int, ...]] = {}
        for point, node, name in self._ours(points):
            try:
                st = self._territory.disk.stat_path(point)
            except OSError:
                continue  # that it is gone shows in the table of mounts
            seen[point] = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
            if seen[point] != self._seen.get(point) or racy(st.st_ctime_ns, self._territory.disk.coarse_ns()):
                found.append((node, name))
            if len(seen) >= FILES_MAX:
                break
        self._seen = seen
        return found

    def _ours(self, points: Iterable[bytes]) -> Iterator[tuple[bytes, Node, bytes]]:
        """The mount points that are names of files in known directories. What may be a directory is not touched, because its
        filesystem may hang.
        """
        for point in points:
            above, name = os.path.split(point)
            for place in self._territory.places:
                node = place.find(above)
                if node is not None and node.child(name) is None and self._territory.reader.kept(above, place.relative(above),
                [name]):
                    yield point, node, name
