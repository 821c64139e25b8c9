"""Runs that wait, because their command seems to make the changes itself for which they are to be run (`runs.echoes`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...runs.change import Taken
from ...runs.echoes import PAUSE_S_MAX, Echoes
from ...terminal.streams import say

#: Seconds between two looks at paths whose run was put off: whoever changes one of them is not kept waiting.
_LOOK_S: Final = 1.0
#: Batches of which something is put off, at most: a group may have only so many on lease (`leases_max`).
_BATCHES_MAX: Final = 16


@dataclass(slots=True)
class _Waiting:
    """What of a batch is run for later. Times are of time.monotonic."""

    paths: list[bytes]
    due: float
    #: When the paths are looked at next.
    look: float


class PutOff:
    """Of the batches of one group. Owned by one thread.

    Args:
        wants: whether the command is run for changes of a kind.
    """

    def __init__(self, echoes: Echoes, wants: Callable[[str], bool]) -> None:
        self._echoes = echoes
        self._wants = wants
        self._batches: dict[str, _Waiting] = {}
        self._warned = False

    def due(self) -> float:
        """When there is something to do (time.monotonic); infinite for never."""
        return min([min(waiting.due, waiting.look) for waiting in self._batches.values()], default=float("inf"))

    def choose(self, taken: Taken) -> list[int]:
        """The ticks of those changes of a batch whose run has to wait. The batch is one that was not looked at before."""
        pauses = {}
        for change in taken.changes:
            if self._echoes.may_be_echo(change.path) and self._wants(change.kind):
                pause_s = self._echoes.pause_s(change.path, _changed_ns(change.path))
                if pause_s:
                    pauses[change.tick] = (pause_s, change.path)
        if pauses:
            now = time.monotonic()
            paths = [path for _, path in pauses.values()]
            self._warn_of_loop(paths[0])
            self._batches[taken.batch] = _Waiting(paths, now + max(pause_s for pause_s, _ in pauses.values()), now + _LOOK_S)
        return list(pauses)

    def take_due(self, now: float) -> list[str]:
        """The batches that are run for now: their time is over, somebody else has changed a path since, or too many wait."""
        over = len(self._batches) - _BATCHES_MAX
        found = [
            batch
            for place, (batch, waiting) in enumerate(self._batches.items())
            if place < over or now >= waiting.due or self._is_changed(waiting, now)
        ]
        for batch in found:
            del self._batches[batch]
        return found

    def _is_changed(self, waiting: _Waiting, now: float) -> bool:
        if now < waiting.look:
            return False
        waiting.look = now + _LOOK_S
        changed = [path for path in waiting.paths if not self._echoes.is_echo(path, _changed_ns(path))]
        for path in changed:
            self._echoes.forget(path)
        return bool(changed)

    def _warn_of_loop(self, path: bytes) -> None:
        if not self._warned:
            self._warned = True
            say(
                f"shardwatch: warning: {os.fsdecode(path)!r} changes during run after run, as if the command changed it: "
                f"runs for such changes wait from now on, up to {PAUSE_S_MAX / 60:.0f} min (exclude what the command writes)"
            )


def _changed_ns(path: bytes) -> int:
    """When a file was changed last, nanoseconds since 1970; of one that is gone, when the nearest directory that is there was."""
    while True:
        try:
            return os.lstat(path).st_ctime_ns
        except OSError:
            if path in (b"/", b""):
                return 0
            path = os.path.dirname(path)
