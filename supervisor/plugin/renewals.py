"""How often a program has ended because it had more memory than it may have, and was started again. Pure."""

from __future__ import annotations

from shardwatch.shard.contract.process.renewal import PAUSE_S_MAX


class Renewals:
    """Of one program.

    Attributes:
        count: since the service was started.
        in_a_row: so often, each time after a life of less than an hour.
    """

    def __init__(self) -> None:
        self.count = 0
        self.in_a_row = 0

    def ended(self, lived_s: float) -> None:
        """It has ended for that, after so many seconds."""
        self.count += 1
        self.in_a_row = self.in_a_row + 1 if lived_s < PAUSE_S_MAX else 1
