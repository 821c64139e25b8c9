"""Whether a client waits for a service that is away, and what is logged of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("shardwatch.aggregator.client")

#: Seconds for which a service must be away before it is logged that the client waits for it. A program that died is back sooner.
LOG_S: Final = 1.0


class Absence:
    """Reports that the client waits for a service and that the service is back, once each.

    Args:
        where: the endpoint of the service.
        tell: receives the reports; the log by default.
    """

    def __init__(
        self, where: str, tell: Callable[[str], object] = logger.warning, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._where = where
        self._tell = tell
        self._clock = clock
        self._since: float | None = None
        self._logged = False

    def noted(self, reason: object) -> None:
        """The service is away, or refuses for now."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if not self._logged and now - self._since >= LOG_S:
            self._logged = True
            self._tell(f"The service at {self._where} is waited for: {reason}")

    def over(self) -> None:
        """It has answered."""
        if self._logged:
            self._tell(f"The service at {self._where} is back")
        self._since, self._logged = None, False
