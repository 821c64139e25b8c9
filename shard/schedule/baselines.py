"""Baselines: everything that is owned is scanned and then reported as looked at, in a new epoch and under another plan."""

from __future__ import annotations

from ..contract.state.planfile import PartChange
from ..contract.wire.frames import Baseline
from ..stream.send import Stream
from ..territory.passing_on import pass_on
from ..territory.territory import Steps, Territory
from .rechecks import Rechecks
from .scans import Scans
from .sync_answers import SyncAnswers


class Baselines:
    """Owned by one thread.

    Args:
        answers: of syncs, which are given anew under another plan.
        rechecks: begin when the baseline of the epoch is done.
    """

    def __init__(
        self, territory: Territory, stream: Stream, scans: Scans, answers: SyncAnswers, rechecks: Rechecks
    ) -> None:
        self._territory = territory
        self._stream = stream
        self._scans = scans
        self._answers = answers
        self._rechecks = rechecks
        #: Whether the baseline of this epoch is done.
        self.done = False
        #: Whether another plan waits for its turn.
        self.passes_on = False

    def begin(self) -> None:
        """Scans everything that is owned, in a new epoch, which forgets whatever waited in the last one."""
        self.done = self.passes_on = False
        self._scans.clear()
        self._territory.begin_epoch()
        self._scans.add(self._territory.places)
        self._scans.append(self._end())

    def go_by(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> None:
        """See `Watcher.go_by`."""
        self.passes_on = True
        self._scans.append(self._pass_on(generation, change, stops))

    def _end(self) -> Steps:
        self.done = True
        self._territory.end_baseline()
        self._rechecks.begin()
        yield from self._report()

    def _pass_on(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> Steps:
        self.passes_on = False
        territory = self._territory
        self._stream.go_by(generation)
        self._answers.forget()
        new = pass_on(territory, change, stops)
        territory.files = max(0, territory.files - sum(anchor.files for anchor in (*change.left, *change.cut)))
        self._scans.add(new)
        if new:
            self._scans.append(self._end_taken(territory.reader.looks))
        yield

    def _end_taken(self, looks: int) -> Steps:
        """Everything that was given to this shard is scanned. `looks`: how many there had been before."""
        self._territory.files += self._territory.reader.looks - looks
        yield from self._report()

    def _report(self) -> Steps:
        """Reports that everything that is owned has been looked at."""
        self._stream.add(Baseline(self._stream.generation, len(self._territory.directories), self._territory.files))
        yield
