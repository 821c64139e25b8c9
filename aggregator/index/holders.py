"""Which groups hold a path: each row notes it for the time before its tick, with one bit per group. Pure.

A group *holds* a path from when it is handed a row which says that the path exists, until it acknowledges a row which
says that it is gone. In between, a consumer may have the path. `modified` and `deleted` are used only for paths that
the group holds.

A row notes which groups held its path when the row got its tick. What the row itself says changes this only for groups
for which the row *counts*:

- The row of a path that exists counts once the group has come to it (`reach`), unless the group has given it up
  (`skip`). If the path was on lease at that moment, the row waits to be handed out, but the group holds the path
  because of what is on lease.
- The row of a path that is gone counts once the group has acknowledged it, because a worker may die before it has
  applied a batch. So the row must not lie where the group will come to it again, nor have been given up, nor be pending
  (`deletions_pending`).

When a row changes, its tick is lost, and with it what the positions of groups say about it. So the code that gives the
row its next tick asks here which groups hold the path by now (`superseded`), and writes this into the row, as a number
with the bits of these groups. All existing groups are stored as -1 and none as 0, so a row needs one byte for this
unless some groups lag behind others.

In doubt a group holds a path. A deletion that is reported once too often does no harm, but one that is never reported
leaves the path with a consumer for ever.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

ALL = -1
_INTEGER_MAX = (1 << 63) - 1
#: Columns for integers that may hold bytes as well (`stored`).
INTEGERS_OR_BYTES: Final = frozenset({"held"})


class _Position(NamedTuple):
    """The position of an active group."""

    #: The last tick that had been given when the group began. What rows with a tick up to it note does not concern this group.
    begun: int
    #: The highest tick that it has come to, in lanes that are not in `lanes`.
    base: int
    #: The same, by lane.
    lanes: dict[int, int]
    #: Lane -> where it is now, for lanes in which it went back. It will come to the rows after that again.
    behind: dict[int, int]
    #: Lane -> (after, up to): the range of ticks that it has given up.
    skipped: dict[int, tuple[int, int]]


class Alike(NamedTuple):
    """Rows of a lane that note the same groups, and say that their paths exist, which all get the same groups as they lose their
    ticks: those with ticks after one and up to another.
    """

    after: int
    upto: int
    #: The groups that they get, as they are stored.
    held: int | bytes


#: Ticks in ascending order, and for each of them the groups at that tick or a later one.
_Steps = tuple[list[int], list[int]]


class Holders:
    """The positions of all active groups. Owned by one thread."""

    def __init__(self) -> None:
        self._positions: dict[int, _Position] = {}
        #: Lane -> tick -> groups that have come to this row, which says that its path is gone, and have not acknowledged it.
        self._pending: dict[int, dict[int, int]] = {}
        self._everyone = 0
        #: Bits of the few groups that have something in `behind`, and in `skipped`.
        self._went_back: set[int] = set()
        self._gave_up: set[int] = set()
        self._met_steps: dict[int, _Steps] = {}
        self._begun_steps: _Steps | None = None

    # -- groups

    def place(self, bit: int, begun: int, base: int) -> None:
        """Adds a group, or begins it anew. `base`: the tick that it has come to in every lane."""
        self.remove(bit)
        self._positions[bit] = _Position(begun, base, {}, {}, {})
        self._everyone |= 1 << bit
        self._forget_steps()

    def remove(self, bit: int) -> None:
        """Removes a group that is gone or holds nothing any more. Idempotent."""
        if self._positions.pop(bit, None) is not None:
            self._everyone &= ~(1 << bit)
            for lane, pending in self._pending.items():
                self.acknowledged(bit, lane, list(pending))
            self._went_back.discard(bit)
            self._gave_up.discard(bit)
            self._forget_steps()

    def reach(self, bit: int, lane: int, tick: int, scan: int | None = None) -> None:
        """The group has come to every row of the lane up to this tick. `scan`: where it is now, if it has gone back since."""
        behind = self._positions[bit].behind
        if scan is not None and scan < tick:
            behind[lane] = scan
            self._went_back.add(bit)
        elif behind.pop(lane, None) is not None and not behind:
            self._went_back.discard(bit)
        lanes = self._positions[bit].lanes
        if lanes.get(lane) != tick:
            lanes[lane] = tick
            self._met_steps.pop(lane, None)

    def skip(self, bit: int, lane: int, after: int, upto: int) -> None:
        """The group has given up the rows of the lane with ticks after `after` and up to `upto`, and no other rows."""
        skipped = self._positions[bit].skipped
        if after < upto:
            skipped[lane] = (after, upto)
            self._gave_up.add(bit)
        elif skipped.pop(lane, None) is not None and not skipped:
            self._gave_up.discard(bit)

    def deletions_pending(self, bit: int, rows: Iterable[tuple[int, int]]) -> None:
        """The group has come to these rows (lane, tick), which say that a path is gone. Idempotent."""
        for lane, tick in rows:
            pending = self._pending.setdefault(lane, {})
            pending[tick] = pending.get(tick, 0) | 1 << bit

    def acknowledged(self, bit: int, lane: int, ticks: Iterable[int]) -> None:
        """The group has applied the rows with these ticks, whatever they say. Idempotent."""
        pending = self._pending.get(lane)
        if not pending:
            return
        for tick in pending.keys() & ticks:
            left = pending[tick] & ~(1 << bit)
            if left:
                pending[tick] = left
            else:
                del pending[tick]

    def _forget_steps(self) -> None:
        self._met_steps.clear()
        self._begun_steps = None

    # -- rows

    def superseded(self, lane: int, tick: int, held: int, *, there: bool) -> int:
        """Returns the groups that hold the path of a row at the moment at which the row loses its tick. What was noted about that
        tick is forgotten.

        Args:
            held: the groups that held the path when the row got that tick.
            there: whether the row says, with that tick, that the path exists.
        """
        if not self._positions:
            return ALL if there else held  # somebody was handed it, and nobody is there whose position tells who
        counts, known = self._met(lane, tick), held and self._known(tick, held)
        for bit in self._gave_up:
            after, upto = self._positions[bit].skipped.get(lane, (0, 0))
            counts &= ~(int(after < tick <= upto) << bit)
        if there:
            return self._plain(known | counts)
        counts &= ~self._pending.get(lane, {}).pop(tick, 0)
        for bit in self._went_back:
            counts &= ~(int(self._positions[bit].behind.get(lane, tick) < tick) << bit)
        return self._plain(known & ~counts)

    def superseded_alike(self, lane: int, first: int, last: int, held: int | bytes) -> int | bytes | None:
        """The same of the entries of a page, which lose their ticks, from `first` to `last`, and say that their paths exist. None
        if it may not be the same for all of them. `held` and what returns: as they are stored.
        """
        if not self._positions:
            return ALL
        met = self._met(lane, first)
        if self._gave_up or met != self._met(lane, last):
            return None
        groups = loaded(held)
        known = groups and self._known(first, groups)
        if groups and known != self._known(last, groups):
            return None
        return stored(self._plain(known | met))

    def alike_around(self, lane: int, tick: int, held: int | bytes) -> Alike | None:
        """The rows that are like one of this lane, with this tick and these groups; they note the same groups, `held`. None if
        that is not found out. `superseded_alike` says the same of any of them.
        """
        if not self._positions:
            return Alike(-1, _INTEGER_MAX, ALL)
        if self._gave_up:
            return None
        groups = loaded(held)
        known, met = self._known(tick, groups), self._met(lane, tick)
        assert self._begun_steps is not None
        begun, reached = _step_around(self._begun_steps, tick), _step_around(self._met_steps[lane], tick)
        return Alike(max(begun[0], reached[0]), min(begun[1], reached[1]), stored(self._plain(known | met)))

    def met_by_all(self, lane: int) -> int:
        """The tick up to which all groups have come to the rows of a lane."""
        self._met(lane, 0)
        ticks, _ = self._met_steps[lane]
        return ticks[0] if ticks else _INTEGER_MAX

    def holding(self, tick: int, held: int) -> int:
        """The groups that hold the path of a row that no group was handed with its present tick."""
        return self._plain(self._known(tick, held)) if self._positions else held

    def _plain(self, held: int) -> int:
        there = held & self._everyone
        return 0 if not there else ALL if there == self._everyone else held

    def _known(self, tick: int, held: int) -> int:
        """`held` without the groups that began after it was written, because their bits belonged to other groups then."""
        if self._begun_steps is None:
            self._begun_steps = _steps((p.begun, bit) for bit, p in self._positions.items())
        return held & ~_from(self._begun_steps, tick)

    def _met(self, lane: int, tick: int) -> int:
        """The groups that have come to this tick."""
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


def _step_around(steps: _Steps, tick: int) -> tuple[int, int]:
    """Between which two ticks `_from` says the same as for this one: after the first of them, and up to the second."""
    ticks, _ = steps
    at = bisect_left(ticks, tick)
    return ticks[at - 1] if at else -1, ticks[at] if at < len(ticks) else _INTEGER_MAX


def stored(held: int) -> int | bytes:
    """`held` as it is stored in a column: bits that do not fit into an integer of SQLite become a blob."""
    if -_INTEGER_MAX <= held <= _INTEGER_MAX:
        return held
    return held.to_bytes(held.bit_length() // 8 + 1, "little", signed=True)


def loaded(column: int | bytes) -> int:
    """The reverse of `stored`."""
    return column if isinstance(column, int) else int.from_bytes(column, "little", signed=True)
