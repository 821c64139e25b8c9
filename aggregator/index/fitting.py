"""Keeps the entries, and their lanes, as the settings in force want them: when the index was opened, and when a running service
takes over other roots.

Where nothing but roots and single files differs, only what lies at and below those that differ is looked at: of any other path it
does not depend on them whether it is in scope, and in which lane.
"""

from __future__ import annotations

import logging

from shardwatch.shard.contract.state.settings import Settings

from .index import Index
from .opening import lane_function, refit, refitted

log = logging.getLogger("shardwatch.aggregator")


class Fitting:
    """Of one opening of an index. Its methods may raise sqlite3.Error.

    Args:
        settings: those in force.
        notes: what `status` shows; what was last left out is added, in place of what was before.
    """

    def __init__(self, index: Index, settings: Settings, notes: list[str]) -> None:
        #: Those in force: all rows that are written agree with them, and all others once it does not work any more.
        self.settings = settings
        self._index = index
        self._notes = notes
        self._note = ""
        self._refit = refit(index, settings)
        self._forget()

    @property
    def works(self) -> bool:
        """Whether there is a step to be made."""
        return self._refit is not None

    def take_over(self, settings: Settings) -> None:
        """These settings are in force from now on. They differ in roots and single files at most. Call it before anything is
        applied that shards saw with them."""
        if settings == self.settings:
            return
        before, self.settings = self.settings, settings
        self._index.records.take_lanes(lane_function(settings))
        # Where entries are being adapted already, those behind the walk agree with the settings of before.
        self._refit = refit(self._index, settings, None if self._index.unfit else differing(before, settings))
        self._forget()

    def step(self) -> None:
        """Adapts the next entries: some 50 ms."""
        work = self._refit
        assert work is not None
        self._index.file.on_progress()
        if work.step():
            return
        self._refit = None
        note = refitted(work, self.settings)
        if note:
            log.info("%s", note)
            if self._note in self._notes:
                self._notes.remove(self._note)
            self._note = note
            self._notes.append(note)

    def _forget(self) -> None:
        """What is to be forgotten without events is forgotten before any shard says that it is gone."""
        while self.settings.forget_left_out and self.works:
            self.step()


def differing(before: Settings, after: Settings) -> list[bytes]:
    """The roots and single files that only one of them has. Pure."""
    return sorted({*before.roots} ^ {*after.roots} | {*before.files} ^ {*after.files} | {*before.only} ^ {*after.only})
