"""Files that are mounted over others (`mount --bind FILE FILE`).

Their events concern the directory in which they really lie, which may be anywhere. So their stat is compared at every
look at the table of mounts, and at every sync.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Final

from ..contract.files.identity import racy
from ..tree.nodes import Node
from .place import Place
from .territory import Territory

#: How many files are compared. Changes in further ones are found by the verification.
FILES_MAX: Final = 1_000


class MountedFiles:
    """Owned by one thread."""

    def __init__(self, territory: Territory) -> None:
        self._territory = territory
        self._seen: dict[bytes, tuple[int, ...]] = {}
        #: The mount points and the anchors of the last call, and those points that lie below an anchor: (point, directory, name,
        #: place). Mostly there are none, and another table of mounts comes as another set.
        self._points: Collection[bytes] = ()
        self._places: list[Place] = []
        self._inside: list[tuple[bytes, bytes, bytes, Place]] = []

    def changed(self, points: Collection[bytes]) -> list[tuple[Node, bytes]]:
        """The names (node of the directory, name) at these mount points whose stat has changed since the last call.

        `points`: not changed afterwards; another set if they are others.
        """
        if points is not self._points or self._places != self._territory.places:
            self._points, self._places = points, list(self._territory.places)
            self._inside = list(self._below_anchors(points))
        found: list[tuple[Node, bytes]] = []
        seen: dict[bytes, tuple[int, ...]] = {}
        for point, node, name in self._ours():
            if self._territory.slow.silent(os.path.dirname(point), [name]):
                if not self._territory.doubts.holds(point):
                    found.append((node, name))  # a look says so, and nothing is asked before it answers
                continue
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

    def _below_anchors(self, points: Collection[bytes]) -> Iterator[tuple[bytes, bytes, bytes, Place]]:
        for point in points:
            if point == b"/":
                continue  # the root of all, which is no name in any directory
            above, name = os.path.split(point)
            for place in self._territory.places:
                if place.covers(above):
                    yield point, above, name, place

    def _ours(self) -> Iterator[tuple[bytes, Node, bytes]]:
        """The mount points that are names of files in known directories. What may be a directory is not touched, because its
        filesystem may hang.
        """
        for point, above, name, place in self._inside:
            node = place.find(above)
            if node is None or node.child(name) is not None:
                continue
            if self._territory.virtual.at(point):
                continue  # nobody looks at it
            if self._territory.reader.kept(above, place.relative(above), [name]):
                yield point, node, name
