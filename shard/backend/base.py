"""The interface of every backend: it turns what the kernel or a library reports into hints, and does nothing else."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

from ..tree.nodes import Node


class Arrival(IntEnum):
    """How a directory came to be at its place, as far as a hint says. Of several hints the largest value counts."""

    #: No hint says that it is new, so what is known about it is still valid.
    NONE = 0
    #: It was created there. If it is known already, the scan of its parent has found it before the hint arrived; it is scanned
    #: all the same.
    MADE = 1
    #: It may have been elsewhere in between: it is scanned even if it is known.
    CAME = 2
    #: It was renamed, so its files had other paths before. It is scanned even if it is known.
    RENAMED = 3


class Hints:
    """What a backend has noticed since it was last asked. A hint says where to look, and never what happened."""

    __slots__ = ("at", "came", "count", "directories", "left", "more", "names", "overflow", "selves")

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
        #: Hints were lost, so everything that this shard owns is in doubt.
        self.overflow = False
        #: Raw events behind this.
        self.count = 0
        #: When all of it was there (monotonic, ns); 0: by now.
        self.at = 0
        #: So many times more it is asked, at most, for all that had been read: a name of these may be among that again.
        self.more = 0

    def __bool__(self) -> bool:
        return bool(self.names or self.directories or self.selves or self.overflow)

    def add(self, others: Hints) -> None:
        """Takes over the hints of another backend."""
        self.at = others.at if not self else self.at if not others else 0
        self.more = max(self.more, others.more)
        for names, into in ((others.names, self.names), (others.came, self.came), (others.left, self.left)):
            for node, some in names.items():
                into.setdefault(node, some).update(some)
        for key, arrival in others.directories.items():
            self.directories[key] = max(arrival, self.directories.get(key, Arrival.NONE))
        self.selves += others.selves
        self.overflow = self.overflow or others.overflow
        self.count += others.count


class Second(NamedTuple):
    """What a second backend watches, because the first one can't."""

    #: Its name.
    name: str
    #: Why the first one refused the last directory that it got.
    reason: str
    directories: int
    #: One of them.
    example: Node


class Backend(Protocol):
    """Watches directories one by one (inotify), filesystems as a whole (fanotify), or anchors (watchdog's observers).

    Not thread-safe: one thread calls it. It may have threads of its own.
    """

    #: True: hints may be lost silently, so the shard rescans at each sync, and also at regular intervals.
    lossy: bool

    @property
    def name(self) -> str:
        """How it watches, for people."""
        ...

    def fileno(self) -> int:
        """Readable (a timer, an eventfd, or an epoll of several) when what there is has to be taken; `take` may have it
        sooner."""
        ...

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        """Watches the directory open at `fd` for `node`, before it is listed, and sets `node.wd`. A directory is watched once,
        however many nodes stand for it.

        Returns a living node of a tree that already stands for the same directory, if there is one. If the directory was
        moved, the caller removes that node. If it is mounted in two places, or links lead to it, both nodes stay.

        Args:
            names: False if only the end or the move of the directory itself is of interest.

        Raises OSError: ENOSPC when a limit is reached (the caller then sweeps the directory), EACCES and others as in
        inotify_add_watch(2).
        """
        ...

    def same(self, fd: int, node: Node) -> bool:
        """Whether the directory open at `fd` is the one that is watched for `node`."""
        ...

    def instance(self, node: Node) -> int:
        """The descriptor of the inotify instance in which the directory of a node has the watch `node.wd`; -1: it is known by
        something else."""
        ...

    def instance_for(self, count: int) -> tuple[int, int]:
        """(descriptor, mask) of an inotify instance in which the caller may watch so many further directories by itself. Before
        the next `take` it has nodes `hold` these watches, or gives them back. (-1, 0): there is no such instance, or no room in
        it; the directories are for `watch`.
        """
        ...

    def hold(self, watch: int, node: Node) -> bool:
        """A directory has got this watch in that instance, and is the one of `node`: `node.wd` is set. False, and nothing is
        done, if another node stands for it."""
        ...

    def give_back(self, watch: int) -> None:
        """Ends a watch of that instance if no node stands for it: it was made by asking for it (`calls.watch_of`)."""
        ...

    def forget(self, nodes: list[Node]) -> None:
        """Ends the watches of nodes that were removed from the tree."""
        ...

    def take(self) -> Hints:
        """Returns the hints since the last call: all of them, or the oldest, if `more` are to be taken at once. Does not
        block."""
        ...

    def drain(self) -> None:
        """Reads everything that the kernel has queued at this moment. The next `take` returns it, or the last of several."""
        ...

    def watches(self) -> int:
        """The number of watches in the kernel."""
        ...

    def second(self) -> Second | None:
        """What another backend watches in its place; None if there is nothing."""
        ...

    def close(self) -> None: ...


class WithoutInotify:
    """What a `Backend` says that has no instance of inotify: no directory is known by the number of a watch in one, and nobody
    else may make such a watch."""

    def instance(self, node: Node) -> int:
        return -1

    def instance_for(self, count: int) -> tuple[int, int]:
        return -1, 0

    def hold(self, watch: int, node: Node) -> bool:
        return False

    def give_back(self, watch: int) -> None:
        """There is no such watch."""
