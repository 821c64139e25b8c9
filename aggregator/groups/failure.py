"""How a batch has failed. Pure."""

from __future__ import annotations

from msgspec import Struct


class Failure(Struct, frozen=True):
    """What a worker says of a batch that it could not do, or what is said of one whose lease has expired."""

    reason: str
    #: Seconds until the batch may be handed out again; None: later from failure to failure.
    retry_s: float | None = None
    #: The end of what the worker had written.
    output: str = ""
