"""The result of a pull: a batch, or the reason why there is none. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from .events import Events


class NoBatch(StrEnum):
    """Why a pull gets no batch, in the words of docs/protocol.md."""

    #: Nothing is pending, or everything that is has its path on lease.
    EMPTY = "empty"
    #: The group has as many batches on lease as it may have.
    LEASES = "leases"
    #: `fresh` is on lease, or waits for its next attempt; it must be acknowledged before anything else is handed out.
    FRESH = "fresh"
    #: The group begins when everything that was there before is known.
    BASELINE = "baseline"
    #: Batches are held back.
    HELD = "held"
    #: There was something, but other workers had their turn first.
    TURN = "turn"


class GroupBatch(NamedTuple):
    """What a pull hands out."""

    #: 0 where nothing was leased.
    number: int
    attempt: int
    #: End of the lease, seconds of the caller's clock.
    due: float
    events: Events
    #: Whether another pull would get something at once, as far as is known.
    more: bool
