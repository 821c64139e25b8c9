"""The file `groups.db`: its tables, and opening it with the newest of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shardwatch.shard.contract.errors import ShardwatchError

from ..storage.checkpoints import PAGES
from ..storage.durability import synchronous, synchronous_once

#: PRAGMA user_version of the file.
FORMAT: Final = 4

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
-- native 64-bit and sums (crc32 of the paths) as native 32-bit integers. `once`: number of the pull that was handed it, or 0.
CREATE TABLE units (
    id INTEGER, number INTEGER, leased INTEGER NOT NULL, due REAL NOT NULL, failures INTEGER NOT NULL, worker TEXT NOT NULL,
    reason TEXT NOT NULL, fresh TEXT NOT NULL, parts BLOB NOT NULL, once INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id, number));
-- Rows that wait for a leased path.
CREATE TABLE held (id INTEGER, lane INTEGER, tick INTEGER, PRIMARY KEY (id, lane, tick)) WITHOUT ROWID;
-- Batches that ended without an ack, and why.
CREATE TABLE ended (id INTEGER, number INTEGER, reason TEXT NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID;
-- Paths that were set aside: `kind` is what the group was told of it, `at` when it failed last (seconds since 1970), `output` the
-- end of what the worker that failed had written.
CREATE TABLE parked (
    id INTEGER, key BLOB, body BLOB NOT NULL, kind TEXT NOT NULL DEFAULT '', at REAL NOT NULL DEFAULT 0,
    output TEXT NOT NULL DEFAULT '', PRIMARY KEY (id, key));
CREATE INDEX outputs ON parked (id) WHERE output <> '';
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
    # Of what was set aside before, neither the kind nor the time nor the output is known.
    2: (
        "ALTER TABLE parked ADD COLUMN kind TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE parked ADD COLUMN at REAL NOT NULL DEFAULT 0",
        "ALTER TABLE parked ADD COLUMN output TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX outputs ON parked (id) WHERE output <> ''",
    ),
    # Which pull was handed a batch is known of those that are handed out from now on.
    3: ("ALTER TABLE units ADD COLUMN once INTEGER NOT NULL DEFAULT 0",),
}


def open_groups(path: Path, durability: str, connect: Callable[[Path], Any]) -> Any:
    """A connection to the file, which is made if it is not there, and brought to the newest format.

    Raises ShardwatchError for a file of a newer version, sqlite3.OperationalError if the disk refuses, another
    sqlite3.DatabaseError for a file that is damaged.
    """
    db = connect(path)
    try:
        os.chmod(path, 0o600)
        db.execute(f"PRAGMA synchronous={synchronous_once(durability)}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA wal_autocheckpoint={PAGES}")
        db.execute(f"PRAGMA synchronous={synchronous(durability)}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise ShardwatchError(
                f"{path} is of version {version}, this shardwatch knows {FORMAT}",
                hint="use the newer shardwatch, or move the file away (groups then begin anew)",
            )
        if version == 0:
            _make(db)
        else:
            _migrate(db, version)
            _check(db)
    except BaseException:
        db.close()
        raise
    return db


def _make(db: Any) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA user_version={FORMAT}")
    db.execute("COMMIT")


def _migrate(db: Any, version: int) -> None:
    """One transaction for each step, which also writes the new version."""
    for step in range(version, FORMAT):
        db.execute("BEGIN IMMEDIATE")
        for statement in _STEPS[step]:
            db.execute(statement)
        db.execute(f"PRAGMA user_version={step + 1}")
        db.execute("COMMIT")


def _check(db: Any) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(str(found))
