"""How many watches a shard may hold, while the service runs: the plan's share at first, and more as soon as there is room."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from ..contract.kernel.allowance import WATCHES, allowance
from ..contract.limits import LIMIT_RESERVE
from .base import Backend

#: What the user's processes hold is counted again after so long, ns. It takes some milliseconds, and 100 ms where they hold
#: hundreds of thousands of watches. The limit itself is read each time.
_COUNT_NS: Final = 30_000_000_000


@runtime_checkable
class Limited(Protocol):
    """A backend with one watch for each directory."""

    #: How many watches it may hold; 0: as many as the kernel gives.
    watches_max: int

    def watches(self) -> int: ...


@runtime_checkable
class Composed(Protocol):
    """A backend of which such a one is a part."""

    @property
    def limited(self) -> Backend | None: ...

    @property
    def refuses_all(self) -> bool: ...


def limited_part(backend: Backend) -> Limited | None:
    """That of a backend which has a watch for each directory; None if there is no such part now."""
    part = backend.limited if isinstance(backend, Composed) else backend
    return part if isinstance(part, Limited) else None


def refusals_of(backend: Backend) -> Callable[[], bool]:
    """Tells whether one directory that is refused for want of room means that every other one will be refused."""
    if isinstance(backend, Composed):
        return lambda: backend.refuses_all
    limited = isinstance(backend, Limited)
    return lambda: limited


class WatchShare:
    """Owned by one thread.

    Args:
        backend: the one whose watches are meant; None while there is none.
        shards: of the service. What is free is shared among them.
        allowed: the limit that applies to this user.
        others: the watches of all other processes of this user.
    """

    def __init__(
        self,
        backend: Callable[[], Limited | None],
        shards: int,
        *,
        allowed: Callable[[], int] = lambda: allowance(WATCHES).value,
        others: Callable[[], int] | None = None,
    ) -> None:
        self._backend = backend
        self._shards = max(1, shards)
        self._allowed = allowed
        self._others = others if others is not None else _others
        self._counted_at = 0
        self._counted_for = 0

    def share_among(self, shards: int) -> None:
        """The service has so many shards now."""
        self._shards = max(1, shards)

    def renew(self, now: int) -> bool:
        """Takes a part of what the limit leaves free by now, beside the reserve for other programs. Returns whether that is
        anything. Call it again and again while directories wait for a watch; `now`: monotonic, ns.
        """
        backend = self._backend()
        if backend is None:
            return False
        held, most = backend.watches(), backend.watches_max
        if not most or held < most:
            return False  # it is the kernel that gives no more
        allowed = self._allowed()
        if allowed == self._counted_for and now < self._counted_at + _COUNT_NS:
            return False
        self._counted_for, self._counted_at = allowed, now
        free = int(allowed * (1 - LIMIT_RESERVE)) - held - self._others()
        if free <= 0:
            return False
        backend.watches_max = most + -(-free // self._shards)
        return True


def _others() -> int:
    from ..contract.kernel.usage import held_by_user  # only shards whose share is used up need it

    return held_by_user(os.geteuid(), but=os.getpid()).watches
