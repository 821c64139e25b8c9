"""Weighs trees with a bounded number of directory reads: exact where they are small, estimated where they are not.

The estimate is Knuth's ("Estimating the efficiency of backtrack programs", Mathematics of Computation 29, 1975): dive
from the root to a leaf, at random; what one branch holds, times the number of branches, stands for all of them. Two
things are better than in the plain method. Everything read is kept, so that a dive goes on where earlier ones ended and
a tree that is small enough comes out exact; and a dive turns to a branch with the probability of the weight still
unread in it, so that the reads go where the weight is.

Pure: all reading is done by the `Look` it is given. The random numbers are seeded: the same tree gives the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

#: Weight of a directory in files: open, read, close and one inotify_add_watch cost about four lstats.
DIRECTORY_WEIGHT: Final = 4


class Look(Protocol):
    """Gives what one directory holds. An unreadable one holds nothing."""

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        """Names of the subdirectories that are not pruned, and the number of kept files."""
        ...


def weigh(directories: float, files: float) -> float:
    return DIRECTORY_WEIGHT * directories + files


class Node:
    """A directory that was read. Totals are of its whole subtree, estimates where `exact` is false."""

    __slots__ = (
        "directories",
        "exact",
        "files",
        "measured",
        "open",
        "own",
        "path",
        "read",
        "seen",
        "seen_totals",
        "unseen",
    )

    def __init__(self, path: bytes, names: list[bytes], own: int, measured: tuple[int, int] | None) -> None:
        self.path = path
        self.own = own
        #: Names of subdirectories not read yet, in no particular order.
        self.unseen = names
        self.seen: list[Node] = []
        #: Those of `seen` that are not exact, in the order of reading.
        self.open: dict[Node, None] = {}
        #: Directories and files below `seen`, summed.
        self.seen_totals = [0.0, 0.0]
        self.measured = measured
        self.exact = not names
        self.directories, self.files = 1.0 + len(names), float(own)
        #: Weight of what was read in the subtree.
        self.read = weigh(1, own)
        if names and measured is not None:
            self.directories, self.files = float(measured[0]), float(measured[1])

    @property
    def weight(self) -> float:
        return weigh(self.directories, self.files)

    def unseen_mean(self) -> tuple[float, float]:
        """Estimated directories and files of a subdirectory that was not read: the mean of those that were."""
        if not self.seen:
            return (1.0, 0.0)
        return (self.seen_totals[0] / len(self.seen), self.seen_totals[1] / len(self.seen))

    def update(self) -> None:
        """Totals from the subdirectories' totals."""
        count = len(self.unseen)
        directories, files = self.seen_totals
        if count:
            mean = self.unseen_mean()
            directories, files = directories + count * mean[0], files + count * mean[1]
        self.exact = not count and not self.open
        self.directories, self.files = 1 + directories, self.own + files
        if self.measured is not None and not self.exact:
            self.directories, self.files = float(self.measured[0]), float(self.measured[1])


class Survey:
    """The trees below some roots, read as far as `reads_max` allows. A root inside another one is a tree of its own."""

    def __init__(
        self,
        roots: Sequence[bytes],
        look: Look,
        *,
        reads_max: int,
        seed: int,
        known: Mapping[bytes, tuple[int, int]],
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self._look = look
        self._roots = frozenset(roots)
        self._known = known
        self._random = random.Random(seed)
        self.reads = 0
        self.trees = [self._visit(root) for root in roots]
        while self.reads < reads_max and not (stop is not None and stop()):
            tree = self._choose([tree for tree in self.trees if not tree.exact])
            if tree is None:
                break
            self._dive(tree, reads_max)

    @property
    def exact(self) -> bool:
        return all(tree.exact for tree in self.trees)

    @property
    def directories(self) -> float:
        return sum(tree.directories for tree in self.trees)

    @property
    def files(self) -> float:
        return sum(tree.files for tree in self.trees)

    @property
    def weight(self) -> float:
        return sum(tree.weight for tree in self.trees)

    def _visit(self, path: bytes) -> Node:
        names, files = self._look(path)
        self.reads += 1
        # Sorted, because the order in which a filesystem gives names is no property of the tree.
        names = sorted(name for name in names if join(path, name) not in self._roots)
        return Node(path, names, files, self._known.get(path))

    def _choose(self, nodes: Collection[Node], unseen: float = 0.0) -> Node | None:
        """One of these nodes, in proportion to the weight unread; None for something unseen, or where there is none."""
        masses = [max(node.weight - node.read, 1.0) for node in nodes]
        at = self._random.random() * (sum(masses) + unseen)
        for node, mass in zip(nodes, masses, strict=True):
            at -= mass
            if at < 0:
                return node
        return None

    def _dive(self, tree: Node, reads_max: int) -> None:
        """From `tree` down to a leaf or a known subtree, then the totals of all passed on the way, upwards."""
        passed: list[tuple[Node, float, float, float]] = []
        node, fresh = tree, False
        while True:
            # Of a node just read, nothing is in its parent's totals yet.
            before = (0.0, 0.0, 0.0) if fresh else (node.directories, node.files, node.read)
            passed.append((node, *before))
            if node.exact:
                break
            child, fresh = None, False
            if node.open:
                child = self._choose(node.open, len(node.unseen) * weigh(*node.unseen_mean()))
            if child is None:
                if self.reads >= reads_max or not node.unseen:
                    break  # Also where rounding left the choice with nobody: the next dive chooses anew.
                at = self._random.randrange(len(node.unseen))
                node.unseen[at], node.unseen[-1] = node.unseen[-1], node.unseen[at]
                child, fresh = self._visit(join(node.path, node.unseen.pop())), True
                node.seen.append(child)
                node.open[child] = None
            node = child
        for (child, directories, files, read), (parent, *_) in zip(passed[:0:-1], passed[-2::-1], strict=True):
            parent.seen_totals[0] += child.directories - directories
            parent.seen_totals[1] += child.files - files
            parent.read += child.read - read
            if child.exact:
                parent.open.pop(child, None)
            parent.update()


def join(directory: bytes, name: bytes) -> bytes:
    return directory + name if directory.endswith(b"/") else directory + b"/" + name
