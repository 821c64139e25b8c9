"""Keeps the deadlines of waiting requests. Pure: the time is passed in."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

#: The heap is made anew when it has more out-of-date entries than current ones, by at least this number.
_STALE_MAX = 1000


class Deadlines(Generic[T]):
    """One deadline for each item.

    Attributes:
        first: a time not later than the first deadline, or infinity if there is none. Every turn of the aggregator asks for it.
    """

    def __init__(self) -> None:
        #: (when, order, item); an entry is out of date unless `_order_of` has its order.
        self._heap: list[tuple[float, int, T]] = []
        self._order_of: dict[T, int] = {}
        self._order = 0
        self.first = float("inf")

    def __len__(self) -> int:
        return len(self._order_of)

    def __iter__(self) -> Iterator[T]:
        """Iterates over the items in the order in which they were set."""
        return iter(self._order_of)

    def set(self, item: T, when: float) -> None:
        """Sets the time at which an item is due. A time that was set before is forgotten."""
        self._order += 1
        self._order_of.pop(item, None)
        self._order_of[item] = self._order
        heapq.heappush(self._heap, (when, self._order, item))
        if len(self._heap) > 2 * len(self._order_of) + _STALE_MAX:
            self._heap = [entry for entry in self._heap if self._order_of.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
        self.first = self._heap[0][0]

    def drop(self, item: T) -> None:
        """Forgets an item. Idempotent."""
        self._order_of.pop(item, None)

    def clear(self) -> None:
        self._heap, self._order_of = [], {}
        self.first = float("inf")

    def take(self, now: float) -> Iterator[T]:
        """Takes out the items that are due one by one, the earliest first, but not those that are set in the meantime. The caller
        may stop after any item.
        """
        last = self._order
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] <= last:
            _, order, item = heapq.heappop(self._heap)
            self.first = self._heap[0][0] if self._heap else float("inf")
            if self._order_of.get(item) == order:
                del self._order_of[item]
                yield item
