"""The numbers of changes: which was given last, and up to which groups were handed rows. Pure."""

from __future__ import annotations

from .holders import Alike, Holders
from .newest import Newest
from .row import Known, tells_there


class Ticks:
    """Gives ticks, and knows up to which tick the rows of each lane were handed to any group, and to which groups.

    A row that no group has been handed since its last stamp is not stamped again: else a path that changes all the time
    would move to the tail for ever, and never be served.
    """

    def __init__(self, last: int) -> None:
        #: The last tick that was given.
        self.last = last
        #: Which groups hold which paths, as it follows from the positions that the groups note there.
        self.holders = Holders()
        #: The rows with the last ticks.
        self.newest = Newest(last)
        self._handed: dict[int, int] = {}

    def next(self) -> int:
        self.last += 1
        return self.last

    def take(self, count: int) -> int:
        """Gives `count` ticks at once, and returns the first of them."""
        first = self.last + 1
        self.last += count
        return first

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out, so each of them gets a new tick when it changes."""
        if tick > self._handed.get(lane, 0):
            self._handed[lane] = tick

    def seen(self, lane: int, tick: int) -> bool:
        """Whether some group may have been handed a row of this lane with this tick. It is asked of each row that is about to
        change, which is not among the newest from then on, unless it is noted there anew.
        """
        self.newest.forget(tick)
        return tick <= self._handed.get(lane, 0)

    def again(self, row: Known) -> tuple[int, int]:
        """Returns the tick of a row that changes, and the groups that hold its path. A row without a lane is never an event."""
        if row.lane is None or not self.seen(row.lane, row.tick):
            return row.tick, row.held
        held = self.holders.superseded(row.lane, row.tick, row.held, there=tells_there(row))
        return self.next(), held

    def again_alike(self, lane: int, first: int, last: int, held: int | bytes, count: int) -> tuple[int, int | bytes] | None:
        """The same of `count` rows of a lane that say that their paths exist, and that all note the groups `held`. Returns the
        first of their new ticks, which follow one another, and the groups that hold their paths; None, and nothing was done, if
        that is not the same for all of them.

        Args:
            first, last: the least of their ticks, and the greatest.
            held: as it is stored; so is what returns.
        """
        if last > self._handed.get(lane, 0):
            return None
        superseded = self.holders.superseded_alike(lane, first, last, held)
        if superseded is None:
            return None
        self.newest.forget_between(first, last)
        return self.take(count), superseded

    def alike_around(self, lane: int, tick: int, held: int | bytes) -> Alike | None:
        """Rows which say that their paths exist, and which all get a new tick and the same groups when they change: of this lane
        and with these groups (as they are stored), with ticks around this one. None: none are known. Changes nothing.
        """
        # Whatever may change is not kept any longer, so it is nothing that a group is still to be handed from memory.
        upto = min(self._handed.get(lane, 0), max(self.newest.after, self.holders.met_by_all(lane)))
        alike = self.holders.alike_around(lane, tick, held) if tick <= upto else None
        return None if alike is None else alike._replace(upto=min(alike.upto, upto))

    def take_alike(self, alike: Alike, count: int) -> int:
        """Gives `count` ticks to rows of those that `alike_around` has found, any of which may change now. Returns the first."""
        self.newest.forget_between(alike.after + 1, alike.upto)
        return self.take(count)
