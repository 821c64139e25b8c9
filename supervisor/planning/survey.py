"""Estimates the weight of trees with a limited number of directory reads: exact for small trees, estimated for large ones.

This follows Knuth, "Estimating the efficiency of backtrack programs" (Mathematics of Computation 29, 1975): what was
read of a node's branches, multiplied by the number of branches, stands for all of them. Knuth descends from the root
again and again. This module samples without replacement from all directories that were found and not yet read. So no
read is made twice, and a tree that is small enough is read completely. Real trees are too uneven for chance alone: most
directories are leaves, and a few hold thousands. Therefore

- where the filesystem counts subdirectories in st_nlink (ext4, xfs, tmpfs), one lstat tells how many a directory has.
  Leaves are read last. Others are read with a probability, and weighted by a factor, that grow with that number;
- an estimate from few siblings is moved towards the mean of their level, so that one small child does not make all of
  them small.

Does no input or output: all reading is done by the `DirectoryLook` that is passed in. The random numbers are seeded, so the same
tree gives the same plan.
"""

from __future__ import annotations

import heapq
import os
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from shardwatch.shard.contract.files.paths import Nearest, join

#: Weight of a directory in files: open, read, close and one inotify_add_watch cost about four lstats.
DIRECTORY_WEIGHT: Final = 4
#: Number of subdirectories of one that nobody counted.
UNKNOWN: Final = -1
#: Subdirectories counted for each directory that may be read; an lstat costs a tenth of a read.
COUNTS_PER_READ: Final = 8
#: An estimate is at most so many times what was found in the subtree.
GUESS_MAX: Final = 4
_ROUNDS: Final = 3


class DirectoryLook(Protocol):
    """Gives what one directory holds. An unreadable one holds nothing."""

    def __call__(self, path: bytes) -> tuple[list[bytes], int]:
        """Names of the subdirectories that are not pruned, and the number of kept files."""
        ...


#: Of a directory: how many subdirectories it has (pruned ones too), at the price of an lstat; UNKNOWN if that can't tell.
Count = Callable[[bytes], int]


def weigh(directories: float, files: float) -> float:
    return DIRECTORY_WEIGHT * directories + files


class DepthSums:
    """Sums over the directories read at one depth: how many, what is in their subtrees, and their subdirectories."""

    __slots__ = ("branches", "count", "directories", "files")

    def __init__(self) -> None:
        self.count = self.branches = 0
        self.directories = self.files = 0.0


class SurveyNode:
    """A directory that was read. Totals are of its whole subtree, estimates where `exact` is false."""

    __slots__ = (
        "branches",
        "depth",
        "directories",
        "exact",
        "files",
        "found",
        "own",
        "path",
        "seen",
        "seen_branches",
        "seen_totals",
        "unseen",
        "unseen_counted",
        "unseen_known",
    )

    def __init__(self, path: bytes, depth: int, unseen: list[tuple[int, bytes]], own: int) -> None:
        self.path = path
        self.depth = depth
        self.own = own
        self.branches = len(unseen)
        #: Subdirectories not read yet, with the number of theirs; the most interesting last.
        self.unseen = unseen
        self.unseen_known = all(count != UNKNOWN for count, _ in unseen)
        self.unseen_counted = sum(count for count, _ in unseen)
        self.seen: list[SurveyNode] = []
        #: Directories and files below `seen`, and the number of their own subdirectories, summed.
        self.seen_totals = (0.0, 0.0)
        self.seen_branches = 0
        self.exact = not unseen
        #: Directories in the subtree that are known to exist: read, listed or counted.
        self.found = 1
        self.directories, self.files = 1.0, float(own)

    @property
    def weight(self) -> float:
        return weigh(self.directories, self.files)


class Survey:
    """The trees below some roots, read as far as `reads_max` allows. A root inside another one is a tree of its own."""

    def __init__(
        self,
        roots: Sequence[bytes],
        look: DirectoryLook,
        *,
        reads_max: int,
        seed: int,
        count: Count | None = None,
    ) -> None:
        self._look = look
        self._roots = frozenset(roots)
        self._count = count
        self._counts_left = COUNTS_PER_READ * reads_max
        self._random = random.Random(seed)
        self._levels: list[DepthSums] = []
        #: Whether some estimate was cut down to `GUESS_MAX`: it says nothing then of how much there may be.
        self.cut = False
        self._turn = 0
        self.reads = 0
        self.trees = [self._visit(root, depth) for root, depth in _depths(roots).items()]
        # (turn, number, node): whose last unread subdirectory is read next. The number decides between equal turns.
        turns: list[tuple[float, int, SurveyNode]] = []
        for tree in self.trees:
            self._queue(turns, tree)
        while turns and self.reads < reads_max:
            node = heapq.heappop(turns)[2]
            child = self._read_next(node)
            self._queue(turns, node)
            self._queue(turns, child)
        # The levels' means come from the totals, and the totals from the means: they converge within a few rounds.
        for _ in range(_ROUNDS):
            self.cut = False
            self._total()

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

    def guess(self, node: SurveyNode) -> list[tuple[bytes, float, float]]:
        """(name, directories, files) of the subdirectories of `node` that were not read."""
        base, each, files = self._rates(node)
        guesses = []
        for count, name in node.unseen:
            directories = 1.0 + max(count, 0) * each if node.unseen_known else base
            guesses.append((name, directories, directories * files))
        return guesses

    def _visit(self, path: bytes, depth: int) -> SurveyNode:
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
        return SurveyNode(path, depth, unseen, files)

    def _queue(self, turns: list[tuple[float, int, SurveyNode]], node: SurveyNode) -> None:
        """Draws the turn of the node's next subdirectory: at random, weighted by the number of subdirectories in it.

        (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006: the largest u ** (1 / weight).)
        """
        if node.unseen:
            count = node.unseen[-1][0]
            turn = 1.0 + node.depth if count == 0 else -(self._random.random() ** (1.0 / max(count, 1)))
            self._turn += 1
            heapq.heappush(turns, (turn, self._turn, node))

    def _read_next(self, node: SurveyNode) -> SurveyNode:
        count, name = node.unseen.pop()
        node.unseen_counted -= count
        child = self._visit(join(node.path, name), node.depth + 1)
        node.seen.append(child)
        node.seen_branches += child.branches
        return child

    def _rates(self, node: SurveyNode) -> tuple[float, float, float]:
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

    def _total(self) -> None:
        """Totals of all nodes from the leaves upwards, then the levels' sums from the totals."""
        levels: list[DepthSums] = []
        for tree in self.trees:
            for node in reversed(below(tree)):
                self._update(node)
                while node.depth >= len(levels):
                    levels.append(DepthSums())
                level = levels[node.depth]
                level.count += 1
                level.branches += node.branches
                level.directories += node.directories
                level.files += node.files
        self._levels = levels

    def _update(self, node: SurveyNode) -> None:
        """Totals of one node from its subdirectories' totals."""
        node.exact = not node.unseen and all(child.exact for child in node.seen)
        directories = sum(child.directories for child in node.seen)
        files = sum(child.files for child in node.seen)
        node.seen_totals = (directories, files)
        if node.unseen:
            base, each, rate = self._rates(node)
            count = len(node.unseen)
            more = count + node.unseen_counted * each if node.unseen_known else count * base
            directories, files = directories + more, files + more * rate
        counted = max(node.unseen_counted, 0) if node.unseen_known else 0
        node.found = 1 + sum(child.found for child in node.seen) + len(node.unseen) + counted
        if 1 + directories > GUESS_MAX * node.found:
            # A rate above one, compounded over many levels, has no bound of its own.
            self.cut = True
            files *= (GUESS_MAX * node.found - 1) / directories
            directories = GUESS_MAX * node.found - 1.0
        node.directories, node.files = 1 + directories, node.own + files


def _depths(roots: Sequence[bytes]) -> dict[bytes, int]:
    """How deep each root lies below the outermost one that it lies in, in the same order: so that directories of one level are
    compared with each other, also where a tree was cut at many places."""
    lengths = {root: len(root.rstrip(b"/").split(b"/")) for root in roots}
    nearest = Nearest(roots)
    depths: dict[bytes, int] = {}
    for root in sorted(roots):  # what is above comes first
        above = nearest.of(os.path.dirname(root))
        if above is None or above == root:  # "/" is its own directory
            depths[root] = 0
        else:
            depths[root] = depths[above] + lengths[root] - lengths[above]
    return {root: depths[root] for root in roots}


def below(tree: SurveyNode) -> list[SurveyNode]:
    """`tree` and all nodes read below it, parents before children."""
    order = []
    stack = [tree]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.seen
    return order
