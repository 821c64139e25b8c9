"""When each group has something to do again: a lease ends, or a batch that failed may be handed out again. Pure."""

from __future__ import annotations

import heapq

from .group import Group


class Dates:
    """The earliest date of each group, seconds of the clock that leases are on."""

    def __init__(self) -> None:
        #: (when, order, group), a heap; what `_earliest` does not have any more is out of date.
        self._heap: list[tuple[float, int, Group]] = []
        self._order = 0
        self._earliest: dict[Group, float] = {}

    def note(self, group: Group, when: float) -> None:
        """The group has something to do at that date; later ones need not be noted before it has come."""
        if when < self._earliest.get(group, float("inf")):
            self._order += 1
            self._earliest[group] = when
            heapq.heappush(self._heap, (when, self._order, group))

    def first(self) -> float:
        """No date is earlier; infinite where there is none."""
        return self._heap[0][0] if self._heap else float("inf")

    def take(self, now: float) -> list[Group]:
        """The groups whose date has come. They have none any more."""
        come = []
        while self._heap and self._heap[0][0] <= now:
            when, _, group = heapq.heappop(self._heap)
            if self._earliest.get(group) == when:
                del self._earliest[group]
                come.append(group)
        return come
