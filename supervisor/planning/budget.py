"""What the limits of the machine leave to one service."""

from __future__ import annotations

from msgspec import Struct


class Budget(Struct, frozen=True):
    """What a plan may use (`limits.budget`)."""

    shards_max: int
    watches_max: int
