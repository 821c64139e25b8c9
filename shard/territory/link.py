"""One link that is followed, and what decides where it leads. It only looks."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from ..contract.files.paths import join
from ..disk.disk import Disk
from ..tree.nodes import Node

#: The maximum number of links that the kernel follows on one path (path_resolution(7)).
_HOPS_MAX: Final = 40

#: (real path of a directory, name in it that decides; b"": the directory itself, where it is).
Way = frozenset[tuple[bytes, bytes]]


class Link:
    """A link in a directory of the tree: `name` in `node`."""

    __slots__ = ("_seen", "name", "node", "way")

    def __init__(self, node: Node, name: bytes) -> None:
        self.node = node
        self.name = name
        #: As it is watched.
        self.way: Way = frozenset()
        #: A hash of what it led to when this was last checked.
        self._seen = 0

    def take_way(self, way: Way) -> None:
        self.way = way

    def leads_elsewhere(self, seen: int) -> bool:
        """Whether what it leads to, of which this is a hash, is something else than when this was last asked."""
        before, self._seen = self._seen, seen
        return seen != before


def way_of(disk: Disk, directory: bytes, name: bytes) -> Way:
    """What decides where the link `name` in the directory at this real path leads, as it is now.

    That is each link on the way, in its directory; each directory on the way, and the one that it leads to; the last name, of a
    file. Where the way ends because a name is missing or can't be looked at: that name.
    """
    way: list[tuple[bytes, bytes]] = []
    here, left, hops = directory, [name], 0
    while left:
        part = left.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            here = os.path.dirname(here)
            continue
        path = join(here, part)
        try:
            target = disk.link_target(path)
        except OSError as error:
            if error.errno == errno.EINVAL and _is_directory(disk, path):
                way.append((path, b""))
                here = path
                continue
            way.append((here, part))
            break
        hops += 1
        if hops > _HOPS_MAX:
            break
        if hops > 1:  # the link itself is in the tree
            way.append((here, part))
        if target.startswith(b"/"):
            here = b"/"
        left.extend(reversed(target.split(b"/")))
    return frozenset(way)


def _is_directory(disk: Disk, path: bytes) -> bool:
    try:
        return stat.S_ISDIR(disk.stat_path(path).st_mode)
    except OSError:
        return False
