"""A worker elsewhere: keeps a mirror of what is shipped, and how far it is, in one transaction of one SQLite file.

`python -m chaos.remote URL DATABASE --worker NAME`. Any number of these share a file, and one that is killed at any moment leaves
nothing half done: what it is handed then is exactly what the file does not have yet.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path

from chaos.consumer import read_rows
from shardwatch.bridge.protocol.bodies import PathState
from shardwatch.fleet import FleetBatch, FleetClient, SqliteFleetStore

#: Seconds without a sign of life after which another worker takes over.
AWAY_S = 3.0
GROUP = "remote"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS count (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wrong (at REAL, worker TEXT, what TEXT);
"""


class RemoteMirror:
    """Writes over one connection; nothing is committed but with the ack of a batch."""

    def __init__(self, database: Path, worker: str) -> None:
        self._worker = worker
        self.connection = sqlite3.connect(database, timeout=120)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=OFF")  # a kill takes nothing from what is written
        for statement in _SCHEMA.split(";"):
            self.connection.execute(statement)
        self.connection.commit()

    def apply(self, batch: FleetBatch) -> None:
        counts = Counter(batches=1, events=len(batch.events), fresh=batch.fresh is not None, ends=batch.end is not None)
        for event in batch.events:
            self._take(event)
        self.connection.executemany(
            "INSERT INTO count VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=value+excluded.value", counts.items()
        )

    def _take(self, event: PathState) -> None:
        path = os.fsencode(event.path)
        if event.event_type == "deleted":  # or it came and went before anybody heard of it
            self.connection.execute("DELETE FROM file WHERE path=?", (path,))
            return
        is_there = self.connection.execute("SELECT 1 FROM file WHERE path=?", (path,)).fetchone() is not None
        if is_there == (event.event_type == "created"):
            what = f"{event.event_type} {path!r}, which the mirror {'has' if is_there else 'has not'}: {event}"
            self.connection.execute("INSERT INTO wrong VALUES (?, ?, ?)", (time.time(), self._worker, what))
        self.connection.execute("REPLACE INTO file VALUES (?, ?, ?)", (path, event.size, event.mtime_ns))


def read_remote_mirror(database: Path) -> dict[bytes, tuple[int, int]]:
    """path -> (size, mtime_ns), as far as it is committed."""
    return {path: (size, mtime_ns) for path, size, mtime_ns in read_rows(database, "SELECT path, size, mtime_ns FROM file")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos.remote")
    parser.add_argument("url")
    parser.add_argument("database", type=Path)
    parser.add_argument("--worker", required=True)
    options = parser.parse_args()
    mirror = RemoteMirror(options.database, options.worker)
    with FleetClient(SqliteFleetStore(mirror.connection), options.url, worker=options.worker, away_s=AWAY_S) as client:
        for batch in client.batches(GROUP):
            mirror.apply(batch)
            batch.ack()


if __name__ == "__main__":
    main()
