"""Turns what a shard has seen into records, in the order of looking."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..contract.files.packed import Seen
from ..contract.wire.frames import Gone, Listing, Record
from ..stream.send import listings, looks
from ..tree.nodes import Node
from ..tree.racy import RacyNames
from .directories import Swept


class Reports:
    """Owned by one thread. It also keeps in mind what another look has to follow upon.

    Args:
        emit: takes each record.
        racy: notes the names whose look was racy, which are looked at once more.
    """

    def __init__(self, emit: Callable[[Record], None], swept: Swept, racy: RacyNames) -> None:
        self.emit = emit
        self._swept = swept
        self._racy = racy

    def listing(self, node: Node, path: bytes, at: int, seen: Seen, births: dict[bytes, int]) -> None:
        """Everything of ours in a directory, in parts if it is large."""
        for record in listings(path, at, seen, births):
            self.emit(record)
        self._racy.note(node, seen)

    def names(
        self, node: Node, path: bytes, at: int, seen: Seen, absent: list[bytes], births: dict[bytes, int] | None = None
    ) -> None:
        """Some names of a directory, and those that are not there."""
        self._swept.report_names(node)
        for record in looks(path, at, seen, absent, births):
            self.emit(record)
        self._racy.note(node, seen)

    def absent(self, directory: bytes, at: int, names: Iterable[bytes]) -> None:
        """None of these names is there, in a directory that may be unknown."""
        for record in looks(directory, at, Seen([], b""), sorted(names)):
            self.emit(record)

    def nothing_in(self, directory: bytes, at: int) -> None:
        """There is nothing in a directory, or no such directory."""
        self.emit(Listing(directory, at, [], b""))

    def gone(self, anchor: bytes, at: int) -> None:
        """There is no directory where an anchor was."""
        self.emit(Gone(anchor, at))
