"""Directories that have appeared or disappeared, until they are entered or found gone. Does no input or output itself: the steps
that are made here look at the disk.

They come from two sources, which have their turn alternately: hints, and looks at names that turned out to be directories.
Several are entered at once, with one step of each in turn, so that a large tree that was moved in does not delay the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Final

from ..backend.base import Arrival
from ..territory.looking import reconcile
from ..territory.territory import Steps, Territory
from ..tree.nodes import Node
from .steps import step

#: Directories that are being entered at once, each with a few descriptors; the one that has waited longest has its turn first.
_ENTERED_MAX: Final = 32

#: A name in a directory, and how what is there now came to be there.
Hinted = Mapping[tuple[Node, bytes], Arrival]


def enter(territory: Territory, node: Node, name: bytes, arrival: Arrival) -> Steps:
    """Enters the directory of this name, or finds it gone. `arrival`: how what is there came to be there."""
    return reconcile(territory, node, name, arrived=arrival > Arrival.MADE, renamed=arrival is Arrival.RENAMED)


class Arrivals:
    """Owned by one thread.

    Args:
        enter: returns the steps that make the tree agree with the disk at a name in a directory.
    """

    def __init__(self, enter: Callable[[Node, bytes, Arrival], Steps]) -> None:
        self._enter = enter
        #: What hints tell of and is not begun: each name once, however often it is hinted at.
        self._hinted: OrderedDict[tuple[Node, bytes], Arrival] = OrderedDict()
        self._found: deque[Steps] = deque()
        self._found_next = False
        self._entered: deque[Steps] = deque()

    def __len__(self) -> int:
        """How many are not done yet."""
        return len(self._hinted) + len(self._found) + len(self._entered)

    def __bool__(self) -> bool:
        return bool(self._hinted or self._found or self._entered)

    @property
    def hinted(self) -> int:
        """How many names with hints are not begun."""
        return len(self._hinted)

    def hint(self, node: Node, name: bytes, arrival: Arrival = Arrival.NONE) -> None:
        """The directory of this name has to be entered, or found gone. Of several hints the largest `arrival` counts."""
        key = (node, name)
        self._hinted[key] = max(arrival, self._hinted.get(key, Arrival.NONE))

    def find(self, rest: Steps) -> None:
        """A look at names has begun to enter directories; `rest`: its further steps."""
        self._found.append(rest)

    def forget_hints(self) -> None:
        """A rescan finds everything that the hints tell of."""
        self._hinted.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._hinted.clear()
        self._found.clear()
        self._entered.clear()

    def take(self) -> tuple[list[Steps], Hinted]:
        """Takes out everything: what is begun, in the order of the next steps, and what is not begun."""
        begun, hinted = [*self._entered, *self._found], self._hinted
        self._hinted = OrderedDict()
        self.clear()
        return begun, hinted

    def step(self) -> bool:
        """Makes one step of the directory whose turn it is. Returns False if there is none."""
        while len(self._entered) < _ENTERED_MAX and (job := self._next()) is not None:
            self._entered.append(job)
        if not self._entered:
            return False
        if not step(self._entered):
            self._entered.rotate(-1)
        return True

    def _next(self) -> Steps | None:
        """Alternately what hints tell of and what was found by looking at names."""
        self._found_next = not self._found_next
        if self._found and (self._found_next or not self._hinted):
            return self._found.popleft()
        if self._hinted:
            (node, name), arrival = self._hinted.popitem(last=False)
            return self._enter(node, name, arrival)
        return None
