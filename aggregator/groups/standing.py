"""What a group was told of one row, or owes about it, for people who ask why an event did not come. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from zlib import crc32

from ..index.row import Row
from .lane import Lane
from .position import Position
from .set_aside import SetAside
from .unit import Unit
from .units import Units


class Standing(StrEnum):
    """Where a row stands with a group; as `explain` tells it (docs/protocol.md)."""

    #: The group begins once the baseline is there, after this change.
    WAITING = "waiting"
    #: The group begins afresh: it is told to forget everything, and then of everything that exists.
    FRESH = "fresh"
    #: Handed out, and not acknowledged yet.
    LEASED = "leased"
    #: It failed, or was given back, and is handed out again.
    RETRYING = "retrying"
    #: It is handed out once an earlier state of the path is not on lease any more.
    HELD = "held"
    #: It failed too often, and is not handed out until the path changes or somebody has it tried again.
    SET_ASIDE = "set aside"
    #: The group has not come to it yet.
    PENDING = "pending"
    #: It is not later than where the group began, or was moved to.
    BEFORE = "before"
    #: The path is gone, and the group was never told that it was there.
    UNTOLD = "untold"
    ACKNOWLEDGED = "acknowledged"


def standing_of(
    row: Row, position: Position, units: Units, set_aside: SetAside, *, held: bool, now: float
) -> dict[str, object]:
    """`standing`, a `Standing`, and what else is known of it (docs/protocol.md). O(paths of the group's units).

    Args:
        held: whether the group held the path when the row got its tick.
        now: seconds of the clock that leases are on.
    """
    number, tick = row.lane, row.tick
    key = row.path + b"/" if row.directory else row.path
    lane = position.lanes().get(number) or Lane(position.base_scan, position.base_handed)
    on_lease = key in lane.leased or crc32(key) in lane.fenced
    unit = (_with(units.leases, number, tick) if on_lease else None) or _with(units.redeliveries, number, tick)
    if unit is not None:
        return _of_unit(unit, now)
    waits = tick > lane.scan or tick in lane.held()
    if waits and on_lease:
        return {"standing": Standing.HELD}
    aside = set_aside.get(key)
    if aside is not None and aside.tick == tick:
        return {"standing": Standing.SET_ASIDE, "attempts": aside.attempts, "reason": aside.reason}
    if waits:
        return {"standing": Standing.PENDING if row.kind or held else Standing.UNTOLD}
    after, upto = lane.skipped
    if tick <= position.base_scan or after < tick <= upto:
        return {"standing": Standing.BEFORE, "position": upto if after < tick <= upto else position.base_scan}
    return {"standing": Standing.ACKNOWLEDGED if row.kind or held else Standing.UNTOLD}


def _with(units: Iterable[Unit], lane: int, tick: int) -> Unit | None:
    """The one of these units that has the row with this tick."""
    for unit in units:
        if unit.low.get(lane, tick + 1) <= tick and any(part.lane == lane and tick in part.ticks for part in unit.parts):
            return unit
    return None


def _of_unit(unit: Unit, now: float) -> dict[str, object]:
    due_s = round(max(0.0, unit.due - now), 1)
    if unit.leased:
        attempt = unit.failures + 1
        return {"standing": Standing.LEASED, "worker": unit.worker, "attempt": attempt, "ends_in_s": due_s}
    return {"standing": Standing.RETRYING, "failures": unit.failures, "reason": unit.reason, "due_in_s": due_s}
