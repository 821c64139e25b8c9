"""A command that runs once at a time and always for the latest state, such as a server: what becomes of a change while it runs.
Pure.

Changes are done as soon as they are taken: nothing is retried, and nothing is on lease.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from .change import Change, Taken
from .command import Command, Run
from .instructions import Acknowledge, Instruction, Signal, Stop


class OnBusy(StrEnum):
    """What becomes of a change while the command runs."""

    #: It waits for the end of the run.
    QUEUE = "queue"
    #: The run is ended, and the next one begins.
    RESTART = "restart"
    #: Nothing: no run is made for it.
    DROP = "drop"
    #: The run is sent a signal.
    SIGNAL = "signal"


class Latest:
    """Batches go in, runs and instructions come out, one run at a time.

    Args:
        kinds: of changes that count. Others are done as they are.
        on_busy: RESTART, DROP or SIGNAL. (QUEUE is what `Schedule` does.)
    """

    def __init__(self, command: Command, kinds: Collection[str], on_busy: OnBusy) -> None:
        self._command = command
        self._kinds = frozenset(kinds)
        self._on_busy = on_busy
        self._number = 0
        self._running: Run | None = None
        self._stopping = False
        #: What the next run is for, by the paths that it is told of: the later change takes the place of one that tells no more.
        self._pending: dict[tuple[bytes, ...], Change] = {}
        #: A run for no change is due.
        self._due = False
        #: Changes that were put off, by batch.
        self._late: dict[str, list[Change]] = {}

    def wants(self, kind: str) -> bool:
        """Whether changes of this kind count."""
        return kind in self._kinds

    def batches(self) -> list[Taken]:
        """Those on lease: none."""
        return []

    def is_hungry(self, *, ahead: bool) -> bool:
        """Every change must be heard of at once."""
        return True

    def begin(self) -> None:
        """A run for no change at all comes first."""
        self._due = True

    def take(self, taken: Taken, late: Collection[int] = ()) -> list[Instruction]:
        """A batch was handed to us. The changes with these ticks are put off until `resume`."""
        wanted = [change for change in taken.changes if self.wants(change.kind)]
        if self._on_busy is not OnBusy.DROP or self._running is None:
            off = [change for change in wanted if change.tick in late]
            if off:
                self._late[taken.batch] = off
                wanted = [change for change in wanted if change.tick not in late]
        return [Acknowledge(taken.batch, None), *self._changed(wanted)]

    def resume(self, batch: str) -> list[Instruction]:
        """What was put off of that batch counts from now on."""
        return self._changed(self._late.pop(batch, []))

    def _changed(self, wanted: list[Change]) -> list[Instruction]:
        if not wanted:
            return []
        if self._running is None or self._stopping:
            self._wait_for(wanted)
            return []
        match self._on_busy:
            case OnBusy.RESTART:
                if self._command.is_told_paths:  # what the run is ended for it has not done: the next one does
                    self._wait_for(self._running.changes)
                self._wait_for(wanted)
                self._stopping = True
                return [Stop(self._running)]
            case OnBusy.SIGNAL:
                return [Signal(self._running, tuple(wanted))]
            case _:
                return []

    def _wait_for(self, changes: Collection[Change]) -> None:
        for change in changes:
            told = self._command.told(change)
            self._pending.pop(told, None)
            self._pending[told] = change

    def next(self) -> Run | None:
        """The run that begins now; None where one goes on, or nothing has changed."""
        if self._running is not None or not (self._pending or self._due):
            return None
        waiting = tuple(self._pending.values())
        changes = next(self._command.split(waiting), ()) if self._command.is_told_paths else waiting
        for change in changes:
            del self._pending[self._command.told(change)]
        self._due = False
        self._number += 1
        self._running = Run(self._number, "", 1, changes)
        return self._running

    def ended(self, run: Run, failure: str, output: str = "") -> list[Instruction]:
        """The run has ended, whether it has failed or not."""
        self._running, self._stopping = None, False
        return []

    def lost(self, batch: str) -> list[Instruction]:
        """No batch is on lease."""
        return []
