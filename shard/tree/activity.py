"""Which watched directories have been quiet for longest. Does no input or output.

It is asked when there are fewer watches than directories: a directory in which something changes gets the watch of one in which
nothing does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from .nodes import WATCHES_END, Linked, Node

#: A directory keeps its watch so long after its last hint, ns.
QUIET_NS: Final = 60_000_000_000
#: The watched directories are gone through again at most this often, ns.
_AGAIN_NS: Final = 60_000_000_000


class Activity:
    """Keeps something only of those directories that had a hint since there was need of it. Owned by one thread.

    Args:
        watched: goes through all watched directories, in the order in which those without a hint may lose their watches.
    """

    def __init__(self, watched: Callable[[], Iterable[Node]]) -> None:
        self._watched = watched
        #: When each had its last hint, the longest ago first.
        self._hinted: OrderedDict[Node, int] = OrderedDict()
        #: Watched directories, of which those without a hint come next.
        self._candidates: deque[Node] = deque()
        self._gathered_at: int | None = None
        self._begun_at: int | None = None

    def begin(self, now: int) -> None:
        """Hints are noted from now on. Idempotent."""
        if self._begun_at is None:
            self._begun_at = now

    def end(self) -> None:
        """Nobody needs this now. Idempotent."""
        if self._begun_at is not None:
            self._begun_at = self._gathered_at = None
            self._hinted.clear()
            self._candidates.clear()

    def note(self, nodes: Iterable[Node], now: int) -> None:
        """Something has changed in these directories."""
        for node in nodes:
            self._hinted[node] = now
            self._hinted.move_to_end(node)

    def quietest(self, now: int) -> Node | None:
        """The watched directory that had no hint for longest; None if each had one within `QUIET_NS`. It is not returned again
        until it has had a hint, or is watched again."""
        if self._begun_at is None or now < self._begun_at + QUIET_NS:
            return None
        return self._without_hint(now) or self._least_recent(now)

    def _without_hint(self, now: int) -> Node | None:
        while True:
            while self._candidates:
                node = self._candidates.popleft()
                if node not in self._hinted and _may_lose_it(node):
                    return node
            if self._gathered_at is not None and now < self._gathered_at + _AGAIN_NS:
                return None
            self._gathered_at = now
            self._forget_lost()
            self._candidates.extend(node for node in self._watched() if node not in self._hinted and _may_lose_it(node))
            if not self._candidates:
                return None

    def _forget_lost(self) -> None:
        """Directories that are gone, or have no watch any more."""
        for node in [node for node in self._hinted if not (node.alive and node.wd >= 0)]:
            del self._hinted[node]

    def _least_recent(self, now: int) -> Node | None:
        while self._hinted:
            node, at = next(iter(self._hinted.items()))
            if node.alive and node.wd >= 0 and now < at + QUIET_NS:
                return None
            del self._hinted[node]
            if _may_lose_it(node):
                return node
        return None


def _may_lose_it(node: Node) -> bool:
    """Not the directory of an anchor, whose watch tells that it is the same; nor one that a link leads to: it may be watched for
    several paths. And only one that has a watch of its own."""
    return node.alive and 0 <= node.wd < WATCHES_END and node.parent is not None and not isinstance(node, Linked)
