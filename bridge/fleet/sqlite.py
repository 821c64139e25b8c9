"""The store for what a group keeps in SQLite: in a file of its own, or in the database of the results."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown

from .store import FleetPosition, Kept, PathKnown, SourceStanding

#: What `autocommit` of a connection is if nothing else is asked for (Python 3.12: sqlite3.LEGACY_TRANSACTION_CONTROL).
_BY_DEFAULT: Final = -1
#: Seconds for which another worker's transaction is waited for.
_BUSY_S: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS fleet_position (partition INTEGER PRIMARY KEY, stream TEXT, grp TEXT, sequence INTEGER,
  seen INTEGER);
CREATE TABLE IF NOT EXISTS fleet_source (source TEXT, partition INTEGER, begun INTEGER, complete INTEGER,
  read INTEGER, missed INTEGER, PRIMARY KEY (source, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fleet_path (source TEXT, path BLOB, generation INTEGER, tick INTEGER, is_there INTEGER,
  is_directory INTEGER, PRIMARY KEY (source, path)) WITHOUT ROWID;
"""
#: Columns that earlier versions did not have. Their 0 says that nothing of it is known, so that all may be asked for once more.
_LATER: Final = (("fleet_position", "seen"), ("fleet_source", "read"), ("fleet_source", "missed"))
_KNOWN: Final = "generation, tick, is_there, is_directory"


class SqliteFleetStore:
    """A FleetStore in SQLite, for the workers of one machine.

    Args:
        where: a file, which is made if it is not there; or a connection, so that `batch.ack()` commits what the worker has
            written over it as well: one without `autocommit` (Python 3.12). Its tables are called `fleet_…`.

    Raises UsageError for what is no file of SQLite that can be written.
    """

    def __init__(self, where: Path | str | sqlite3.Connection) -> None:
        if getattr(where, "autocommit", _BY_DEFAULT) != _BY_DEFAULT:  # True: `commit` does nothing; False: a read is a snapshot
            hint = "leave out autocommit where it is made: sqlite3.connect(FILE)"
            raise UsageError("the store can't be used: its connection was made with autocommit", hint=hint)
        self._is_ours = not isinstance(where, sqlite3.Connection)
        self._connection = where if isinstance(where, sqlite3.Connection) else _connection(where)
        try:
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            for table, column in _LATER:
                if column not in {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}:
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
        except sqlite3.Error as error:
            raise UsageError(f"the store can't be used: {error}", hint="name a file of SQLite that this user may write") from None

    def close(self) -> None:
        """Idempotent. A connection that was given stays open."""
        if self._is_ours:
            self._connection.close()

    def position(self, partition: int) -> FleetPosition | None:
        question = "SELECT stream, grp, sequence, seen FROM fleet_position WHERE partition = ?"
        found = self._connection.execute(question, (partition,)).fetchone()
        return None if found is None else FleetPosition(*found)

    def standing(self, source: str, partition: int) -> SourceStanding:
        asked = self._connection.execute(
            f"SELECT {_of('begun')}, max(complete), {_of('read')}, {_of('missed')} FROM fleet_source WHERE source = :source",
            {"source": source, "partition": partition},
        )
        return SourceStanding(*(number or 0 for number in asked.fetchone()))

    def known(self, source: str, paths: Collection[bytes]) -> Mapping[bytes, PathKnown]:
        found: dict[bytes, PathKnown] = {}
        for path in paths:
            asked = self._connection.execute(f"SELECT {_KNOWN} FROM fleet_path WHERE source = ? AND path = ?", (source, path))
            row = asked.fetchone()
            if row is not None:
                found[path] = _known(row)
        return found

    def older(self, source: str, generation: int, after: bytes, most: int) -> Sequence[tuple[bytes, PathKnown]]:
        rows = self._connection.execute(
            f"SELECT path, {_KNOWN} FROM fleet_path WHERE source = ? AND path > ? AND generation < ? ORDER BY path LIMIT ?",
            (source, after, generation, most),
        )
        return [(path, _known(row)) for path, *row in rows]

    def keep(self, kept: Kept) -> bool:
        connection = self._connection
        with contextlib.ExitStack() as otherwise:
            otherwise.callback(connection.rollback)
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            is_kept = self.position(kept.partition) == kept.before and self._write(kept)
            if is_kept:
                connection.commit()
                otherwise.pop_all()
        return is_kept

    def undo(self) -> None:
        self._connection.rollback()

    def _write(self, kept: Kept) -> bool:
        """Whether every path was older."""
        connection = self._connection
        connection.execute("REPLACE INTO fleet_position VALUES (?, ?, ?, ?, ?)", (kept.partition, *kept.after))
        connection.executemany(
            "INSERT INTO fleet_source VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET read = CASE WHEN excluded.begun > begun THEN excluded.read ELSE max(read, excluded.read) END,"
            " begun = max(begun, excluded.begun), complete = max(complete, excluded.complete),"
            " missed = max(missed, excluded.missed)",
            [(source, kept.partition, *standing) for source, standing in kept.standings.items()],
        )
        written = connection.executemany(
            "INSERT INTO fleet_path VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation,"
            " tick = excluded.tick, is_there = excluded.is_there, is_directory = excluded.is_directory"
            " WHERE (excluded.generation, excluded.tick) > (generation, tick)",
            [(*key, *known) for key, known in kept.paths.items()],
        )
        removed = connection.executemany(
            "DELETE FROM fleet_path WHERE source = ? AND path = ? AND generation < ?",
            [(*key, generation) for key, generation in kept.gone.items()],
        )
        return max(0, written.rowcount) == len(kept.paths) and max(0, removed.rowcount) == len(kept.gone)


def _of(number: str) -> str:
    """A number of one partition, in a question about all of them."""
    return f"max(CASE partition WHEN :partition THEN {number} ELSE 0 END)"


def _known(row: Sequence[int]) -> PathKnown:
    generation, tick, is_there, is_directory = row
    return PathKnown(generation, tick, bool(is_there), bool(is_directory))


def _connection(where: Path | str) -> sqlite3.Connection:
    file = arguments.path("store", where)
    try:
        with contextlib.ExitStack() as undo:
            connection = sqlite3.connect(file, timeout=_BUSY_S, check_same_thread=False)
            undo.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            undo.pop_all()
    except sqlite3.Error as error:
        raise UsageError(f"the store {shown(file)} can't be used: {error}", hint="name a file that this user may write") from None
    return connection
