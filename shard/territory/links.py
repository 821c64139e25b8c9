"""Links that are followed: what decides where each of them leads, and when it has to be looked at again.

Links are edges of a graph. The target of a link is known under the name of the link, like any other file or directory.
A target directory is watched once, however many names it has (`Backend.watch`). Where a link leads is decided by every
name on its way: by other links, by the directories, and by the last name itself. The directories that contain these
names are *waypoints*. They are watched as well, and a hint about one of these names is a hint about the link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from ..backend.base import Backend, Hints
from ..contract.files.paths import Nearest, join
from ..contract.limits import LINKED_MAX, WAYS_MAX
from ..disk.disk import Disk
from ..disk.look import Reader
from ..disk.reading import NAMES_AT_ONCE
from ..disk.slow import SlowMounts
from ..tree.nodes import Node, Waypoint

#: The maximum number of links that the kernel follows on one path (path_resolution(7)).
_HOPS_MAX: Final = 40
#: How often a way is walked again because it changed while its watches were set.
_TRIES: Final = 4

#: (real path of a directory, name in it that decides; b"": the directory itself, where it is).
Way = frozenset[tuple[bytes, bytes]]


class Link:
    """A link in a directory of the tree: `name` in `node`."""

    __slots__ = ("name", "node", "seen", "way")

    def __init__(self, node: Node, name: bytes) -> None:
        self.node = node
        self.name = name
        self.way: Way = frozenset()
        #: A hash of what it led to when this was last checked.
        self.seen = 0


class Links:
    """All links of one shard. Owned by one thread."""

    def __init__(self, backend: Backend, reader: Reader, slow: SlowMounts) -> None:
        self._backend = backend
        self._reader = reader
        self._disk = reader.disk
        self._slow = slow
        self._links: dict[Node, dict[bytes, Link]] = {}
        self._waypoints: dict[tuple[bytes, bool], Waypoint] = {}
        #: Links with a part of their way that can't be watched.
        self._unwatched: set[Link] = set()
        #: For each directory (dev, ino): the number of paths with two or more links by which it is known.
        self._ways: Counter[tuple[int, int]] = Counter()
        #: Links that are not followed because of a bound.
        self._left_out: dict[tuple[Node, bytes], None] = {}
        #: Directories that links lead to, and into which nobody looks, because the kernel makes them up: name -> type of the
        #: filesystem, by the directory in which they are known.
        self._virtual: dict[Node, dict[bytes, str]] = {}
        #: The number of directories whose paths contain a link.
        self.directories = 0
        #: Whether there may be room now for links that were left out.
        self.freed = False

    # -- what links there are

    def meet(self, node: Node, fd: int, relative: bytes, names: Iterable[bytes] | None = None) -> None:
        """Knows the links among `names` in the directory open at `fd` (all there are, where None), and watches their ways. To be
        called before these names are looked at.

        Raises OSError where the directory can't be read, and Unanswered where one of them leads to a filesystem that does not
        answer: nothing can be said of these names then.
        """
        known = self._links.get(node, {})
        if names is None:
            with self._disk.entries(fd) as items:
                found = list(self._links_among(items))
            gone = known.keys() - set(found)
        else:
            found, gone = [], set()
            for name in names:
                (found.append if self._is_link(name, fd) else gone.add)(name)
        for name in gone & known.keys():
            self._drop(known.pop(name))
        if not self._slow.none:
            for name in found:
                self._slow.guard(join(node.path(), name))
        found = self._relevant(node, fd, relative, found)
        if not found:
            if not known:
                self._links.pop(node, None)
            return
        real = self._disk.path_of(fd)
        known = self._links.setdefault(node, known)
        for name in found:
            if name not in known:
                known[name] = Link(node, name)
            self._watch(known[name], real)
            self._reader.on_progress()

    def _links_among(self, items: Iterable[os.DirEntry[str]]) -> Iterator[bytes]:
        for count, item in enumerate(items, 1):
            if item.is_symlink():
                yield os.fsencode(item.name)
            if count % NAMES_AT_ONCE == 0:
                self._reader.on_progress()

    def _relevant(self, node: Node, fd: int, relative: bytes, names: list[bytes]) -> list[bytes]:
        """The links that are in scope as files, and those that may lead to a directory in scope."""
        path, enters = node.path(), self._reader.enters
        kept = set(self._reader.kept(path, relative, names))
        return [n for n in names if n in kept or (enters(path, relative, n) and not self._leads_to_a_file(n, fd))]

    def _is_link(self, name: bytes, fd: int) -> bool:
        try:
            return stat.S_ISLNK(self._disk.stat(name, fd).st_mode)
        except OSError:
            return False

    def _leads_to_a_file(self, name: bytes, fd: int) -> bool:
        try:
            return not stat.S_ISDIR(self._disk.stat_target(name, fd).st_mode)
        except OSError:
            return False

    def has(self, node: Node, name: bytes) -> bool:
        return name in self._links.get(node, ())

    def forget(self, dead: Iterable[Node]) -> None:
        """Forgets the links in nodes that were cut from the tree."""
        for node in dead:
            self._virtual.pop(node, None)
            for link in self._links.pop(node, {}).values():
                self._drop(link)
            if links := node.links():
                self.directories -= 1
                self.freed = self.freed or bool(self._left_out)
                if links > 1 and node.linked is not None:
                    self._ways[node.linked] -= 1

    def _drop(self, link: Link) -> None:
        self._leave(link, link.way)
        link.way = frozenset()
        self._unwatched.discard(link)
        self._left_out.pop((link.node, link.name), None)

    # -- where they lead

    def _watch(self, link: Link, directory: bytes) -> None:
        """Watches the way of a link in the directory at this real path, as it is now: walked once more after it is watched, so
        that a change in between is seen."""
        if link in self._unwatched:
            self._leave(link, link.way)
            link.way = frozenset()
        for _ in range(_TRIES):
            way = way_of(self._disk, directory, link.name)
            if way == link.way:
                return
            fresh = way - link.way
            self._leave(link, link.way - way)
            link.way = way
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
                self._add(hints, link)
        if moved:
            # All links whose ways passed them must be resolved again, and what lies below their paths has gone with them.
            gone = Nearest([waypoint.name for waypoint in moved])
            for waypoint in [one for one in self._waypoints.values() if gone.of(one.name) is not None]:
                for name in list(waypoint.interest):
                    for link in self._astray(waypoint, name):
                        self._add(hints, link)
        if hints.overflow:
            self._forget_ways()

    def _forget_ways(self) -> None:
        """Hints were lost: any directory on a way may be another one by now, which has no watch. The rescan that follows walks
        all ways again."""
        self._backend.forget(list(self._waypoints.values()))
        self._waypoints.clear()
        for links in self._links.values():
            for link in links.values():
                link.way = frozenset()

    def _add(self, hints: Hints, link: Link) -> None:
        hints.names.setdefault(link.node, set()).add(link.name)

    def over(self, points: Iterable[bytes]) -> set[tuple[Node, bytes]]:
        """The links whose ways pass one of these mount points. They must be resolved again, because mounting raises no hint."""
        found: set[tuple[Node, bytes]] = set()
        for waypoint in list(self._waypoints.values()):
            for name in list(waypoint.interest):
                at = join(waypoint.name, name) if name else waypoint.name
                if any(at == point or at.startswith(point + b"/") for point in points):
                    found.update((link.node, link.name) for link in self._astray(waypoint, name))
        return found

    def _astray(self, waypoint: Waypoint, name: bytes) -> list[Link]:
        """Takes out the links whose ways passed this name of a waypoint."""
        links = list(waypoint.interest[name])
        for link in links:
            self._leave(link, [(waypoint.name, name)])
            link.way -= {(waypoint.name, name)}
        return links

    def changed(self, *, unwatched: bool = False) -> Iterator[tuple[Node, set[bytes]]]:
        """Links that lead to something else than when this was last asked, by directory; `unwatched`: of those only whose way
        can't be watched. Those that were left out are always among the others."""
        for node, links in list(self._links.items()):
            some = [link for link in links.values() if not unwatched or link in self._unwatched]
            if not some or not node.alive:
                continue
            try:
                fd = self._slow.open(node.path())
            except OSError:
                continue  # the change that caused this has its own hint
            found = {link.name for link in some if self._answers(link) and self._is_other(link, fd)}
            os.close(fd)
            if found:
                yield node, found

    def _answers(self, link: Link) -> bool:
        """Whether the link may be followed without waiting for a filesystem that does not answer."""
        try:
            self._slow.guard(join(link.node.path(), link.name))
        except OSError:
            return False
        return True

    def _is_other(self, link: Link, fd: int) -> bool:
        seen = 1  # it leads nowhere
        with contextlib.suppress(OSError):
            st = self._disk.stat_target(link.name, fd)
            directory = stat.S_ISDIR(st.st_mode)
            seen = hash((st.st_dev, st.st_ino, *(() if directory else (st.st_size, st.st_mtime_ns, st.st_ctime_ns))))
        before, link.seen = link.seen, seen
        return seen != before or (link.node, link.name) in self._left_out

    @property
    def unwatched(self) -> int:
        """The number of links that have to be checked in every sweep."""
        return len(self._unwatched)

    # -- bounds

    def admits(self, node: Node, name: bytes, target: tuple[int, int]) -> bool:
        """Whether the bounds allow that the link `name` in `node`, which leads to the directory `target`, is followed."""
        child = node.child(name)
        known = child is not None and child.linked == target
        room = self.directories < LINKED_MAX and (node.links() == 0 or self._ways[target] < WAYS_MAX)
        if known or room:
            self._left_out.pop((node, name), None)
            return True
        self._left_out[node, name] = None
        return False

    def entered(self, node: Node) -> None:
        """Counts a node that was made."""
        links = node.links()
        self.directories += links > 0
        if links > 1 and node.linked is not None:
            self._ways[node.linked] += 1

    def is_barred(self, node: Node, fd: int, path: bytes) -> bool:
        """Whether nobody looks into the directory of a node, open at `fd` by this path, because links lead to it and the kernel
        makes up what is in it (`disk.virtual`). Notes it for `barred`. Raises OSError.
        """
        kind = self._reader.filesystems.virtual_type(fd)
        if kind and self._disk.path_of(fd) == path:
            kind = ""
        if node.parent is not None:
            if kind:
                self._virtual.setdefault(node.parent, {})[node.name] = kind
            else:
                self.unbar(node.parent, node.name)
        return bool(kind)

    def unbar(self, node: Node, name: bytes) -> None:
        """There is no directory of this name any more that is not entered, for whatever reason. Idempotent."""
        self._left_out.pop((node, name), None)
        names = self._virtual.get(node)
        if names is not None and names.pop(name, None) is not None and not names:
            del self._virtual[node]

    def unbar_others(self, node: Node, names: Iterable[bytes]) -> None:
        """There are only these directories in the directory of a node. Idempotent."""
        for name in self._virtual.get(node, {}).keys() - set(names):
            self.unbar(node, name)

    def barred(self) -> list[tuple[bytes, str]]:
        """(path, type of the filesystem) of the directories into which nobody looks (`is_barred`)."""
        return [(join(node.path(), name), kind) for node, names in self._virtual.items() for name, kind in names.items()]

    def retry(self) -> list[tuple[Node, bytes]]:
        """Takes out the links that were left out because of a bound, in order to try them again."""
        self.freed = False
        return list(self._left_out)

    def left_out(self) -> tuple[int, bytes]:
        """The number of links that are not followed because of a bound, and the path of one of them."""
        first = next(((node, name) for node, name in self._left_out if node.alive), None)
        return (len(self._left_out), join(first[0].path(), first[1])) if first is not None else (0, b"")


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
