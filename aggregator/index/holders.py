"""Which groups hold what a row said before it was stamped anew: one bit a group. Pure: no I/O, no clock.

A group is told `modified` or `deleted` only of what it was handed before. Its position says that of rows that have kept their
stamp: it was handed those that it has passed. Of a row that changes, the old stamp is lost; so whoever gives it the next one
asks here who holds the path now (`superseded`), and writes that into the row, as a number with the bits of these groups. All
groups that are there are -1, none is 0, so a row has one byte for it unless some groups lag behind others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ALL = -1
_INTEGER_MAX = (1 << 63) - 1


class _Position(NamedTuple):
    """Where an active group is."""

    #: Last tick given when it began: it holds nothing of what has a stamp up to it but by its position.
    begun: int
    #: Highest tick passed or handed out, in lanes that it has not met.
    base: int
    #: The same, by lane.
    lanes: dict[int, int]
    #: Highest tick passed, by lane, where that is less: what follows was handed out, and will be once more.
    behind: dict[int, int]
    #: Lane -> (after, up to): ticks that it passed without being handed their rows, because it was told to.
    skipped: dict[int, tuple[int, int]]


#: Ticks, ascending, and beside each the groups of it and of all later ones.
_Steps = tuple[list[int], list[int]]


class Holders:
    """The positions of all active groups. Owned by one thread."""

    def __init__(self) -> None:
        self._positions: dict[int, _Position] = {}
        #: (lane, tick) of rows that groups have passed without being handed them: their path was on lease.
        self._waiting: dict[tuple[int, int], int] = {}
        self._everyone = 0
        self._anyone_skipped = False
        self._met_steps: dict[int, _Steps] = {}
        self._begun_steps: _Steps | None = None

    # -- groups

    def place(self, bit: int, begun: int, base: int, lanes: Mapping[int, int]) -> None:
        """A group is there, or begins anew."""
        self.remove(bit)
        self._positions[bit] = _Position(begun, base, dict(lanes), {}, {})
        self._everyone |= 1 << bit
        self._forget_steps()

    def remove(self, bit: int) -> None:
        """The group is gone, or holds nothing any more. Idempotent."""
        if self._positions.pop(bit, None) is not None:
            self._everyone &= ~(1 << bit)
            self._waiting = {at: left for at, mask in self._waiting.items() if (left := mask & ~(1 << bit))}
            self._forget_steps()

    def reach(self, bit: int, lane: int, tick: int, passed: int | None = None) -> None:
        """The group has passed every row of the lane up to this tick, or was handed one with it; `passed`: up to where it has
        passed them, where that is less (it went back)."""
        behind = self._positions[bit].behind
        if passed is None or passed >= tick:
            behind.pop(lane, None)
        else:
            behind[lane] = passed
        lanes = self._positions[bit].lanes
        if lanes.get(lane) != tick:
            lanes[lane] = tick
            self._met_steps.pop(lane, None)

    def skip(self, bit: int, lane: int, after: int, upto: int) -> None:
        """The group gave up the rows of the lane with these ticks: it passed them, and was not handed them."""
        self._positions[bit].skipped[lane] = (after, upto)
        self._anyone_skipped = any(low < high for p in self._positions.values() for low, high in p.skipped.values())

    def wait(self, bit: int, lane: int, tick: int) -> None:
        """The group has passed this row, and was not handed it yet."""
        self._waiting[lane, tick] = self._waiting.get((lane, tick), 0) | 1 << bit

    def waits_no_more(self, bit: int, lane: int, tick: int) -> None:
        left = self._waiting.get((lane, tick), 0) & ~(1 << bit)
        if left:
            self._waiting[lane, tick] = left
        else:
            self._waiting.pop((lane, tick), None)

    def _forget_steps(self) -> None:
        self._met_steps.clear()
        self._begun_steps = None

    # -- rows

    def superseded(self, lane: int, tick: int, held: int, *, there: bool) -> int:
        """Who holds the path of a row that now gets another stamp than `tick`.

        Args:
            held: who held it when it got that one.
            there: whether the row said, under that stamp, that the path is there.
        """
        if not self._positions:
            return ALL if there else held  # somebody was handed it, and nobody is there whose position tells who
        met = self._met(lane, tick)
        if self._waiting:
            met &= ~self._waiting.get((lane, tick), 0)
        if not there:  # a deletion that it will be handed once more does not count yet
            for bit, position in self._positions.items():
                met &= ~(int(position.behind.get(lane, tick) < tick) << bit)
        if self._anyone_skipped:
            for bit, position in self._positions.items():
                after, upto = position.skipped.get(lane, (0, 0))
                met &= ~(int(after < tick <= upto) << bit)
        return self._plain(self._known(tick, held) & ~met | (met if there else 0))

    def holding(self, tick: int, held: int) -> int:
        """Who holds the path of a row that nobody was handed with this stamp."""
        return self._plain(self._known(tick, held)) if self._positions else held

    def _plain(self, held: int) -> int:
        there = held & self._everyone
        return 0 if not there else ALL if there == self._everyone else held

    def _known(self, tick: int, held: int) -> int:
        """`held`, without the groups that began after that was written: their bits were other groups'."""
        if self._begun_steps is None:
            self._begun_steps = _steps((p.begun, bit) for bit, p in self._positions.items())
        return held & ~_from(self._begun_steps, tick)

    def _met(self, lane: int, tick: int) -> int:
        steps = self._met_steps.get(lane)
        if steps is None:
            positions = self._positions.items()
            steps = self._met_steps[lane] = _steps((p.lanes.get(lane, p.base), bit) for bit, p in positions)
        return _from(steps, tick)


def _steps(positions: Iterable[tuple[int, int]]) -> _Steps:
    ticks: list[int] = []
    masks: list[int] = []
    mask = 0
    for tick, bit in sorted(positions, reverse=True):
        mask |= 1 << bit
        ticks.append(tick)
        masks.append(mask)
    return ticks[::-1], masks[::-1]


def _from(steps: _Steps, tick: int) -> int:
    """The groups at this tick or a later one."""
    at = bisect_left(steps[0], tick)
    return steps[1][at] if at < len(steps[1]) else 0


def holds(held: int, bit: int) -> bool:
    """Whether a group is among those of a row."""
    return bool(held >> bit & 1)


def stored(held: int) -> int | bytes:
    """As a column has it: bits that do not fit into an integer of SQLite's are a blob."""
    if -_INTEGER_MAX <= held <= _INTEGER_MAX:
        return held
    return held.to_bytes(held.bit_length() // 8 + 1, "little", signed=True)


def loaded(column: int | bytes) -> int:
    """What `stored` made."""
    return column if isinstance(column, int) else int.from_bytes(column, "little", signed=True)
