"""What the aggregator's process may take of the machine: its memory and its priority, as its settings say."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from shardwatch.shard.contract.process.memory_cap import MemoryCap, resident_bytes
from shardwatch.shard.contract.process.priority import PriorityRefusal, is_set, take_priority
from shardwatch.shard.contract.process.renewal import AGAIN_CODE, MEMORY_CODE, renewals_before
from shardwatch.shard.contract.state.settings import Settings, SettingsFile

log = logging.getLogger("shardwatch.aggregator")


class OwnLimits:
    """Owned by one thread, for the whole life of the process. Make it before other threads are started.

    Attributes:
        settings: as they were last read.
        refused: what the kernel did not allow, for `status`. All programs of a service have the same rights.
        exit_code: 0, or that of a process which is to end now, to be started again.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._file = SettingsFile(path)
        self.settings = settings
        self.memory = MemoryCap(settings.memory_mib_max, renewals=renewals_before(), now=time.monotonic())
        self.refused = PriorityRefusal()
        self.exit_code = 0
        if is_set(settings):
            self._take_priority(settings)

    def changed(self) -> Settings | None:
        """The settings, if they were exchanged since they were last read; they are kept to from now on. Where the process may not
        raise its priority, and its successor would have it, it is to end."""
        settings = self._file.changed()
        if settings is None or settings == self.settings:
            return None
        self.settings = settings
        self.memory.limit(settings.memory_mib_max)
        if self._take_priority(settings):
            self.exit_code = self.exit_code or AGAIN_CODE
        return settings

    def look(self, *, settled: bool) -> bool:
        """Asks how much memory the process has. Returns whether some should be given back now. `settled`: everything was scanned
        and committed once."""
        memory = self.memory
        if not memory.asks:
            return False
        gives_back = memory.look(time.monotonic(), resident_bytes(), settled=settled)
        if memory.reached and not self.exit_code:
            log.warning(
                "it has %d MiB and had %d when it began, memory_mib_max allows less: leaving, to be started again",
                memory.resident >> 20, memory.needed >> 20,
            )  # fmt: skip
            self.exit_code = MEMORY_CODE
        return gives_back

    def _take_priority(self, settings: Settings) -> bool:
        """Returns whether another start would have the priority that this process may not have."""
        self.refused = take_priority(settings)
        if self.refused.what:
            log.warning("%s (%s)", self.refused.what, self.refused.remedy)
        return self.refused.restart_helps
