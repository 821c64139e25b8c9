"""Weighs trees with a bounded number of directory reads: exact where they are small, estimated where they are not.

The estimate grew from Knuth's ("Estimating the efficiency of backtrack programs", Mathematics of Computation 29, 1975):
dive from the root to a leaf; what one branch holds, times the number of branches, stands for all of them. Real trees are
too skewed for the plain method (most directories are leaves, a few hold thousands), so it is helped in four ways:

- everything read is kept: a dive goes on where earlier ones ended, and a tree that is small enough comes out exact;
- a dive turns to a branch with the probability of the weight still unread in it: reads go where the weight is;
- where the filesystem counts subdirectories in st_nlink (ext4, xfs, tmpfs), one lstat tells how many a directory has:
  leaves need no read at all, and the others are read and weighed by that number;
- what few siblings say is drawn towards the mean of their level: one small child does not make all of them small.

Pure: all reading is done by the `Look` it is given. The random numbers are seeded: the same tree gives the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

#: Weight of a directory in files: open, read, close and one inotify_add_watch cost about four lstats.
DIRECTORY_WEIGHT: Final = 4
#: Number of subdirectories of one that nobody counted.
UNKNOWN: Final = -1
#: Subdirectories counted for each directory that may be read; an lstat costs a tenth of a read.
COUNTS_PER_READ: Final = 8


class Look(Protocol):
    """Gives what one directory holds. An unreadable one holds nothing."""

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        """Names of the subdirectories that are not pruned, and the number of kept files."""
        ...


#: Of a directory: how many subdirectories it has (pruned ones too), at the price of an lstat; UNKNOWN if that can't tell.
Count = Callable[[bytes], int]


def weigh(directories: float, files: float) -> float:
    return DIRECTORY_WEIGHT * directories + files


class Level:
    """Sums over the directories read at one depth: how many, what is in their subtrees, and their subdirectories."""

    __slots__ = ("branches", "count", "directories", "files")

    def __init__(self) -> None:
        self.count = self.branches = 0
        self.directories = self.files = 0.0


class Node:
    """A directory that was read. Totals are of its whole subtree, estimates where `exact` is false."""

    __slots__ = (
        "branches",
        "depth",
        "directories",
        "exact",
        "files",
        "measured",
        "open",
        "own",
        "path",
        "read",
        "seen",
        "seen_branches",
        "seen_totals",
        "unseen",
        "unseen_counted",
        "unseen_known",
    )

    def __init__(
        self, path: bytes, depth: int, unseen: list[tuple[int, bytes]], own: int, measured: tuple[int, int] | None
    ) -> None:
        self.path = path
        self.depth = depth
        self.own = own
        self.branches = len(unseen)
        #: Subdirectories not read yet, with the number of theirs; the most interesting last.
        self.unseen = unseen
        self.unseen_known = all(count != UNKNOWN for count, _ in unseen)
        self.unseen_counted = sum(count for count, _ in unseen)
        self.seen: list[Node] = []
        #: Those of `seen` that are not exact, in the order of reading.
        self.open: dict[Node, None] = {}
        #: Directories and files below `seen`, and the number of their own subdirectories, summed.
        self.seen_totals = [0.0, 0.0]
        self.seen_branches = 0
        self.measured = measured
        self.exact = not unseen
        self.directories, self.files = 1.0 + len(unseen), float(own)
        #: Weight of what was read in the subtree.
        self.read = weigh(1, own)
        if unseen and measured is not None:
            self.directories, self.files = float(measured[0]), float(measured[1])

    @property
    def weight(self) -> float:
        return weigh(self.directories, self.files)


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
        count: Count | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self._look = look
        self._roots = frozenset(roots)
        self._known = known
        self._count = count
        self._counts_left = COUNTS_PER_READ * reads_max
        self._random = random.Random(seed)
        self._levels: list[Level] = []
        self.reads = 0
        self.trees = [self._visit(root, 0) for root in roots]
        refresh_at = 32
        while self.reads < reads_max and not (stop is not None and stop()):
            tree = self._choose([tree for tree in self.trees if not tree.exact])
            if tree is None:
                break
            self._dive(tree, reads_max)
            if self.reads >= refresh_at:
                self._refresh()
                refresh_at *= 2
        if not self.exact:
            for _ in range(3):
                self._refresh()

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

    def guess(self, node: Node) -> list[tuple[bytes, float, float]]:
        """(name, directories, files) of the subdirectories of `node` that were not read."""
        base, each, files = self._rates(node)
        guesses = []
        for count, name in node.unseen:
            directories = 1.0 + max(count, 0) * each if node.unseen_known else base
            guesses.append((name, directories, directories * files))
        return guesses

    def _visit(self, path: bytes, depth: int) -> Node:
        names, files = self._look(path)
        self.reads += 1
        # Sorted first, because the order in which a filesystem gives names is no property of the tree.
        names = sorted(name for name in names if join(path, name) not in self._roots)
        counts = [UNKNOWN] * len(names)
        if self._count is not None and len(names) <= self._counts_left:
            self._counts_left -= len(names)
            counts = [self._count(join(path, name)) for name in names]
        unseen = list(zip(counts, names, strict=True))
        self._random.shuffle(unseen)
        unseen.sort(key=lambda item: item[0])
        return Node(path, depth, unseen, files, self._known.get(path))

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
                child = self._choose(node.open, self._unseen_mass(node))
            if child is None:
                if self.reads >= reads_max or not node.unseen:
                    break  # Also where rounding left the choice with nobody: the next dive chooses anew.
                child, fresh = self._read_next(node), True
            node = child
        for (child, directories, files, read), (parent, *_) in zip(passed[:0:-1], passed[-2::-1], strict=True):
            parent.seen_totals[0] += child.directories - directories
            parent.seen_totals[1] += child.files - files
            parent.read += child.read - read
            if child.exact:
                parent.open.pop(child, None)
            self._update(parent)

    def _read_next(self, node: Node) -> Node:
        count, name = node.unseen.pop()
        node.unseen_counted -= count
        child = self._visit(join(node.path, name), node.depth + 1)
        node.seen.append(child)
        node.seen_branches += child.branches
        node.open[child] = None
        return child

    def _unseen_mass(self, node: Node) -> float:
        """Weight to find in the subdirectories not read. Leaves hold nothing to find: they are read last."""
        base, each, files = self._rates(node)
        if not node.unseen_known:
            return len(node.unseen) * weigh(base, base * files)
        return weigh(node.unseen_counted * each, node.unseen_counted * each * files)

    def _rates(self, node: Node) -> tuple[float, float, float]:
        """Of a subdirectory not read: its directories, those for each subdirectory of its own, files per directory."""
        below = self._levels[node.depth + 1] if node.depth + 1 < len(self._levels) else None
        count = len(node.seen)
        directories, files = node.seen_totals
        if below is None or not below.count:
            mean = directories / count if count else 1.0
            each = (directories - count) / node.seen_branches if node.seen_branches else 1.0
            return mean, max(each, 1.0), files / directories if directories else 0.0
        level_each = (below.directories - below.count) / below.branches if below.branches else 1.0
        return (
            (directories + below.directories / below.count) / (count + 1),
            max((directories - count + level_each) / (node.seen_branches + 1), 1.0),
            (files + below.files / below.count) / (directories + below.directories / below.count),
        )

    def _update(self, node: Node) -> None:
        """Totals from the subdirectories' totals."""
        node.exact = not node.unseen and not node.open
        directories, files = node.seen_totals
        if node.unseen:
            base, each, rate = self._rates(node)
            count = len(node.unseen)
            more = count + node.unseen_counted * each if node.unseen_known else count * base
            directories, files = directories + more, files + more * rate
        node.directories, node.files = 1 + directories, node.own + files
        if node.measured is not None and not node.exact:
            node.directories, node.files = float(node.measured[0]), float(node.measured[1])

    def _refresh(self) -> None:
        """Brings all totals up to date with the levels' means, and those with the totals."""
        levels: list[Level] = []
        for tree in self.trees:
            for node in reversed(below(tree)):
                if not node.exact:
                    node.seen_totals[0] = sum(child.directories for child in node.seen)
                    node.seen_totals[1] = sum(child.files for child in node.seen)
                    self._update(node)
                while node.depth >= len(levels):
                    levels.append(Level())
                level = levels[node.depth]
                level.count += 1
                level.branches += node.branches
                level.directories += node.directories
                level.files += node.files
        self._levels = levels


def below(tree: Node) -> list[Node]:
    """`tree` and all nodes read below it, parents before children."""
    order = []
    stack = [tree]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.seen
    return order


def join(directory: bytes, name: bytes) -> bytes:
    return directory + name if directory.endswith(b"/") else directory + b"/" + name
