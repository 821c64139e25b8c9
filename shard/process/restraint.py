"""What a shard's process may take of the machine: its memory and its priority, as its settings say; and its end for their
sake."""

from __future__ import annotations

import logging
import time

from ..contract.process.memory_cap import MemoryCap, resident_bytes
from ..contract.process.priority import is_set, take_priority
from ..contract.process.renewal import AGAIN_CODE, MEMORY_CODE, renewals_before
from ..contract.process.slack import give_back
from ..contract.state.settings import Settings
from .departure import Departure

log = logging.getLogger("shardwatch.shard")


class Restraint:
    """Owned by one thread. Make it before other threads are started: they have the priority of the one that starts them.

    `limited`: whether its memory is limited; a stand-in ends by itself.
    """

    def __init__(self, settings: Settings, *, limited: bool) -> None:
        self._limited = limited
        self.departure = Departure()
        self.memory = MemoryCap(self._mib_max(settings), renewals=renewals_before(), now=time.monotonic())
        if is_set(settings):
            self._take_priority(settings)

    def take_over(self, settings: Settings) -> None:
        """Goes on with these settings. Where the process may not raise its priority, and its successor would have it, it is to
        end."""
        self.memory.limit(self._mib_max(settings))
        if self._take_priority(settings):
            self.departure.begin(time.monotonic_ns(), AGAIN_CODE)

    def look(self, *, settled: bool) -> None:
        """Asks how much memory the process has, which is a system call or two. `settled`: its baseline is done."""
        memory = self.memory
        if not memory.asks:
            return
        if memory.look(time.monotonic(), resident_bytes(), settled=settled):
            give_back()
        if memory.reached and not self.departure.begun:
            log.warning(
                "it has %d MiB and had %d when it began, memory_mib_max allows less: leaving, to be started again",
                memory.resident >> 20, memory.needed >> 20,
            )  # fmt: skip
            self.departure.begin(time.monotonic_ns(), MEMORY_CODE)

    def _mib_max(self, settings: Settings) -> int:
        return settings.memory_mib_max if self._limited else 0

    def _take_priority(self, settings: Settings) -> bool:
        """Returns whether another start would have the priority that this process may not have."""
        refused = take_priority(settings)
        if refused.what:
            log.warning("%s (%s)", refused.what, refused.remedy)
        return refused.restart_helps
