"""Groups on disk: `groups.db`, SQLite in WAL mode. It survives the index: positions are ticks of a named incarnation.

What a call of `commit` has written survives any crash of our processes. With durability `process` (synchronous=NORMAL) a
loss of power may take the last commits with it, of this file as of the index; it is then not known what was handed out, so
`lost_power` tells the server that every group must begin afresh. With `power` (synchronous=FULL) nothing is lost.

Not thread-safe; one process opens it (the aggregator, under its lock).
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec

from shardwatch.shard.contract.errors import ShardwatchError

from ..index.schema import BUSY_S
from ..storage.damage import damaged, set_aside
from .group import ATTEMPTS_MAX, Group
from .journal import (
    BatchEnded,
    BatchForgotten,
    GroupChanged,
    LaneChanged,
    LanesGone,
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
from .record import GroupRecord, GroupRow, SetAsidePath
from .unit import Part, Unit

#: PRAGMA user_version of the file.
FORMAT: Final = 2

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token TEXT NOT NULL, created REAL NOT NULL, seen REAL NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, incarnation TEXT NOT NULL, base_scan INTEGER NOT NULL,
    base_handed INTEGER NOT NULL, next_number INTEGER NOT NULL, ended_floor INTEGER NOT NULL, bit INTEGER NOT NULL DEFAULT -1,
    begun INTEGER NOT NULL DEFAULT 0);
-- Position in one priority.
CREATE TABLE lanes (
    id INTEGER, lane INTEGER, scan INTEGER NOT NULL, handed INTEGER NOT NULL,
    skip_after INTEGER NOT NULL DEFAULT 0, skip_upto INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id, lane)) WITHOUT ROWID;
-- Batches on lease, and those that are to be handed out again. `parts`: msgpack [[lane, handed, ticks, sums], ...], ticks as
-- native 64-bit and sums (crc32 of the paths) as native 32-bit integers.
CREATE TABLE units (
    id INTEGER, number INTEGER, leased INTEGER NOT NULL, due REAL NOT NULL, failures INTEGER NOT NULL, worker TEXT NOT NULL,
    reason TEXT NOT NULL, fresh TEXT NOT NULL, parts BLOB NOT NULL, PRIMARY KEY (id, number));
-- Rows that wait for a leased path.
CREATE TABLE held (id INTEGER, lane INTEGER, tick INTEGER, PRIMARY KEY (id, lane, tick)) WITHOUT ROWID;
-- Batches that ended without an ack, and why.
CREATE TABLE ended (id INTEGER, number INTEGER, reason TEXT NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID;
-- Paths that were set aside.
CREATE TABLE parked (id INTEGER, key BLOB, body BLOB NOT NULL, PRIMARY KEY (id, key));
"""
#: What leads from a format to the next one.
_STEPS: Final = {
    # A group's bit is given out when it is loaded; whatever the rows say of any group counts for it.
    1: (
        "ALTER TABLE groups ADD COLUMN bit INTEGER NOT NULL DEFAULT -1",
        "ALTER TABLE groups ADD COLUMN begun INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE lanes ADD COLUMN skip_after INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE lanes ADD COLUMN skip_upto INTEGER NOT NULL DEFAULT 0",
    ),
}
#: Of a `GroupRow`, in its order; the first one has another name.
_GROUP_COLUMNS: Final = ("id", *GroupRow._fields[1:])
_INSERT_GROUP: Final = (
    f"INSERT OR REPLACE INTO groups ({', '.join(_GROUP_COLUMNS)}) VALUES ({', '.join('?' * len(_GROUP_COLUMNS))})"
)
_TABLES: Final = ("lanes", "units", "held", "ended", "parked")

_encode = msgspec.msgpack.Encoder().encode
_parts = msgspec.msgpack.Decoder(list[tuple[int, int, bytes, bytes]])
_set_aside = msgspec.msgpack.Decoder(SetAsidePath)


def boot_id() -> str:
    """Identity of this boot of the machine; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class GroupStore:
    """The file, and the one transaction that is open between two commits."""

    def __init__(
        self,
        path: Path | str,
        *,
        durability: str = "process",
        boot: str | None = None,
        connect: Callable[[Path], Any] | None = None,
    ) -> None:
        """Opens or makes the file. A damaged one is renamed to NAME.damaged-N and a new one begun; `notes` says so.

        Raises ShardwatchError for a file of a newer version, sqlite3.OperationalError if the disk refuses. `connect` opens
        the file; None: sqlite3 does.
        """
        self._connect = connect or (lambda path: sqlite3.connect(path, isolation_level=None, timeout=BUSY_S))
        self.path = Path(path)
        #: What the user should know, one line each: main shows it in `status`.
        self.notes: list[str] = []
        self._durability = durability
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            self.set_aside(str(error))
        boot = boot_id() if boot is None else boot
        known, clean = self.meta("boot"), self.meta("clean") == "1"
        #: The machine was started anew since: no worker of then is alive, and `due` times mean nothing.
        self.rebooted = known is not None and known != boot
        #: The last commits may be missing.
        self.lost_power = self.rebooted and not clean and durability != "power"
        #: Which opening of the databases wrote it last (`storage.lives`); "" where it is new, or was made by an older version.
        self.life = self.meta("life") or ""
        #: Why every group must begin afresh; "" where they go on.
        self.restored = ""
        self.set_meta("boot", boot)
        self.set_meta("clean", "0")
        self.commit()

    def _open(self) -> Any:
        db = self._connect(self.path)
        try:
            os.chmod(self.path, 0o600)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(f"PRAGMA synchronous={'FULL' if self._durability == 'power' else 'NORMAL'}")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > FORMAT:
                raise ShardwatchError(
                    f"{self.path} is of version {version}, this shardwatch knows {FORMAT}",
                    hint="use the newer shardwatch, or move the file away (groups then begin anew)",
                )
            if version == 0:
                db.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA.split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version={FORMAT}")
                db.execute("COMMIT")
            else:
                self._migrate(db, version)
            if version and (check := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(str(check))
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _migrate(db: Any, version: int) -> None:
        """One transaction for each step, which also writes the new version."""
        for step in range(version, FORMAT):
            db.execute("BEGIN IMMEDIATE")
            for statement in _STEPS[step]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={step + 1}")
            db.execute("COMMIT")

    def set_aside(self, why: str) -> None:
        """Renames a damaged file and begins a new one, without groups."""
        life = getattr(self, "life", "")
        if hasattr(self, "_db"):
            self._db.close()
        aside = set_aside(self.path)
        self.notes.append(f"the groups were lost: {self.path.name} was damaged ({why}) and is kept as {aside.name}")
        self._db = self._open()
        if life:
            self.begin_life(life, "")

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def begin_life(self, life: str, restored: str) -> None:
        """`restored`: why what was handed out before is not known, "" where it is."""
        self.set_meta("life", life)
        self.commit()
        self.life, self.restored = life, restored

    def checkpoint_life(self) -> None:
        """Outside of a transaction: brings the life's name from the log to the file."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Makes everything since the last commit durable. Raises sqlite3.Error; then nothing of it is."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """A clean end. Idempotent."""
        try:
            self.set_meta("clean", "1")
            self.commit()
        except sqlite3.ProgrammingError:
            return
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Closes; what was not committed is lost, as with a SIGKILL. For a disk that refuses. Idempotent."""
        self._db.close()

    # -- groups -----------------------------------------------------------------------------------------------------

    def write(self, group: Group) -> None:
        """Writes the group's journal into the open transaction. Nothing is durable before `commit`."""
        journal = group.take_journal()
        if not journal:
            return
        self._begin()
        row_changed = False
        for entry in journal:
            if isinstance(entry, GroupChanged):
                row_changed = True
            else:
                self._write(group.key, entry)
        if row_changed:  # written once, however often that is said
            self._db.execute(_INSERT_GROUP, group.row())

    def _write(self, key: int, entry: RowEntry) -> None:
        run = self._db.execute
        match entry:
            case UnitChanged(unit):
                self._write_unit(key, unit)
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
            case BatchEnded(number, reason):
                run("INSERT OR REPLACE INTO ended VALUES (?, ?, ?)", (key, number, reason))
            case BatchForgotten(number):
                run("DELETE FROM ended WHERE id = ? AND number = ?", (key, number))
            case PathSetAside(path_key, path):
                run("INSERT OR REPLACE INTO parked VALUES (?, ?, ?)", (key, path_key, _encode(path)))
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

    def _write_unit(self, key: int, unit: Unit) -> None:
        parts = [(part.lane, part.handed, array("q", part.ticks).tobytes(), part.crcs()) for part in unit.parts]
        self._db.execute(
            "INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key, unit.number, unit.leased, unit.due, unit.failures, unit.worker, unit.reason, unit.fresh, _encode(parts)),
        )

    def drop(self, key: int) -> None:
        """Removes a group, in the open transaction."""
        self._begin()
        for table in (*_TABLES, "groups"):
            self._db.execute(f"DELETE FROM {table} WHERE id = ?", (key,))

    def known(self) -> list[int]:
        """Keys of all groups."""
        return [row[0] for row in self._db.execute("SELECT id FROM groups ORDER BY id")]

    def load(self, key: int, attempts_max: int = ATTEMPTS_MAX) -> Group | None:
        """The group as it was last committed. Raises msgspec.DecodeError or ValueError for what can't be read."""
        row = self._db.execute(f"SELECT {', '.join(_GROUP_COLUMNS)} FROM groups WHERE id = ?", (key,)).fetchone()
        if row is None:
            return None
        group = GroupRow(*row)
        record = GroupRecord(group, self._lanes(group), self._units(key), self._ended(key), self._paths_set_aside(key))
        return Group(record, attempts_max)

    def _lanes(self, group: GroupRow) -> dict[int, Lane]:
        sql = "SELECT lane, scan, handed, skip_after, skip_upto FROM lanes WHERE id = ?"
        lanes = {
            number: Lane(scan, handed, (skip_after, skip_upto))
            for number, scan, handed, skip_after, skip_upto in self._db.execute(sql, (group.key,))
        }
        for number, tick in self._db.execute("SELECT lane, tick FROM held WHERE id = ? ORDER BY tick", (group.key,)):
            lanes.setdefault(number, Lane(group.base_scan, group.base_handed)).restore_held(tick)
        return lanes

    def _units(self, key: int) -> list[Unit]:
        sql = "SELECT number, leased, due, failures, worker, reason, fresh, parts FROM units WHERE id = ? ORDER BY due, number"
        return [
            Unit(
                number, _read_parts(parts), failures=failures, due=due, fresh=fresh,
                leased=bool(leased), worker=worker, reason=reason,
            )
            for number, leased, due, failures, worker, reason, fresh, parts in self._db.execute(sql, (key,))
        ]  # fmt: skip

    def _ended(self, key: int) -> dict[int, str]:
        return dict(self._db.execute("SELECT number, reason FROM ended WHERE id = ? ORDER BY number", (key,)).fetchall())

    def _paths_set_aside(self, key: int) -> list[SetAsidePath]:
        return [_set_aside.decode(body) for (body,) in self._db.execute("SELECT body FROM parked WHERE id = ?", (key,))]


def _read_parts(body: bytes) -> list[Part]:
    return [Part(lane, handed, array("q", ticks).tolist(), None, sums) for lane, handed, ticks, sums in _parts.decode(body)]
