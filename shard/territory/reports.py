"""Turns what a shard has seen into records, in the order of looking."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..contract.files.packed import Seen, racies
from ..contract.limits import FRAME_ENTRIES_MAX
from ..contract.wire.frames import Gone, Listing, Looks, Record
from ..stream.send import listings, looks
from ..tree.nodes import Node
from ..tree.racy import RacyNames
from .descent import OpenLevels
from .swept import Swept


class Reports:
    """Owned by one thread. It also notes the names that have to be looked at once more.

    Args:
        emit: takes each record.
        racy: notes the names whose look was racy, which are looked at once more.
        on_progress: called after each record of a directory that takes several.

    Attributes:
        open_levels: of the scans that are under way; they are told when names of their directories are reported.
    """

    def __init__(
        self, emit: Callable[[Record], None], swept: Swept, racy: RacyNames, on_progress: Callable[[], object]
    ) -> None:
        self.emit = emit
        self.open_levels = OpenLevels()
        self._on_progress = on_progress
        self._swept = swept
        self._racy = racy

    def emit_by(self, emit: Callable[[Record], None]) -> None:
        """Each record is taken by this from now on."""
        self.emit = emit

    def listing(self, node: Node, path: bytes, at: int, seen: Seen, births: dict[bytes, int]) -> None:
        """Reports everything in scope in a directory, in several records if it is large."""
        if len(seen.names) <= FRAME_ENTRIES_MAX and not births:
            self.emit(Listing(path, at, seen.names, seen.stats))  # as nearly always
        else:
            for record in listings(path, at, seen, births):
                self.emit(record)
                if record.upto is not None:
                    self._on_progress()
        self.open_levels.reported(node)
        self._racy.note(node, seen)

    def names(
        self, node: Node, path: bytes, at: int, seen: Seen, absent: list[bytes], births: dict[bytes, int] | None = None
    ) -> None:
        """Reports some names of a directory, and which of them do not exist."""
        self._swept.report_names(node)
        for record in looks(path, at, seen, absent, births):
            self.emit(record)
        if absent:
            self.open_levels.reported(node)
        self._racy.note(node, seen)

    def files(self, at: int, seen: list[tuple[Node, bytes, list[bytes], bytes]]) -> None:
        """Reports names of many directories, all of which are there.

        Args:
            seen: of each its node and path, and at most FRAME_ENTRIES_MAX names in it with their packed stats.
        """
        emit = self.emit
        if self._swept:
            for node, _, _, _ in seen:
                self._swept.report_names(node)
        for _, path, names, stats in seen:
            emit(Looks(path, at, names, stats, []))
        if 1 in racies(b"".join([stats for _, _, _, stats in seen])):
            for node, _, names, stats in seen:
                self._racy.note(node, Seen(names, stats))

    def absent(self, directory: bytes, at: int, names: Iterable[bytes]) -> None:
        """Reports that none of these names exists, in a directory that may be unknown."""
        for record in looks(directory, at, Seen([], b""), sorted(names)):
            self.emit(record)

    def nothing_in(self, directory: bytes, at: int) -> None:
        """Reports that a directory is empty or does not exist."""
        self.emit(Listing(directory, at, [], b""))

    def gone(self, anchor: bytes, at: int) -> None:
        """Reports that an anchor does not exist any more."""
        self.emit(Gone(anchor, at))
