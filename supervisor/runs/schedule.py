"""Which run begins next, and what becomes of the batches that runs are made of. Pure.

A change of a batch is done when its run succeeded. What is done is acknowledged at once, by its ticks. When the last run of a
batch has ended, the batch is acknowledged as a whole, or what is left of it has failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from .change import FRESH, Change, Taken
from .command import Command, Run
from .instructions import Acknowledge, Fail, Instruction, Stop


@dataclass(slots=True)
class _Batch:
    """A batch on lease."""

    taken: Taken
    #: Runs that have not ended.
    open: int = 0
    #: Why its runs failed, and the end of what they had written: of the last one.
    reason: str = ""
    output: str = ""
    failed: set[int] = field(default_factory=set)


class Schedule:
    """Batches go in, runs and instructions come out.

    Args:
        jobs: runs side by side, at most.
        kinds: of changes that a run is made for. Others are done as they are.
        retries: what failed comes again; else it is done, too.
    """

    def __init__(self, command: Command, jobs: int, kinds: Collection[str], *, retries: bool) -> None:
        self._command = command
        self._jobs = jobs
        self._kinds = frozenset(kinds)
        self._retries = retries
        self._number = 0
        self._queue: deque[Run] = deque()
        self._running: dict[int, Run] = {}
        #: The paths of what is running.
        self._busy: set[bytes] = set()
        self._batches: dict[str, _Batch] = {}
        #: Runs that were put off, by batch.
        self._late: dict[str, list[Run]] = {}

    def wants(self, kind: str) -> bool:
        """Whether runs are made for changes of this kind."""
        return kind in self._kinds

    def batches(self) -> list[Taken]:
        """Those on lease."""
        return [batch.taken for batch in self._batches.values()]

    def is_hungry(self, *, ahead: bool) -> bool:
        """Whether another batch could be made use of: now, or with `ahead` as soon as the next runs have ended."""
        if ahead:
            return len(self._queue) < self._jobs
        return not self._queue and len(self._running) < self._jobs

    def begin(self) -> None:
        """A run for no change at all comes first."""
        self._number += 1
        self._queue.append(Run(self._number, "", 1, ()))

    def take(self, taken: Taken, late: Collection[int] = ()) -> list[Instruction]:
        """A batch was handed to us. The changes with these ticks are put off until `resume`, with all others that concern their
        paths."""
        if taken.batch in self._batches:  # handed out twice, since its answer was
            return []
        # All other leases of the group are over then.
        over = list(self._batches) if any(change.kind == FRESH for change in taken.changes) else []
        stops = [instruction for batch in over for instruction in self.lost(batch)]
        wanted = [change for change in taken.changes if self.wants(change.kind)]
        if not wanted:
            return [*stops, Acknowledge(taken.batch, None)]
        off = {path for change in wanted if change.tick in late for path in change.paths()} if late else set()
        runs = self._runs(taken, [change for change in wanted if off.isdisjoint(change.paths())] if off else wanted)
        waiting = self._runs(taken, [change for change in wanted if not off.isdisjoint(change.paths())] if off else [])
        self._queue.extend(runs)
        if waiting:
            self._late[taken.batch] = waiting
        self._batches[taken.batch] = _Batch(taken, len(runs) + len(waiting))
        return stops

    def _runs(self, taken: Taken, changes: list[Change]) -> list[Run]:
        return [self._make(taken, some) for some in self._command.split(changes)]

    def resume(self, batch: str) -> list[Instruction]:
        """What was put off of that batch is run for now."""
        self._queue.extend(self._late.pop(batch, ()))
        return []

    def _make(self, taken: Taken, changes: tuple[Change, ...]) -> Run:
        self._number += 1
        return Run(self._number, taken.batch, taken.attempt, changes)

    def next(self) -> Run | None:
        """The run that begins now; None where there is none, all jobs are busy, or its paths are in another run."""
        if not self._queue or len(self._running) >= self._jobs:
            return None
        busy = self._busy
        for place, run in enumerate(self._queue):
            paths = run.paths()
            alone = not paths  # it concerns all that is known
            if busy.isdisjoint(paths) and not (alone and self._running):
                del self._queue[place]
                self._running[run.number] = run
                self._busy |= paths
                return run
            busy = busy | paths
        return None

    def ended(self, run: Run, failure: str, output: str = "") -> list[Instruction]:
        """A run has ended; `failure`: why it failed, empty where it did not; `output`: the end of what it had written."""
        del self._running[run.number]
        self._busy -= run.paths()
        batch = self._batches.get(run.batch)
        if batch is None:  # its lease was lost meanwhile
            return []
        batch.open -= 1
        if failure and self._retries:
            batch.reason, batch.output = failure, output
            batch.failed.update(change.tick for change in run.changes)
        if batch.open:
            done = () if failure and self._retries else tuple(change.tick for change in run.changes)
            return [Acknowledge(run.batch, done)] if done else []
        del self._batches[run.batch]
        if not batch.failed:
            return [Acknowledge(run.batch, None)]
        done = tuple(change.tick for change in batch.taken.changes if change.tick not in batch.failed)
        failed = Fail(run.batch, batch.reason, batch.output)
        return [Acknowledge(run.batch, done), failed] if done else [failed]

    def lost(self, batch: str) -> list[Instruction]:
        """The lease of a batch is over: its paths are handed out again, perhaps to another worker."""
        self._batches.pop(batch, None)
        self._late.pop(batch, None)
        self._queue = deque(run for run in self._queue if run.batch != batch)
        return [Stop(run) for run in self._running.values() if run.batch == batch]
