"""The state of one anchor of a shard. Pure."""

from __future__ import annotations

import os

from ..contract.state.planfile import Anchor
from ..tree.nodes import Node, Top


class Place:
    """Changed by its own methods only."""

    __slots__ = ("anchor", "identity", "index", "missing", "node", "polled", "prefix", "unmounted")

    def __init__(self, index: int, anchor: Anchor) -> None:
        self.index = index
        self.anchor = anchor
        self.node: Node | None = None
        #: The plan says so: the filesystem tells nothing of remote changes, or the user wants it.
        self.polled = anchor.backend == "polling"
        #: `Filesystems.identity` of the directory that was last scanned here; None: it has to be scanned.
        self.identity: tuple[int, int] | None = None
        #: True once its absence has been said.
        self.missing = False
        #: True while the filesystem of its root is not mounted.
        self.unmounted = False
        #: Length of what must be cut from an absolute path to make it relative to the user's root.
        self.prefix = 1 if anchor.root == b"/" else len(anchor.root) + 1

    # -- what becomes of it

    def plant(self) -> Node:
        """A new tree, of one directory."""
        self.node = Top(self.anchor.path, self.index)
        return self.node

    def uproot(self) -> None:
        """Its tree was cut."""
        self.node = None

    def begin_scan(self, identity: tuple[int, int]) -> None:
        """The directory of this identity is watched, and about to be listed."""
        self.identity = identity
        self.missing = self.unmounted = False

    def leave(self, *, unmounted: bool) -> None:
        """Nothing lies there, or nothing that says anything; whatever comes there is to be scanned."""
        self.node = self.identity = None
        self.missing, self.unmounted = not unmounted, unmounted

    def distrust(self) -> None:
        """What is there may be another directory than the one that was scanned: it is to be scanned."""
        self.identity = None

    # -- paths

    def relative(self, path: bytes) -> bytes:
        """A path in it, relative to the user's root."""
        return path[self.prefix :]

    def find(self, directory: bytes) -> Node | None:
        """The node of an absolute path, if it is known here."""
        if self.node is None or not self.covers(directory):
            return None
        return self.node.find(self.below(directory))

    def below(self, path: bytes) -> bytes:
        """A path that it covers, relative to it; b"" for its own."""
        return path[len(self.anchor.path) :].lstrip(b"/")

    def spot(self, point: bytes) -> tuple[bytes, Node | None, bytes]:
        """Where to try again what is mounted at `point`: (path, directory above it, name in that), or the anchor as a whole."""
        above, name = os.path.split(point)
        node = self.find(above)
        return (self.anchor.path, None, b"") if node is None or point == self.anchor.path else (point, node, name)

    def meets(self, point: bytes) -> bool:
        """Whether what is mounted at `point` is below the anchor, or the anchor below it."""
        return self.covers(point) or (self.anchor.path + b"/").startswith(point.rstrip(b"/") + b"/")

    def covers(self, directory: bytes) -> bool:
        """Whether an absolute path is the anchor, or below it."""
        base = self.anchor.path
        return directory == base or directory.startswith(base + b"/" if base != b"/" else base)
