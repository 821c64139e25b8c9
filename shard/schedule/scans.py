"""The queue of scans, and of other jobs that are done only after the scans that wait by then. Does no input or output itself:
the steps that are made here look at the disk.

A scan of an anchor waits once, however often it is asked for. When its turn has come, it may still be held back (`scan_rate`),
and a rescan after lost hints is not begun before its time (`pace`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ..territory.anchors import is_to_be_scanned, scan_anchor
from ..territory.place import Place
from ..territory.territory import Steps, Territory
from .pace import RescanPace
from .scan_rate import ScanRate
from .steps import next_step


class Scans:
    """Owned by one thread. `clock` is monotonic, ns."""

    def __init__(self, territory: Territory, rate: ScanRate, clock: Callable[[], int]) -> None:
        self._territory = territory
        self._rate = rate
        self._clock = clock
        self._jobs: deque[Steps] = deque()
        #: Places whose scan waits and is not begun.
        self._waiting: set[Place] = set()
        #: A job that is not held back when its turn has come.
        self._free: Steps | None = None
        self.pace = RescanPace()
        #: Rescans of everything since the start.
        self.rescans = 0

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def pauses(self) -> bool:
        """Whether what has its turn is held back for the time being."""
        return bool(self._jobs) and self._jobs[0] is not self._free and self._rate.pauses(self._clock())

    def next_due(self) -> int | None:
        """When the rescan that is owed may begin, or the pause ends in which scans are held back; None if neither is awaited."""
        owed = self.pace.next_due()
        if not self._jobs:
            return owed
        return self._rate.ends_at if owed is None else min(owed, self._rate.ends_at)

    def clear(self) -> None:
        """Forgets everything that waits, and the rescan that is owed: a baseline replaces it."""
        self._jobs.clear()
        self._waiting.clear()
        self.pace.forget()

    def append(self, job: Steps, *, held: bool = True) -> None:
        """This job is done after all scans that wait now. `held`: it is held back as they are. Of those that are not, one may
        wait at a time."""
        self._jobs.append(job)
        if not held:
            self._free = job

    def add(self, places: Iterable[Place]) -> None:
        """These anchors are to be scanned."""
        for place in places:
            if place not in self._waiting:
                self._waiting.add(place)
                self._jobs.append(self.scan(place))

    def check(self, places: Iterable[Place]) -> None:
        """Those of these anchors are to be scanned at which something else lies than what was scanned there. What is watched in
        advance is not asked for: its first scan may be under way, and it is scanned once more when it is owned."""
        others = self._waiting.union(self._territory.heirs.places)
        self.add(place for place in places if place not in others and is_to_be_scanned(self._territory, place))

    def lost(self, now: int) -> None:
        """Hints were lost. A rescan is owed for them, unless scans of all places wait. Some that wait may be of places that were
        let go."""
        if not self._waiting.issuperset(self._territory.places):
            self.pace.overflow(now)

    def begin_owed(self, now: int) -> None:
        """Begins the rescan that is owed, if its time has come."""
        if self.pace.due(now):
            self.rescan()

    def rescan(self) -> None:
        """Everything that this shard owns is to be looked at again."""
        self.rescans += 1
        self.pace.begun()
        self.add(self._territory.places)
        self._jobs.append(self._end_rescan())

    def step(self) -> bool:
        """Makes one step of what has its turn. Returns False if there is none, or scans are held back."""
        return bool(self._jobs) and not self.pauses and next_step(self._jobs)

    def _end_rescan(self) -> Steps:
        self.pace.ended(self._clock())
        yield

    def scan(self, place: Place) -> Steps:
        """Scans an anchor at the rate that is allowed."""
        self._waiting.discard(place)
        reader, before = self._territory.reader, self._territory.reader.looks
        for _ in scan_anchor(self._territory, place):
            self._rate.spent(reader.looks - before + 1, self._clock())
            yield
            before = reader.looks  # others have looked meanwhile
