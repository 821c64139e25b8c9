"""The directories that a shard knows, and how each of them is observed: it has a watch, or else it is swept."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Final

from ..backend.base import Backend
from ..backend.share import refusals_of
from ..disk.look import Reader
from ..disk.slow import SlowMounts
from ..tree.activity import Activity
from ..tree.nodes import Node
from .doubts import Doubts
from .links import Links
from .place import Place, Places
from .recall import Recall
from .room import Room
from .swept import Swept

#: errno of inotify_add_watch(2) when a limit is reached. The directory is then swept.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})


class Directories:
    """Owned by one thread. Everything that is added to or removed from the tree passes through here."""

    def __init__(
        self,
        places: Places,
        backend: Backend,
        reader: Reader,
        slow: SlowMounts,
        links: Links,
        doubts: Doubts,
        clock: Callable[[], int],
    ) -> None:
        self._places = places
        self._polls = False
        self.assigned()
        self._backend = backend
        self._disk = reader.disk
        self._follow = reader.follow
        self._ignores = reader.ignores
        self._slow = slow
        self._links = links
        self._doubts = doubts
        self._count = 0
        self.swept = Swept(clock)
        self.recall = Recall()
        self.room = Room(clock)
        self._refuses_all = refusals_of(backend)
        self.activity = Activity(self._watched)

    def __len__(self) -> int:
        """The number of directories, including those that links lead to."""
        return self._count

    def assigned(self) -> None:
        """There are other places now."""
        self._polls = any(place.polled for place in self._places)

    def plant(self, place: Place) -> Node:
        """The node of an anchor, which is made if there is none. It is not registered yet."""
        if place.node is None:
            self._count += 1
            return place.plant()
        return place.node

    def uproot(self, place: Place) -> None:
        """Cuts the whole tree of an anchor."""
        if place.node is not None:
            self.cut(place.node)
            place.uproot()

    def promote(self, place: Place, node: Node, fd: int) -> bool:
        """The directory of a node, which is open at `fd`, becomes that of an anchor which has none yet, with everything below it,
        and all of it is watched all the time. Returns False if that can't be done: then nothing has changed.
        """
        if self.swept or self._ignores is not None or self._follow or node.wd < 0:
            return False  # more than the watches would have to be taken along
        top = self.plant(place)
        try:
            self.register(fd, top)
        except OSError:
            self.uproot(place)
            return False
        if top.wd != node.wd or not node.alive:
            self.uproot(place)
            return False
        top.take_children(node)
        self.cut(node)
        return True

    def report_anew(self, place: Place) -> None:
        """The next listings of the directories of an anchor are reported, also those that are swept and have not changed."""
        if place.node is not None and self.swept.of_anchor(place.index):
            for node in place.node.subtree():
                self.swept.report_names(node)

    def enter(self, parent: Node, name: bytes, fd: int, target: tuple[int, int] | None = None) -> Node:
        """Returns the node of the directory open at `fd`, which has that name in `parent`. The node is registered.

        `target`: the identity of the directory, if a link leads to it. Raises OSError if it can't be watched or read.
        """
        child = parent.child(name)
        if child is not None and child.linked != target:
            self.cut(child)
            child = None
        if child is not None:
            if child.wd < 0:
                self.register(fd, child)
                return child
            if self._backend.same(fd, child):
                if not self._slow.none and self._is_remote(fd, child):  # what is mounted there was not in the table then
                    self._backend.forget([child])
                    self.swept.add(child)
                return child
            self.cut(child)
        child = parent.adopt(name, target)
        self._count += 1
        if self._follow:
            self._links.bounds.entered(child)
        try:
            self.register(fd, child)
        except OSError:
            self.cut(child)
            raise
        return child

    def instance_below(self, parent: Node, count: int) -> tuple[int, int]:
        """`Backend.instance_for` so many directories in `parent`; (-1, 0) where one may have to be observed in another way."""
        if self.swept or not self.room.open or not self._slow.none or self._is_polled(parent):
            return -1, 0
        return self._backend.instance_for(count)

    def hold(self, parent: Node, name: bytes, watch: int) -> Node | None:
        """The node of a directory that has this watch in that instance, and that name in `parent`. None, and nothing is done, if
        something else is known of the name, or of the directory: then it has to be opened, for `enter`.
        """
        child = parent.child(name)
        if child is not None:
            return child if child.wd == watch and child.linked is None else None
        child = parent.adopt(name)
        if not self._backend.hold(watch, child):
            child.cut()
            return None
        self._count += 1
        return child

    def register(self, fd: int, node: Node) -> None:
        """Watches the directory open at `fd`, before it is listed. If no watch is left, the directory is swept; also if there was
        none just now (`room`).

        Raises OSError if neither is possible.
        """
        if node.wd >= 0:
            return
        if self._is_polled(node) or (not self._slow.none and self._is_remote(fd, node)):
            self.swept.add(node)
            return
        if not self.room.open:
            self.swept.add(node, wanting=True)
            return
        try:
            other = self._backend.watch(fd, node)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._doubts.no_watch(error)
            if self._refuses_all():
                self.room.refused()
            self.swept.add(node, wanting=True)
            return
        if self.swept:
            self.sweep_no_more(node)
        if other is not None and not self._disk.leads_to(other.path(), fd, follow=self._follow):
            self.cut(other)

    def _is_polled(self, node: Node) -> bool:
        return self._polls and self._places.numbered(node.anchor).polled

    def _is_remote(self, fd: int, node: Node) -> bool:
        return self._slow.remote(self._disk.path_of(fd) if self._follow else node.path())

    def cut(self, node: Node) -> None:
        """Removes a directory and everything below it from the tree. None of it is observed any more."""
        dead = node.cut()
        self._backend.forget(dead)
        self.room.freed()
        if self._ignores is not None:
            self._ignores.forget(map(Node.path, dead))
        if self._follow:
            self._links.forget(dead)
        self._count -= len(dead)
        if self.swept:
            for one in dead:
                self.sweep_no_more(one)

    def cut_others(self, node: Node, there: list[bytes]) -> None:
        """Cuts the children whose names are not among these."""
        if node.children:
            names = set(there)
            for child in [child for child in node.each_child() if child.name not in names]:
                self.cut(child)

    def give_up_watch(self, node: Node) -> None:
        """Sweeps a watched directory from now on, so that another one can have its watch. The caller looks at it then: hints that
        were on their way are lost."""
        self.swept.add(node, wanting=True)
        self._backend.forget([node])
        self.room.freed()

    def _watched(self) -> Iterator[Node]:
        for place in self._places:
            if place.node is not None:
                yield from (node for node in place.node.subtree() if node.wd >= 0)

    def sweep_no_more(self, node: Node) -> None:
        """A directory has a watch, or is gone. Idempotent."""
        self.swept.remove(node)
        self.recall.forget(node)

    def is_watched(self, fd: int, node: Node) -> bool:
        """Whether the directory open at `fd` is the one that is watched for `node`."""
        return self._backend.same(fd, node)

    def instance(self, node: Node) -> int:
        """As `Backend.instance`."""
        return self._backend.instance(node)

    def give_back(self, watch: int) -> None:
        """As `Backend.give_back`."""
        self._backend.give_back(watch)

    def is_other(self, fd: int, node: Node) -> bool:
        """Whether a directory is watched for `node`, and another one is open at `fd`."""
        return node.wd >= 0 and not self._backend.same(fd, node)
