"""Whether it makes sense to ask for another watch now. Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: After a watch was refused, none is asked for so long, ns.
RETRY_NS: Final = 2_000_000_000


class Room:
    """Thousands of directories may want a watch when there is none left: one attempt tells for all of them.

    `clock`: monotonic, ns.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._full_until: int | None = None

    @property
    def open(self) -> bool:
        """Whether another watch may be had."""
        return self._full_until is None or self._clock() >= self._full_until

    def refused(self) -> None:
        """There was none left."""
        self._full_until = self._clock() + RETRY_NS

    def freed(self) -> None:
        """A watch was given back, or more are allowed."""
        self._full_until = None
