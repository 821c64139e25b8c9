"""What is stored of groups, in SQL: rows from journals, and groups from rows. Used by `store` only, in its transactions."""

from __future__ import annotations

from array import array
from typing import Any, Final, assert_never

import msgspec

from .journal import (
    BatchEnded,
    BatchForgotten,
    LaneChanged,
    LanesGone,
    LeaseBegun,
    LeaseMoved,
    PathSetAside,
    PathsTakenBack,
    PathTakenBack,
    RowEntry,
    RowHeld,
    RowReleased,
    UnitChanged,
    UnitGone,
    UnitsGone,
)
from .lane import Lane
from .record import DeadLetterRecord, GroupRecord, GroupRow, SetAsidePath
from .unit import Part, Unit

#: Of a `GroupRow`, in its order; the first one has another name.
_GROUP_COLUMNS: Final = ("id", *GroupRow._fields[1:])
#: What a group keeps for its life. If it were written again, so would be the page of the index by name.
_KEPT: Final = ("id", "name", "created")
_WRITE_GROUP: Final = (
    f"INSERT INTO groups ({', '.join(_GROUP_COLUMNS)}) VALUES ({', '.join('?' * len(_GROUP_COLUMNS))})"
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name}=excluded.{name}' for name in _GROUP_COLUMNS if name not in _KEPT)}"
)
#: Paths of a group of which the output is kept; beyond that, the output of the one that was set aside first is forgotten.
OUTPUTS_MAX: Final = 1_000
_FORGET_OUTPUTS: Final = (
    "UPDATE parked SET output = '' WHERE id = ? AND output <> '' AND rowid <="
    " (SELECT rowid FROM parked WHERE id = ? AND output <> '' ORDER BY rowid DESC LIMIT 1 OFFSET ?)"
)
_TABLES: Final = ("lanes", "units", "held", "ended", "parked")

_encode = msgspec.msgpack.Encoder().encode
_parts = msgspec.msgpack.Decoder(list[tuple[int, int, bytes, bytes]])
_set_aside = msgspec.msgpack.Decoder(SetAsidePath)


def write_group(db: Any, row: GroupRow) -> None:
    """Writes a group's own row."""
    db.execute(_WRITE_GROUP, row)


def write(db: Any, key: int, entry: RowEntry, wall: float) -> None:
    """Writes an entry of the journal of the group with that key. `wall`: the time, seconds since 1970."""
    run = db.execute
    match entry:
        case UnitChanged(unit):
            _write_unit(db, key, unit)
        case UnitGone(number):
            run("DELETE FROM units WHERE id = ? AND number = ?", (key, number))
        case LaneChanged(number, lane):
            row = (key, number, lane.scan, lane.handed, *lane.skipped)
            run("INSERT OR REPLACE INTO lanes VALUES (?, ?, ?, ?, ?, ?)", row)
        case RowHeld(lane, tick):
            run("INSERT OR REPLACE INTO held VALUES (?, ?, ?)", (key, lane, tick))
        case RowReleased(lane, tick):
            run("DELETE FROM held WHERE id = ? AND lane = ? AND tick = ?", (key, lane, tick))
        case LeaseMoved(number, due):
            run("UPDATE units SET due = ? WHERE id = ? AND number = ?", (due, key, number))
        case LeaseBegun(number, due, worker):
            run("UPDATE units SET leased = 1, due = ?, worker = ? WHERE id = ? AND number = ?", (due, worker, key, number))
        case BatchEnded(number, reason):
            run("INSERT OR REPLACE INTO ended VALUES (?, ?, ?)", (key, number, reason))
        case BatchForgotten(number):
            run("DELETE FROM ended WHERE id = ? AND number = ?", (key, number))
        case PathSetAside(path_key, path, kind, output):
            dead = (key, path_key, _encode(path), kind, wall, output)
            run("INSERT OR REPLACE INTO parked (id, key, body, kind, at, output) VALUES (?, ?, ?, ?, ?, ?)", dead)
            if output:
                run(_FORGET_OUTPUTS, (key, key, OUTPUTS_MAX))
        case PathTakenBack(path_key):
            run("DELETE FROM parked WHERE id = ? AND key = ?", (key, path_key))
        case PathsTakenBack():
            run("DELETE FROM parked WHERE id = ?", (key,))
        case UnitsGone():
            run("DELETE FROM units WHERE id = ?", (key,))
            run("DELETE FROM held WHERE id = ?", (key,))
        case LanesGone():
            run("DELETE FROM lanes WHERE id = ?", (key,))
        case _:
            assert_never(entry)


def _write_unit(db: Any, key: int, unit: Unit) -> None:
    """What is pulled ahead is written as due since ever and not on lease: if the service ends before its worker begins it, it is
    handed out again at once."""
    parts = [(part.lane, part.handed, array("q", part.ticks).tobytes(), part.crcs()) for part in unit.parts]
    db.execute(
        "INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key, unit.number, unit.leased and not unit.ahead, 0.0 if unit.ahead else unit.due, unit.failures,
            "" if unit.ahead else unit.worker, unit.reason, unit.fresh, _encode(parts), unit.once,
        ),
    )  # fmt: skip


def delete(db: Any, key: int) -> None:
    """Removes a group."""
    for table in (*_TABLES, "groups"):
        db.execute(f"DELETE FROM {table} WHERE id = ?", (key,))


def keys(db: Any) -> list[int]:
    """Of all groups."""
    return [row[0] for row in db.execute("SELECT id FROM groups ORDER BY id")]


def read(db: Any, key: int) -> GroupRecord | None:
    """What is stored of a group. Raises msgspec.DecodeError or ValueError for what can't be read."""
    row = db.execute(f"SELECT {', '.join(_GROUP_COLUMNS)} FROM groups WHERE id = ?", (key,)).fetchone()
    if row is None:
        return None
    group = GroupRow(*row)
    return GroupRecord(group, _lanes(db, group), _units(db, key), _ended(db, key), _paths_set_aside(db, key))


def _lanes(db: Any, group: GroupRow) -> dict[int, Lane]:
    sql = "SELECT lane, scan, handed, skip_after, skip_upto FROM lanes WHERE id = ?"
    lanes = {
        number: Lane(scan, handed, (skip_after, skip_upto))
        for number, scan, handed, skip_after, skip_upto in db.execute(sql, (group.key,))
    }
    for number, tick in db.execute("SELECT lane, tick FROM held WHERE id = ? ORDER BY tick", (group.key,)):
        lanes.setdefault(number, Lane(group.base_scan, group.base_handed)).restore_held(tick)
    return lanes


def _units(db: Any, key: int) -> list[Unit]:
    sql = "SELECT number, leased, due, failures, worker, reason, fresh, parts, once FROM units WHERE id = ? ORDER BY due, number"
    return [
        Unit(
            number, _read_parts(parts), failures=failures, due=due, fresh=fresh,
            leased=bool(leased), worker=worker, reason=reason, once=once,
        )
        for number, leased, due, failures, worker, reason, fresh, parts, once in db.execute(sql, (key,))
    ]  # fmt: skip


def _ended(db: Any, key: int) -> dict[int, str]:
    return dict(db.execute("SELECT number, reason FROM ended WHERE id = ? ORDER BY number", (key,)).fetchall())


def _paths_set_aside(db: Any, key: int) -> list[SetAsidePath]:
    return [_set_aside.decode(body) for (body,) in db.execute("SELECT body FROM parked WHERE id = ?", (key,))]


def _read_parts(body: bytes) -> list[Part]:
    return [Part(lane, handed, array("q", ticks).tolist(), None, sums) for lane, handed, ticks, sums in _parts.decode(body)]


def dead_letters(db: Any, key: int, place: bytes, after: bytes, most: int) -> list[DeadLetterRecord]:
    """The paths set aside that are at `place` or below it, in the order of their keys, from behind the key `after` on: at most
    `most`."""
    inside = place.rstrip(b"/")
    sql = "SELECT body, kind, at, output FROM parked WHERE id = ? AND key = ? AND key > ?"
    rows = db.execute(sql, (key, inside, after)).fetchall()
    sql = "SELECT body, kind, at, output FROM parked WHERE id = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
    rows += db.execute(sql, (key, after, inside + b"/", inside + b"0", most - len(rows))).fetchall()
    return [DeadLetterRecord(_set_aside.decode(body), kind, at, output) for body, kind, at, output in rows]
