"""The ways of links: what decides where each of them leads, and the watches there.

Where a link leads is decided by every name on its way: by other links, by the directories, and by the last name itself. The
directories that contain these names are *waypoints*. They are watched, and a hint about one of these names is a hint about
the link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from ..backend.base import Backend, Hints
from ..contract.files.paths import Nearest, join
from ..disk.disk import Disk
from ..disk.slow import SlowMounts
from ..tree.nodes import Node, Waypoint
from .link import Link, way_of

#: How often a way is walked again because it changed while its watches were set.
_TRIES: Final = 4


class Ways:
    """The ways of all links of one shard. Owned by one thread."""

    def __init__(self, backend: Backend, disk: Disk, slow: SlowMounts) -> None:
        self._backend = backend
        self._disk = disk
        self._slow = slow
        self._waypoints: dict[tuple[bytes, bool], Waypoint] = {}
        #: Links with a part of their way that can't be watched.
        self._unwatched: set[Link] = set()

    @property
    def unwatched(self) -> int:
        """The number of links that have to be checked in every sweep."""
        return len(self._unwatched)

    def is_unwatched(self, link: Link) -> bool:
        """Whether a part of its way can't be watched."""
        return link in self._unwatched

    def watch(self, link: Link, directory: bytes) -> None:
        """Watches the way of a link in the directory at this real path, as it is now: walked once more after it is watched, so
        that a change in between is seen."""
        if link in self._unwatched:
            self._leave_all(link)
        for _ in range(_TRIES):
            way = way_of(self._disk, directory, link.name)
            if way == link.way:
                return
            fresh = way - link.way
            self._leave(link, link.way - way)
            link.take_way(way)
            taken = [self._take(link, path, name) for path, name in fresh]
            if not all(taken):
                break
            self._unwatched.discard(link)
        self._unwatched.add(link)

    def _take(self, link: Link, path: bytes, name: bytes) -> bool:
        """Watches a waypoint. Returns whether this was possible."""
        waypoint = self._waypoints.get((path, bool(name)))
        if waypoint is None:
            waypoint = Waypoint(path)
        waypoint.interest.setdefault(name, set()).add(link)
        self._waypoints[path, bool(name)] = waypoint
        if self._slow.remote(path):
            return False  # a watch there does not report changes that are made on other machines
        if waypoint.wd >= 0:
            return True
        try:
            fd = self._disk.open_to_watch(path)
        except OSError:
            return False
        try:
            self._backend.watch(fd, waypoint, names=bool(name))
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def leave(self, link: Link) -> None:
        """The link is not followed any more."""
        self._leave_all(link)
        self._unwatched.discard(link)

    def _leave_all(self, link: Link) -> None:
        self._leave(link, link.way)
        link.take_way(frozenset())

    def _leave(self, link: Link, steps: Iterable[tuple[bytes, bytes]]) -> None:
        for path, name in steps:
            waypoint = self._waypoints.get((path, bool(name)))
            interested = waypoint.interest.get(name) if waypoint is not None else None
            if waypoint is None or interested is None:
                continue
            interested.discard(link)
            if not interested:
                del waypoint.interest[name]
            if not waypoint.interest:
                del self._waypoints[path, bool(name)]
                self._backend.forget([waypoint])

    def translate(self, hints: Hints) -> None:
        """Translates hints about waypoints into hints about the links whose ways pass them."""
        if not self._waypoints:
            return
        by_name = [(node, name) for node, names in hints.names.items() if isinstance(node, Waypoint) for name in names]
        by_name += [(node, name) for node, name in hints.directories if isinstance(node, Waypoint)]
        moved = [node for node in hints.selves if isinstance(node, Waypoint)]
        hints.selves = [node for node in hints.selves if not isinstance(node, Waypoint)]
        for waypoint, name in by_name:
            hints.names.pop(waypoint, None)
            hints.directories.pop((waypoint, name), None)
            for link in waypoint.interest.get(name, ()):
                _add(hints, link)
        if moved:
            # All links whose ways passed them must be resolved again, and what lies below their paths has gone with them.
            gone = Nearest([waypoint.name for waypoint in moved])
            for waypoint in [one for one in self._waypoints.values() if gone.of(one.name) is not None]:
                for name in list(waypoint.interest):
                    for link in self._astray(waypoint, name):
                        _add(hints, link)
        if hints.overflow:
            self._forget_all()

    def _forget_all(self) -> None:
        """Hints were lost: any directory on a way may be another one by now, which has no watch. The rescan that follows walks
        all ways again."""
        self._backend.forget(list(self._waypoints.values()))
        for waypoint in self._waypoints.values():
            for links in waypoint.interest.values():
                for link in links:
                    link.take_way(frozenset())
        self._waypoints.clear()

    def over(self, points: Iterable[bytes]) -> set[tuple[Node, bytes]]:
        """The links whose ways pass one of these mount points. They must be resolved again, because mounting raises no hint."""
        found: set[tuple[Node, bytes]] = set()
        for waypoint in list(self._waypoints.values()):
            for name in list(waypoint.interest):
                at = join(waypoint.name, name) if name else waypoint.name
                if any(at == point or at.startswith(point + b"/") for point in points):
                    found.update((link.node, link.name) for link in self._astray(waypoint, name))
        return found

    def inside(self, points: Iterable[bytes]) -> Iterator[tuple[Node, bytes]]:
        """The names (directory, name) at which one of these mount points lies in what a link leads to. Its path is none in the
        tree, so it does not show elsewhere."""
        for point in points:
            above, name = os.path.split(point)
            top = above if name else b"/"
            while top != b"/":
                waypoint = self._waypoints.get((top, False))
                links = waypoint.interest.get(b"", ()) if waypoint is not None else ()
                identity = self._identity(top) if links else None
                for link in links:
                    child = link.node.child(link.name)
                    if child is None or identity is None or child.linked != identity:
                        continue  # it passes there, on its way to something else
                    node = child.find(above[len(top) + 1 :])
                    if node is not None:
                        yield node, name
                top = os.path.dirname(top)

    def _identity(self, path: bytes) -> tuple[int, int] | None:
        """Of the directory at a real path; None where that can't be found out now."""
        try:
            self._slow.guard(path)
            found = self._disk.stat_path(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _astray(self, waypoint: Waypoint, name: bytes) -> list[Link]:
        """Takes out the links whose ways passed this name of a waypoint."""
        links = list(waypoint.interest[name])
        for link in links:
            self._leave(link, [(waypoint.name, name)])
            link.take_way(link.way - {(waypoint.name, name)})
        return links


def _add(hints: Hints, link: Link) -> None:
    hints.names.setdefault(link.node, set()).add(link.name)
