"""Asks a service how it is, once for all who want to know at the same time."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from msgspec import to_builtins

from shardwatch.shard.contract.state.layout import Layout

from ..planning.limits import read_inotify_limits
from ..service.status_now import status_now

#: Seconds for which an answer is given again. A page asks every two seconds, a scraper every fifteen.
FRESH_S: Final = 0.5
#: The same for the limits of inotify, for which every process of the machine is looked at.
LIMITS_FRESH_S: Final = 15.0


class Observer:
    """The status of one service. To be used in one event loop.

    Args:
        layout: of the service; it may be away, and come back.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._lock = asyncio.Lock()
        self._status: dict[str, Any] | None = None
        self._seen_at = 0.0
        self._limits: dict[str, Any] | None = None
        self._limits_seen_at = 0.0

    async def status(self) -> dict[str, Any]:
        """The status, as `status --json` prints it, at most FRESH_S old. In addition it has `time`, when it was seen, in seconds
        since 1970, and `limits`, those of inotify for the user of the service.

        Waits for up to some seconds where the service does not answer, in a thread.
        """
        async with self._lock:
            if self._status is None or time.monotonic() - self._seen_at > FRESH_S:
                self._status = await asyncio.to_thread(self._examine)
                self._seen_at = time.monotonic()
            return self._status

    def _examine(self) -> dict[str, Any]:
        return {**status_now(self.layout), "limits": self._limits_of_user()}

    def _limits_of_user(self) -> dict[str, Any] | None:
        """None where the state directory is gone."""
        if self._limits is None or time.monotonic() - self._limits_seen_at > LIMITS_FRESH_S:
            try:
                uid = self.layout.state_dir.stat().st_uid
            except OSError:
                return None
            self._limits = to_builtins(read_inotify_limits(uid))
            self._limits_seen_at = time.monotonic()
        return self._limits
