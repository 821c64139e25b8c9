"""What the limits of the machine leave to one service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What a plan may use (`limits.budget`)."""

    shards_max: int
    watches_max: int
