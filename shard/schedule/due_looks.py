"""Looks at names whose debounce time is over, in many directories at once. Does no input or output itself: the steps that are
made here look at the disk.

A name that turns out to be a directory is handed over to the arrivals as soon as it is to be entered, so that a large tree does
not delay the looks at other names.
"""

from __future__ import annotations

from collections import deque

from ..territory.territory import Steps, Territory
from ..territory.together import Waiting, look_together
from ..tree.nodes import Node
from .arrivals import Arrivals
from .debounce import Debounce
from .steps import step


class DueLooks:
    """Owned by one thread."""

    def __init__(self, territory: Territory, debounce: Debounce[Node], arrivals: Arrivals) -> None:
        self._territory = territory
        self._debounce = debounce
        self._arrivals = arrivals
        #: Names whose debounce time is over, by directory.
        self._due: deque[Waiting] = deque()
        #: Those of them that have to be looked at directory by directory.
        self._begun: deque[Steps] = deque()

    def __len__(self) -> int:
        """In how many directories names wait for their look, apart from those that are debounced."""
        return len(self._due) + len(self._begun)

    def __bool__(self) -> bool:
        return bool(self._due or self._begun)

    def take_due(self, now: int) -> None:
        """Takes over the names that are due. While others wait for their turn, they stay where each of them is kept once."""
        if not self:
            self._due.extend(self._debounce.due(now).items())

    def step(self) -> bool:
        """Makes one step of what has its turn. Returns False if there is none."""
        if self._begun:
            if not step(self._begun):
                self._arrivals.find(self._begun.popleft())
        elif self._due:
            self._begun.extend(look_together(self._territory, self._due))
        else:
            return False
        return True

    def take(self) -> tuple[list[Steps], deque[Waiting]]:
        """Takes out everything: the looks that are begun, and the names that wait, also those that are debounced yet."""
        begun, names = list(self._begun), deque([*self._due, *self._debounce.flush().items()])
        self._begun.clear()
        self._due.clear()
        return begun, names

    def clear(self) -> None:
        """Forgets everything."""
        self.take()
