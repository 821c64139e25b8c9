"""Which directories of the tree stand for each watch, and which of them comes first. Does no input or output."""

from __future__ import annotations

from typing import Protocol

from ..tree.nodes import Node, Waypoint
from .decoding import Names


class Slots(Protocol):
    """The first directory of each watch: a dictionary, or `watches.Watches`."""

    def get(self, wd: int, /) -> Node | None: ...
    def setdefault(self, wd: int, node: Node, /) -> Node: ...
    def __setitem__(self, wd: int, node: Node, /) -> None: ...
    def __delitem__(self, wd: int, /) -> None: ...


class Held:
    """Owned by one thread. A directory has one watch, and a node for each place at which it is known.

    Args:
        nodes: where the first node of each watch is kept; nobody else changes it.
    """

    def __init__(self, nodes: Slots) -> None:
        self._nodes = nodes
        #: Further places of the same directory (bind mounts, links): rare, so kept apart. In the order of coming.
        self._further: dict[int, dict[Node, None]] = {}

    def add(self, wd: int, node: Node) -> Node | None:
        """The node stands for this watch, too. Returns the living node of a tree that does so already, if there is one.
        Idempotent."""
        held = self._nodes.setdefault(wd, node)
        if held is node:
            return None
        if isinstance(held, Waypoint) and not isinstance(node, Waypoint):
            self._nodes[wd] = node  # who is in a tree comes first
            self._further.setdefault(wd, {})[held] = None
            return None
        self._further.setdefault(wd, {})[node] = None
        return None if isinstance(held, Waypoint) else held

    def remove(self, node: Node) -> int:
        """The node stands for no watch any more. Returns the number of its watch if it was the last one, -1 otherwise.
        Idempotent."""
        wd = node.wd
        if wd < 0:
            return -1
        node.wd = -1
        further = self._further.get(wd)
        if self._nodes.get(wd) is not node:
            if further and node in further:
                self._remove_further(wd, further, node)
            return -1
        if not further:
            del self._nodes[wd]
            return wd
        # Whoever is in a tree comes first.
        heir = next((place for place in further if not isinstance(place, Waypoint)), next(iter(further)))
        self._remove_further(wd, further, heir)
        self._nodes[wd] = heir
        return -1

    def _remove_further(self, wd: int, further: dict[Node, None], node: Node) -> None:
        del further[node]
        if not further:
            del self._further[wd]

    def places(self, wd: int) -> tuple[Node, ...]:
        """The nodes that stand for a watch."""
        node = self._nodes.get(wd)
        return () if node is None else (node, *self._further.get(wd, ()))

    def drop(self, wd: int) -> tuple[Node, ...]:
        """The watch is gone. Returns the nodes that stood for it, which are not watched any more."""
        places = self.places(wd)
        if places:
            del self._nodes[wd]
            self._further.pop(wd, None)
        for place in places:
            place.wd = -1
        return places

    def place(self, names: Names, into: dict[Node, set[bytes]]) -> None:
        """Names by watch become names by directory; those of watches that are gone by now are dropped. Takes over the sets."""
        for wd, some in names.items():
            node = self._nodes.get(wd)
            if node is None:
                continue
            some.discard(b"")
            if not some:
                continue
            for place in self._further.get(wd, ()) if self._further else ():
                into.setdefault(place, set()).update(some)
            held = into.setdefault(node, some)
            if held is not some:
                held |= some
