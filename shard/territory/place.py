"""The state of one anchor of a shard. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..contract.state.planfile import Anchor
from ..tree.nodes import Node, Top


class Place:
    """One anchor of the shard. Only its own methods change it."""

    __slots__ = ("anchor", "identity", "index", "missing", "node", "polled", "prefix", "unmounted")

    def __init__(self, index: int, anchor: Anchor) -> None:
        self.index = index
        self.anchor = anchor
        self.node: Node | None = None
        #: Whether the plan says that it is polled: its filesystem does not report remote changes, or the user wants it.
        self.polled = anchor.backend == "polling"
        #: `Filesystems.identity` of the directory that was last scanned here, or None if it has to be scanned.
        self.identity: tuple[int, int] | None = None
        #: Whether its absence has been reported.
        self.missing = False
        #: Whether the filesystem of its root is not mounted.
        self.unmounted = False
        #: The length of the prefix that is cut from an absolute path to make it relative to the user's root.
        self.prefix = 1 if anchor.root == b"/" else len(anchor.root) + 1

    # -- what becomes of it

    def plant(self) -> Node:
        """Begins a new tree, which consists of one directory. Returns its node."""
        self.node = Top(self.anchor.path, self.index)
        return self.node

    def uproot(self) -> None:
        """Forgets the tree, which was cut."""
        self.node = None

    def begin_scan(self, identity: tuple[int, int]) -> None:
        """The directory with this identity is watched and is listed next."""
        self.identity = identity
        self.missing = self.unmounted = False

    def leave(self, *, unmounted: bool) -> None:
        """There is nothing at the anchor, or nothing that counts. Whatever appears there has to be scanned."""
        self.node = self.identity = None
        self.missing, self.unmounted = not unmounted, unmounted

    def distrust(self) -> None:
        """The directory at the anchor may not be the one that was scanned, so it has to be scanned."""
        self.identity = None

    @property
    def is_missing_root(self) -> bool:
        """Whether it is a root of the user's, and there is no directory."""
        return self.missing and self.anchor.path == self.anchor.root

    # -- paths

    def relative(self, path: bytes) -> bytes:
        """A path at or below the anchor, relative to the user's root."""
        return path[self.prefix :]

    def find(self, directory: bytes) -> Node | None:
        """The node of an absolute path, if it is known here."""
        if self.node is None or not self.covers(directory):
            return None
        return self.node.find(self.below(directory))

    def below(self, path: bytes) -> bytes:
        """A path at or below the anchor, relative to the anchor; b"" for the anchor itself."""
        return path[len(self.anchor.path) :].lstrip(b"/")

    def spot(self, point: bytes) -> tuple[bytes, Node | None, bytes]:
        """Where the next attempt at what is mounted at `point` is made: (path, directory above it, name in it), or the anchor."""
        above, name = os.path.split(point)
        node = self.find(above)
        return (self.anchor.path, None, b"") if node is None or point == self.anchor.path else (point, node, name)

    def meets(self, point: bytes) -> bool:
        """Whether the mount point lies below the anchor, or the anchor below the mount point."""
        return self.covers(point) or (self.anchor.path + b"/").startswith(point.rstrip(b"/") + b"/")

    def covers(self, directory: bytes) -> bool:
        """Whether an absolute path is the anchor or lies below it."""
        base = self.anchor.path
        return directory == base or directory.startswith(base + b"/" if base != b"/" else base)


class Places(list[Place]):
    """The anchors that a shard has now. Those that it once had are still found by their numbers, since work that is under way may
    hold nodes of them, which are dead."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        super().__init__()
        self._numbered: list[Place] = []
        self.exchange((), anchors)

    def exchange(self, left: Sequence[Place], taken: Iterable[Anchor]) -> list[Place]:
        """Some are let go, and others are taken on, which are returned."""
        new = [Place(len(self._numbered) + i, anchor) for i, anchor in enumerate(taken)]
        self[:] = [place for place in self if place not in left] + new
        self._numbered += new
        return new

    def numbered(self, index: int) -> Place:
        """That with the index `Place.index`, also after it was let go."""
        return self._numbered[index]
