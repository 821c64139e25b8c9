"""The directories a shard knows: one small object each, no file is ever kept. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

#: Names of directories repeat (`src`, `test`, `main`): each would take 40 bytes anew. Forgotten when they are too many.
_NAMES_MAX: Final = 4096
_names: dict[bytes, bytes] = {}

#: What a dead node has for children: nothing, and nothing can be put there.
_DEAD: Final[Any] = MappingProxyType({})


class Node:
    """A directory. Its path is spelled by walking up, so that a renamed subtree costs nothing to respell.

    There is one for each directory of a tree, so it has as few fields as can be: four make 64 bytes, five 80.
    """

    __slots__ = ("children", "name", "parent", "wd")

    def __init__(self, parent: Node | None, name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.children: dict[bytes, Node] | None = None
        #: Watch descriptor; -1: not watched by the kernel, swept instead.
        self.wd = -1

    @property
    def alive(self) -> bool:
        return self.children is not _DEAD

    @property
    def anchor(self) -> int:
        """Index of its anchor in the shard's list of anchors."""
        node = self
        while node.parent is not None:
            node = node.parent
        assert isinstance(node, Top)
        return node.index

    def path(self) -> bytes:
        """Absolute path as far as is known."""
        if self.parent is None:
            return self.name
        names = []
        node: Node = self
        while node.parent is not None:
            names.append(node.name)
            node = node.parent
        base = node.name
        if base != b"/":
            base += b"/"
        names.reverse()
        return base + b"/".join(names)

    def child(self, name: bytes) -> Node | None:
        return self.children.get(name) if self.children is not None else None

    def adopt(self, name: bytes) -> Node:
        """A new child. The caller has made sure that there is none of that name."""
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        name = _names.setdefault(name, name)
        node = Node(self, name)
        if self.children is None:
            self.children = {}
        self.children[name] = node
        return node

    def subtree(self) -> Iterator[Node]:
        """This node and all below it; the tree may not change meanwhile."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children is not None:
                stack.extend(node.children.values())

    def cut(self) -> list[Node]:
        """Takes this subtree out of its parent; its nodes are dead from now on and are returned."""
        if self.parent is not None and self.parent.children is not None and self.parent.children.get(self.name) is self:
            del self.parent.children[self.name]
            if not self.parent.children:
                self.parent.children = None
        dead = list(self.subtree())
        for node in dead:
            node.children = _DEAD
        return dead

    def find(self, relative: bytes) -> Node | None:
        """The node at a path relative to this one ("" is itself)."""
        node: Node | None = self
        for name in relative.split(b"/") if relative else ():
            if node is None:
                return None
            node = node.child(name)
        return node


class Top(Node):
    """The directory of an anchor: it has no parent, and its whole absolute path as its name."""

    __slots__ = ("index",)

    def __init__(self, path: bytes, index: int) -> None:
        super().__init__(None, path)
        self.index = index
