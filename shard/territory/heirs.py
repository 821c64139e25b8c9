"""The places that a shard watches in advance, as an heir: the next plan gives them to it. It looks at them as at its own, and
tells nothing of them, since their owner does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..contract.files.paths import Nearest
from ..contract.wire.frames import Listing, Looks, Record
from .place import Place
from .reports import Reports

#: Directories that are looked at once more as soon as they are this shard's. Beyond that, those noted first are dropped.
NOTED_MAX: Final = 4_096
#: Names that are noted of one directory. If there are more, all of it is looked at.
NAMES_MAX: Final = 256


class Heirs:
    """Owned by one thread. Nearly always there are no such places, and nothing here is in the way of any record then.

    Attributes:
        places: those of which nothing is told.
        indexes: theirs (`Place.index`).
        stops: every anchor of the plan in force. They count again if nothing comes of the next plan.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._emit = reports.emit
        self.places: tuple[Place, ...] = ()
        self.indexes: frozenset[int] = frozenset()
        self.stops: frozenset[bytes] = frozenset()
        self._paths: frozenset[bytes] = frozenset()
        self._nearest = Nearest(())
        self._notes = False
        #: Directories with names in them, or all names (None). The one that was noted first is in front.
        self._noted: dict[bytes, set[bytes] | None] = {}

    def be_silent(self, places: Sequence[Place], others: Iterable[Place], stops: frozenset[bytes]) -> None:
        """From now on, nothing is told of these places.

        Args:
            others: the places that the shard owns.
            stops: every anchor of the plan in force.
        """
        self.places, self.stops = tuple(places), stops
        self.indexes = frozenset(place.index for place in places)
        self._paths = frozenset(place.anchor.path for place in places)
        self._nearest = Nearest((*self._paths, *(place.anchor.path for place in others)))
        if places:
            self._reports.emit_by(self._pass)

    def speak(self) -> None:
        """There are no such places any more: everything is told. Idempotent."""
        self.places, self.indexes, self._notes = (), frozenset(), False
        self._noted.clear()
        self._reports.emit_by(self._emit)

    def note_changes(self) -> None:
        """All of it was looked at once. What is looked at from now on has had a hint, and is noted."""
        self._notes = True

    def noted(self) -> list[tuple[bytes, list[bytes]]]:
        """Directories in which changes were seen, and the names (all names where the list is empty), in the order of looking."""
        return [(directory, sorted(names or ())) for directory, names in self._noted.items()]

    def _pass(self, record: Record) -> None:
        """Passes a record on, unless it is of one of these places."""
        path = getattr(record, "path", None)
        if path is None or self._nearest.of(path) not in self._paths:
            self._emit(record)
        elif self._notes:
            self._note(record)

    def _note(self, record: Record) -> None:
        if isinstance(record, Listing):
            self._noted[record.path] = None
        elif isinstance(record, Looks):
            names = self._noted.setdefault(record.path, set())
            if names is not None:
                names.update(record.names, record.absent)
                if len(names) > NAMES_MAX:
                    self._noted[record.path] = None
        if len(self._noted) > NOTED_MAX:
            del self._noted[next(iter(self._noted))]
