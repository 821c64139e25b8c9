"""Counts in which directories most changes are noticed, before debouncing. Does no input or output.

It keeps a bounded number of directories. When there are more, the same number is taken off each of them, and those that have none
left are dropped (Misra and Gries). So a directory with more than one of DIRECTORIES_MAX of all changes of a period is among those
kept, and its count is at most that much too low.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from ..tree.nodes import Node

#: Directories of a period that are kept after they became twice as many.
DIRECTORIES_MAX: Final = 256
#: Directories that are reported.
REPORTED_MAX: Final = 10
#: Bytes of a path that is reported; a longer one is left out.
PATH_BYTES_MAX: Final = 1_024
#: Nanoseconds of a period.
PERIOD_NS: Final = 60_000_000_000


class Busiest:
    """The counts of this period and of the one before it. Owned by one thread. While nothing changes, it does nothing."""

    def __init__(self) -> None:
        self._counts: dict[Node, int] = {}
        self._before: dict[Node, int] = {}
        self._begun_at = 0
        self._reported: list[tuple[bytes, int]] | None = []

    def note(self, names: Mapping[Node, Collection[bytes]], directories: Iterable[tuple[Node, bytes]]) -> None:
        """Names in these directories have changed."""
        counts = self._counts
        for node, some in names.items():
            counts[node] = counts.get(node, 0) + len(some)
        for node, _ in directories:
            counts[node] = counts.get(node, 0) + 1
        if len(counts) > 2 * DIRECTORIES_MAX:
            self._counts = _fewer(counts)
        self._reported = None

    def report(self, now: int) -> list[tuple[bytes, int]]:
        """(path, changes) of those with the most, which come first: how many names changed in the last whole period, or in this
        one if these are more already. `now`: monotonic ns, which never goes back."""
        if now >= self._begun_at + PERIOD_NS:
            if self._counts or self._before:
                skipped = now >= self._begun_at + 2 * PERIOD_NS
                self._before, self._counts = ({} if skipped else self._counts), {}
                self._reported = None
            self._begun_at = now
        if self._reported is None:
            self._reported = self._made()
        return self._reported

    def _made(self) -> list[tuple[bytes, int]]:
        found = dict(self._before)
        for node, count in self._counts.items():
            found[node] = max(count, found.get(node, 0))
        found = {node: count for node, count in found.items() if node.alive}
        chosen = sorted(found.items(), key=lambda one: -one[1])[:REPORTED_MAX]
        paths = [(node.path(), count) for node, count in chosen]
        return [(path, count) for path, count in paths if len(path) <= PATH_BYTES_MAX]


def _fewer(counts: dict[Node, int]) -> dict[Node, int]:
    cut = sorted(counts.values(), reverse=True)[DIRECTORIES_MAX]
    return {node: count - cut for node, count in counts.items() if count > cut}
