"""How many directories are known by links, and which links are not followed because that would be too many. Pure."""

from __future__ import annotations

from collections import Counter

from ..contract.files.paths import join
from ..contract.limits import LINKED_MAX, WAYS_MAX
from ..tree.nodes import Node


class LinkBounds:
    """The bounds of one shard: LINKED_MAX directories in all, and WAYS_MAX paths with two or more links to one directory."""

    def __init__(self) -> None:
        #: For each directory (dev, ino): the number of paths with two or more links by which it is known.
        self._paths: Counter[tuple[int, int]] = Counter()
        #: Links that are not followed because of a bound.
        self._left_out: dict[tuple[Node, bytes], None] = {}
        #: The number of directories whose paths contain a link.
        self.directories = 0
        #: Whether there may be room now for links that were left out.
        self.freed = False

    def admits(self, node: Node, name: bytes, target: tuple[int, int]) -> bool:
        """Whether the link `name` in `node`, which leads to the directory `target`, may be followed. If not, it is left out."""
        child = node.child(name)
        known = child is not None and child.linked == target
        room = self.directories < LINKED_MAX and (node.links() == 0 or self._paths[target] < WAYS_MAX)
        if known or room:
            self.drop(node, name)
            return True
        self._left_out[node, name] = None
        return False

    def entered(self, node: Node) -> None:
        """Counts a node that was made."""
        links = node.links()
        self.directories += links > 0
        if links > 1 and node.linked is not None:
            self._paths[node.linked] += 1

    def cut(self, node: Node) -> None:
        """Counts a node that was cut from the tree."""
        if links := node.links():
            self.directories -= 1
            self.freed = self.freed or bool(self._left_out)
            if links > 1 and node.linked is not None:
                self._paths[node.linked] -= 1

    def leaves_out(self, node: Node, name: bytes) -> bool:
        """Whether this link is not followed because of a bound."""
        return (node, name) in self._left_out

    def drop(self, node: Node, name: bytes) -> None:
        """There is no such link any more that is not followed. Idempotent."""
        self._left_out.pop((node, name), None)

    def retry(self) -> list[tuple[Node, bytes]]:
        """The links that are left out, in order to try them again now that there may be room."""
        self.freed = False
        return list(self._left_out)

    def left_out(self) -> tuple[int, bytes]:
        """The number of links that are not followed because of a bound, and the path of one of them."""
        first = next(((node, name) for node, name in self._left_out if node.alive), None)
        return (len(self._left_out), join(first[0].path(), first[1])) if first is not None else (0, b"")
