"""The paths that a group has set aside, because they failed alone as often as is allowed. Pure.

They are called `parked` in messages and on disk. What is known of their last failure is on disk only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from .holder_mark import HolderMark
from .index_port import IndexPort
from .journal import Journal, PathSetAside, PathsTakenBack, PathTakenBack
from .record import SetAsidePath
from .redeliveries import Redeliveries
from .unit import Part


class SetAside:
    """All of one group. Every method that changes something leaves it in `journal`.

    Args:
        mark: of the group.
        redeliveries: where a path belongs that is tried again.
        paths: those that were stored.
    """

    def __init__(
        self, journal: Journal, mark: HolderMark, redeliveries: Redeliveries, paths: Iterable[SetAsidePath]
    ) -> None:
        self._journal = journal
        self._mark = mark
        self._redeliveries = redeliveries
        self._paths = {path.key: path for path in paths}

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[SetAsidePath]:
        return iter(self._paths.values())

    def ticks(self) -> Iterator[int]:
        """Of their rows: behind every cursor, and handed out again by `retry`."""
        return (path.tick for path in self)

    def get(self, key: bytes) -> SetAsidePath | None:
        return self._paths.get(key)

    def add(self, path: SetAsidePath, kind: str, output: str) -> None:
        """`kind` and `output`: those of a `DeadLetterRecord`."""
        self._paths[path.key] = path
        self._journal.note(PathSetAside(path.key, path, kind, output))

    def take_back(self, key: bytes) -> None:
        """The path is handed out again. Idempotent."""
        if self._paths.pop(key, None) is not None:
            self._journal.note(PathTakenBack(key))

    def retry(self, now: float, places: Collection[bytes] | None = None) -> int:
        """Hands out again what was set aside at these paths or below them (None: everything), as if it had never failed. Number
        of paths."""
        paths = self._take_back_at(places)
        for path in paths:
            self._redeliveries.add([_part(path)], now)
        return len(paths)

    def discard(self, index: IndexPort, places: Collection[bytes] | None = None) -> int:
        """Acknowledges what was set aside at these paths or below them (None: everything). Number of paths."""
        paths = self._take_back_at(places)
        self._mark.acknowledge(index, map(_part, paths))
        return len(paths)

    def _take_back_at(self, places: Collection[bytes] | None) -> list[SetAsidePath]:
        """`take_back`s what is at one of these paths or below it; None: everything. Gives what was taken."""
        paths = [path for path in self if places is None or _is_at(path.path, places)]
        for path in paths:
            self.take_back(path.key)
        return paths

    def clear(self) -> None:
        self._paths = {}
        self._journal.note(PathsTakenBack())

    def describe(self, listed_max: int) -> list[dict[str, object]]:
        """The first of them, for `groups` and `status`."""
        return [
            {
                "path": path.path.decode("utf-8", "replace"),
                "is_directory": path.directory,
                "attempts": path.attempts,
                "reason": path.reason,
                "tick": path.tick,
            }
            for path in islice(self, listed_max)
        ]


def _part(path: SetAsidePath) -> Part:
    """Its row, as part of a unit."""
    return Part(path.lane, path.handed, [path.tick])


def _is_at(path: bytes, places: Collection[bytes]) -> bool:
    """Whether the path is one of these, or lies below one of them."""
    while path not in places:
        if path in (b"", b"/"):
            return False
        path = path[: path.rfind(b"/")] or b"/"
    return True
