"""The directories a shard knows: one small object each, no file is ever kept. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator


class Node:
    """A directory. Its path is spelled by walking up, so that a renamed subtree costs nothing to respell.

    An anchor has no parent and its whole absolute path as its name.
    """

    __slots__ = ("alive", "anchor", "children", "digest", "name", "parent", "wd")

    def __init__(self, parent: Node | None, name: bytes, anchor: int) -> None:
        self.parent = parent
        self.name = name
        #: Index of the anchor in the shard's list of anchors.
        self.anchor = anchor
        self.children: dict[bytes, Node] | None = None
        #: Watch descriptor; -1: not watched by the kernel, swept instead.
        self.wd = -1
        #: Hash of the last listing that was sent; only for nodes that are swept.
        self.digest = 0
        self.alive = True

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
        node = Node(self, name, self.anchor)
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
            node.alive = False
        return dead

    def find(self, relative: bytes) -> Node | None:
        """The node at a path relative to this one ("" is itself)."""
        node: Node | None = self
        for name in relative.split(b"/") if relative else ():
            if node is None:
                return None
            node = node.child(name)
        return node
