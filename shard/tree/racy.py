"""Names whose last look was racy (`identity.racy`) and that must be looked at once more (`verify.confirm`). Does no input
or output.
"""

from __future__ import annotations

from itertools import compress
from typing import Final

from ..contract.files.packed import Seen, racies
from .nodes import Node

#: Directories kept. What is beyond that is left to the next hint, or to the verification.
_DIRECTORIES_MAX: Final = 1_000


class RacyNames:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._names: dict[Node, set[bytes]] = {}

    def note(self, node: Node, seen: Seen) -> None:
        early = racies(seen.stats)
        if 1 not in early:
            return
        found = set(compress(seen.names, early))
        if len(self._names) < _DIRECTORIES_MAX:
            self._names.setdefault(node, set()).update(found)

    def take(self) -> dict[Node, set[bytes]]:
        """What was noted since the last time."""
        found, self._names = self._names, {}
        return found
