"""How far a group has come: its position in each lane, and the rows that wait there for a path on lease. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .journal import Journal, LaneChanged, LanesGone, RowHeld, RowReleased
from .lane import Lane
from .unit import Unit


class Position:
    """All lanes of one group. Every method that changes something leaves it in `journal`.

    Args:
        base_scan: where a lane begins that the group has not met yet.
        base_handed: ticks up to it count as handed out there.
    """

    def __init__(self, journal: Journal, base_scan: int, base_handed: int, lanes: Mapping[int, Lane]) -> None:
        self._journal = journal
        self.base_scan = base_scan
        self.base_handed = base_handed
        self._lanes = dict(lanes)

    # -- where it is

    def lane(self, number: int) -> Lane:
        """The lane of that number, which begins here if the group has not met it yet."""
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = Lane(self.base_scan, self.base_handed)
        return lane

    def lanes(self) -> Mapping[int, Lane]:
        """Those that the group has met, by number."""
        return self._lanes

    def scan(self, number: int) -> int:
        """Rows of the lane with a later tick were not considered yet."""
        return self._lanes[number].scan if number in self._lanes else self.base_scan

    def low(self, number: int) -> int:
        """Lowest tick of the lane that was not considered yet, or is held."""
        return self._lanes[number].low() if number in self._lanes else self.base_scan + 1

    def base_reached(self) -> int:
        """Highest tick that counts as considered or handed out in a lane that the group has not met."""
        return max(self.base_scan, self.base_handed)

    def reached(self) -> int:
        """Highest tick that was considered or handed out in any lane."""
        return max([self.base_reached(), *[lane.reached() for lane in self._lanes.values()]])

    def highest_scan(self) -> int:
        return max([lane.scan for lane in self._lanes.values()], default=0)

    def held_count(self) -> int:
        return sum(lane.held_count() for lane in self._lanes.values())

    def held(self) -> Iterator[tuple[int, list[int]]]:
        """(lane, ticks) of the rows that wait."""
        for number, lane in self._lanes.items():
            yield number, list(lane.held())

    # -- what happens to it

    def begin(self, tick: int, handed: int) -> None:
        """Everything up to `tick` counts as considered, everything up to `handed` as handed out."""
        self.base_scan, self.base_handed = tick, handed
        self.forget()

    def forget(self) -> None:
        """Every lane begins anew, from the base."""
        self._lanes = {}
        self._journal.note(LanesGone())

    def replace(self, lanes: Mapping[int, Lane]) -> None:
        self._lanes = dict(lanes)
        for number in lanes:
            self.changed(number)

    def changed(self, number: int) -> None:
        """The lane is stored."""
        self._journal.note(LaneChanged(number, self.lane(number)))

    def seek(self, number: int, tick: int, low: int) -> None:
        """The scan of the lane goes on from `tick`; what is held with a tick later than `low` waits no more."""
        lane = self.lane(number)
        self._released(number, lane.give_up(low))
        lane.seek(tick)

    def seek_unmet(self, tick: int) -> None:
        """Lanes that the group has not met yet begin at `tick`."""
        self.base_scan = tick

    def hold(self, rows: Iterable[tuple[int, bytes, int]]) -> None:
        """Rows (lane, key, tick) wait until their path is free."""
        for number, key, tick in rows:
            before = self.lane(number).hold(key, tick)
            if before is not None:
                self._released(number, [before])
            self._journal.note(RowHeld(number, tick))

    def take_late(self, number: int, count: int) -> None:
        """The first held rows of the lane whose path has become free wait no more."""
        self._released(number, self.lane(number).take_late(count))

    def _released(self, number: int, ticks: Iterable[int]) -> None:
        self._journal.note_all([RowReleased(number, tick) for tick in ticks])

    # -- paths on lease

    def lease(self, unit: Unit) -> None:
        """The paths of the unit are on lease."""
        for part in unit.parts:
            self.lane(part.lane).lease(part)

    def free(self, unit: Unit, leased: Iterable[Unit]) -> None:
        """The paths of the unit are free; `leased`: the units that are on lease still."""
        for part in unit.parts:
            self.lane(part.lane).free(part)
        if any(part.keys is None for part in unit.parts):
            self.fence(leased)

    def fence(self, leased: Iterable[Unit]) -> None:
        """The paths of these units are on lease, those of before a restart too, of which only sums are known."""
        for lane in self._lanes.values():
            lane.unfence()
        for unit in leased:
            for part in unit.parts:
                if part.keys is None:
                    self.lane(part.lane).fence(part)
