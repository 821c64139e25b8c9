"""How facts and requests share the time of the process while there is more than it can do at once. Pure: the caller passes the
time in.

A worker waits for two answers with each batch, and each answer waits for the end of the transaction in which facts are applied.
If that took 50 ms each time, a worker would get some ten batches a second, however much of the time its group needs: groups
would fall behind by seconds while shards wait for next to nothing. So a request ends the transaction, but not before facts have
had as long as the requests before them.
"""

from __future__ import annotations

from typing import Final

#: Seconds after which a transaction ends, whoever waits.
TRANSACTION_S: Final = 0.05
#: Seconds that it has at least, before a request may end it: a few frames.
UNASKED_S: Final = 0.002


class Sharing:
    """Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._requests_s = 0.0

    def answered(self, seconds: float) -> None:
        """Requests were answered, which took so long."""
        self._requests_s = min(seconds, TRANSACTION_S)

    def begin(self, now: float) -> None:
        """A transaction begins. What requests took before it is made up for by its end."""
        self._begun = now

    def is_over(self, now: float) -> bool:
        """Whether the transaction ends now in any case."""
        return now - self._begun >= TRANSACTION_S

    def yields(self, now: float) -> bool:
        """Whether it ends if a request is there."""
        return now - self._begun >= max(UNASKED_S, self._requests_s)
