"""Names that had a hint and do not exist, although no event said that they had been removed.

This happens when a file is written through a descriptor whose name was removed, because the kernel's event has that
name. The file may have another name in the same directory, which no event reports (some programs rename with `link` and
`unlink`). So the directory is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from .nodes import Node

#: Names that have disappeared and were not looked at yet. Beyond this they are forgotten, which costs a listing of their
#: directories.
NAMES_MAX: Final = 100_000


class Unlinked:
    """Owned by one thread. `told`: whether the backend reports that a name was removed. If not, the absence of a name has no
    meaning here.
    """

    def __init__(self, *, told: bool) -> None:
        self._told = told
        self._left: dict[Node, set[bytes]] = {}
        self._count = 0
        self._due: dict[Node, None] = {}

    def __bool__(self) -> bool:
        """Whether a directory is to be listed."""
        return bool(self._due)

    @property
    def expects(self) -> bool:
        """Whether names were removed that were not looked at yet."""
        return bool(self._left)

    def left(self, names: Mapping[Node, set[bytes]]) -> None:
        """These names were removed, or renamed to something else."""
        for node, some in names.items():
            self._count += len(some)
            self._left.setdefault(node, set()).update(some)
        if self._count > NAMES_MAX:
            self._left.clear()
            self._count = 0

    def looked(self, node: Node, names: Collection[bytes], absent: Collection[bytes]) -> None:
        """These names of a directory were looked at because of hints, and some of them are not there."""
        left = self._left.get(node, set())
        if self._told and not left.issuperset(absent):
            self._due[node] = None
        if left:
            before = len(left)
            left.difference_update(names)
            self._count -= before - len(left)
            if not left:
                del self._left[node]

    def take(self) -> list[Node]:
        """The directories to list, each once."""
        found, self._due = list(self._due), {}
        return found
