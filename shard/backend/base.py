"""The interface of every backend: it turns what the kernel or a library reports into hints, and does nothing else."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from ..tree.nodes import Node


class Arrival(IntEnum):
    """How a directory came to where it is, as far as a hint says; of several hints the largest counts."""

    #: Nothing says that it came: what is known of it is still so.
    NONE = 0
    #: It was made there. If it is known already, the scan of its parent has come upon it before the hint: it is scanned.
    MADE = 1
    #: It may have been away: it is scanned even if it is known.
    CAME = 2
    #: It was renamed, so its files were somewhere before; it is scanned even if it is known.
    RENAMED = 3


class Hints:
    """What a backend noticed since it was last asked. A hint says "look there", never what happened."""

    __slots__ = ("came", "count", "directories", "left", "names", "overflow", "selves")

    def __init__(self) -> None:
        #: Names to look at, by directory.
        self.names: dict[Node, set[bytes]] = {}
        #: Those of them that came by a rename.
        self.came: dict[Node, set[bytes]] = {}
        #: Those of them that were removed, or renamed to something else.
        self.left: dict[Node, set[bytes]] = {}
        #: (directory, name) that is or was a directory -> how it came there.
        self.directories: dict[tuple[Node, bytes], Arrival] = {}
        #: Directories that were themselves deleted, moved or unmounted.
        self.selves: list[Node] = []
        #: Hints were lost: everything of this shard is in doubt.
        self.overflow = False
        #: Raw events behind this.
        self.count = 0

    def __bool__(self) -> bool:
        return bool(self.names or self.directories or self.selves or self.overflow)


class Backend(Protocol):
    """Watches directories one by one (inotify) or anchors as a whole (watchdog's observers).

    Not thread-safe: one thread calls it. It may own threads itself.
    """

    name: str
    #: True: hints may be missing without a word, so a sync rescans, and the clock does now and then.
    lossy: bool

    def fileno(self) -> int:
        """Readable (an eventfd) when `take` has something."""
        ...

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        """Registers the directory open at `fd` for `node`, before it is listed; sets `node.wd`. However many nodes stand for
        one directory, it is watched once.

        Returns a living node of a tree that holds the very same directory already, if there is one: the directory was moved,
        and the caller cuts that node; or it is mounted in two places, or links lead to it, and both stay.

        Args:
            names: False: only the directory's own end or move is of interest.

        Raises OSError: ENOSPC when a limit is reached (the caller sweeps the directory instead), EACCES and others as
        inotify_add_watch(2) says.
        """
        ...

    def same(self, fd: int, node: Node) -> bool:
        """Whether the directory open at `fd` is the very one that is registered for `node`."""
        ...

    def forget(self, nodes: list[Node]) -> None:
        """Unregisters nodes that were cut from the tree."""
        ...

    def take(self) -> Hints:
        """All hints since the last call; does not block."""
        ...

    def drain(self) -> None:
        """Takes in what the kernel has queued at this moment; the next `take` returns it."""
        ...

    def watches(self) -> int:
        """Kernel registrations held."""
        ...

    def close(self) -> None: ...
