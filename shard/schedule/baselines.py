"""Baselines: everything that is owned is scanned and then reported as looked at, in a new epoch."""

from __future__ import annotations

from ..contract.wire.frames import Baseline
from ..stream.send import Stream
from ..territory.territory import Steps, Territory
from .rechecks import Rechecks
from .scans import Scans


class Baselines:
    """Owned by one thread.

    Args:
        rechecks: begin when the baseline of the epoch is done.
    """

    def __init__(self, territory: Territory, stream: Stream, scans: Scans, rechecks: Rechecks) -> None:
        self._territory = territory
        self._stream = stream
        self._scans = scans
        self._rechecks = rechecks
        #: Whether the baseline of this epoch is done.
        self.done = False

    def begin(self) -> None:
        """Scans everything that is owned, in a new epoch, which forgets whatever waited in the last one."""
        self.done = False
        self._scans.clear()
        self._territory.begin_epoch()
        self._scans.add(self._territory.places)
        self._scans.append(self._end())

    def _end(self) -> Steps:
        self.done = True
        self._territory.end_baseline()
        self._rechecks.begin()
        yield from self.report()

    def report(self) -> Steps:
        """Reports that everything that is owned has been looked at."""
        self._stream.add(Baseline(self._stream.generation, len(self._territory.directories), self._territory.files))
        yield
