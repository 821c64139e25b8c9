"""To whom a batch is leased, and until when. Pure."""

from __future__ import annotations

from msgspec import Struct


class LeaseTerms(Struct, frozen=True):
    """What a lease gives to the worker whose pull it answers."""

    #: End of the lease, seconds of the caller's clock.
    due: float
    #: As the worker calls itself.
    worker: str
    #: The connection on which its pull came; b"" where there is none, as in tests.
    peer: bytes = b""
    #: The number of its pull, 0 if it has none: for `Batches.take_back_repeated`.
    once: int = 0
    #: The batch is pulled ahead: until it is extended, `Batches.take_back_ahead` may give it to somebody else, and the end of its
    #: lease is no failure.
    ahead: bool = False
