"""The directories that a shard knows: one small object for each, and none for files. Does no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from . import children

#: Names of directories repeat (`src`, `test`, `main`), and each copy would take 40 bytes. The cache is emptied when it becomes
#: too large.
_NAMES_MAX: Final = 4096
_names: dict[bytes, bytes] = {}

#: The numbers of inotify's watches are less than this; those of directories whose filesystem has a mark are larger.
WATCHES_END: Final = 1 << 31

#: The children of a dead node: none, and none can be added.
_DEAD: Final[Any] = ()


class Node:
    """A directory. Its path is found by walking up, so that the rename of a subtree does not have to change the nodes in it.

    There is one node for each directory of a tree, so it has as few fields as possible: four take 64 bytes, five would take
    80.
    """

    __slots__ = ("children", "name", "parent", "wd")

    def __init__(self, parent: Node | None, name: bytes) -> None:
        self.parent = parent
        self.name = name
        #: As the module `children` keeps them; None: there are none.
        self.children: list[Node] | dict[bytes, Node] | None = None
        #: The number of its watch, or of its handle (`WATCHES_END`); -1: not watched by the kernel, but swept.
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
        return self.way()[1]

    def way(self) -> tuple[Node, bytes]:
        """The directory of its anchor, and its absolute path as far as is known."""
        node: Node = self
        names = []
        while (above := node.parent) is not None:
            names.append(node.name)
            node = above
        base = node.name
        if not names:
            return node, base
        if base != b"/":
            base += b"/"
        names.reverse()
        return node, base + b"/".join(names)

    def child(self, name: bytes) -> Node | None:
        return children.find(self.children, name) if self.children else None

    def knows_any(self, names: Iterable[bytes]) -> bool:
        """Whether any of these is the name of a child."""
        return bool(self.children) and any(self.child(name) is not None for name in names)

    def each_child(self) -> Iterable[Node]:
        """All children; the tree may not change meanwhile."""
        return children.each(self.children)

    def adopt(self, name: bytes, target: tuple[int, int] | None = None) -> Node:
        """A new child; `target`: its name is a link, and leads there. The caller has made sure that none has that name."""
        if len(_names) >= _NAMES_MAX:
            _names.clear()
        name = _names.setdefault(name, name)
        node = Node(self, name) if target is None else Linked(self, name, target)
        self.children = children.add(self.children, node)
        return node

    def take_children(self, other: Node) -> None:
        """The children of another node of the same directory are those of this one, which has none yet, from now on."""
        self.children, other.children = other.children, None
        for child in self.each_child():
            child.parent = self

    @property
    def linked(self) -> tuple[int, int] | None:
        """(dev, ino) of the directory that its name leads to, where that is a link."""
        return None

    def links(self) -> int:
        """The number of links in its path, itself included. Also correct for dead nodes, which still know their parents."""
        count, node = 0, self
        while node.parent is not None:
            count += node.linked is not None
            node = node.parent
        return count

    def subtree(self) -> Iterator[Node]:
        """This node and all below it; the tree may not change meanwhile."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.each_child())

    def cut(self) -> list[Node]:
        """Removes this subtree from its parent. Its nodes are dead from now on, and are returned: none if it was dead already."""
        if not self.alive:
            return []
        parent = self.parent
        if parent is not None and parent.children and parent.child(self.name) is self:
            parent.children = children.remove(parent.children, self)
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


class Linked(Node):
    """A directory that is known by the name of a link which leads to it."""

    __slots__ = ("_target",)

    def __init__(self, parent: Node, name: bytes, target: tuple[int, int]) -> None:
        super().__init__(parent, name)
        self._target = target

    @property
    def linked(self) -> tuple[int, int] | None:
        """What the link led to when it was entered."""
        return self._target


class Waypoint(Node):
    """A directory that decides where some links lead (`territory.ways`). It belongs to no tree; its name is its real path."""

    __slots__ = ("interest",)

    def __init__(self, path: bytes) -> None:
        super().__init__(None, path)
        #: Name in it -> what depends on that name; b"": on the directory itself.
        self.interest: dict[bytes, set[Any]] = {}
