"""A consumer in a process of its own: keeps a mirror in a SQLite file, applied before the ack, and checks what it is handed.

`python -m chaos.consumer STATE_DIR GROUP DATABASE --worker NAME`. Killed at any moment, its successor goes on with the file.
Workers of one group share it, as a team of extract workers shares its result store: a tick that is older than the stored one is
what a worker may write that outlived its lease, so it is left out (the tick is the fencing token).
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Protocol

from shardwatch.aggregator.client.blocking import Batch, ExtractClient
from shardwatch.aggregator.protocol.messages import Event, Fresh
from shardwatch.shard.contract.errors import ShardwatchError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, gone INTEGER, tick INTEGER, acked INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS count (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wrong (at REAL, worker TEXT, what TEXT);
"""


class Told(Protocol):
    """What is taken in at once."""

    @property
    def events(self) -> list[Event]: ...
    @property
    def attempt(self) -> int: ...
    @property
    def fresh(self) -> Fresh | None: ...


class Mirror:
    """What one group knows, and what it counted. Every method is one transaction."""

    def __init__(self, path: Path, worker: str) -> None:
        self._worker = worker
        self._db = sqlite3.connect(path, timeout=120, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # a kill takes nothing from what is written
        self._db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute("COMMIT")

    def freshness(self) -> int:
        """How often the group was told to forget everything."""
        row = self._db.execute("SELECT value FROM count WHERE name='fresh'").fetchone()
        return row[0] if row else 0

    def apply(self, batch: Told, freshness: int, valid_until: float) -> bool:
        """Takes a batch in; False where the group was told to forget everything since it was pulled."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self.freshness() != freshness:
                self._count(Counter(outdated=1))
                return False
            counts = Counter(batches=1, events=len(batch.events), redelivered=int(batch.attempt > 1))
            if batch.fresh is not None:
                self._db.execute("DELETE FROM file")
                counts["fresh"] += 1
            fenced = time.monotonic() < valid_until  # no other worker may have been handed these paths since
            for event in batch.events:
                counts[self._take(event, fenced)] += 1
            self._count(counts)
            return True
        finally:
            self._db.execute("COMMIT")

    def _take(self, event: Event, fenced: bool) -> str:
        path = os.fsencode(event.path)
        if event.moved_from:
            # The tick is that of the new path. If the batch fails, the old one's deletion may come alone, with its own.
            self._db.execute(
                "UPDATE file SET size=NULL, mtime_ns=NULL, gone=1 WHERE path=? AND tick<?",
                (os.fsencode(event.moved_from), event.tick),
            )
        row = self._db.execute("SELECT tick, acked, size, mtime_ns, gone FROM file WHERE path=?", (path,)).fetchone()
        gone = event.event_type == "deleted"
        said = f"{event.event_type} {path!r} tick {event.tick}"
        if row is not None and (row[0] > event.tick or (row[0] == event.tick and row[1])):
            if fenced:
                self._wrong(f"{said} after tick {row[0]}" if row[0] > event.tick else f"{said} again after its ack")
            return "late"
        self._put(path, None if gone else event, event.tick)
        if row is not None and not gone and not row[4] and row[0] != event.tick and row[2:4] == (event.size, event.mtime_ns):
            return "equal"
        return event.event_type

    def _put(self, path: bytes, event: Event | None, tick: int) -> None:
        values = (None, None, 1) if event is None else (event.size, event.mtime_ns, 0)
        self._db.execute(
            "INSERT INTO file VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (path) DO UPDATE SET size=excluded.size,"
            " mtime_ns=excluded.mtime_ns, gone=excluded.gone, tick=excluded.tick, acked=0 WHERE excluded.tick >= tick",
            (path, *values, tick),
        )

    def acked(self, batch: Batch) -> None:
        """The ack was answered: none of these may come again with the same tick."""
        self._db.execute("BEGIN IMMEDIATE")
        rows = [(os.fsencode(event.path), event.tick) for event in batch.events]
        self._db.executemany("UPDATE file SET acked=1 WHERE path=? AND tick=?", rows)
        self._count(Counter(acked=1))
        self._db.execute("COMMIT")

    def note(self, name: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._count(Counter({name: 1}))
        self._db.execute("COMMIT")

    def _count(self, counts: Counter[str]) -> None:
        self._db.executemany(
            "INSERT INTO count VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=value+excluded.value",
            [(name, n) for name, n in counts.items() if n],
        )

    def _wrong(self, what: str) -> None:
        self._db.execute("INSERT INTO wrong VALUES (?, ?, ?)", (time.time(), self._worker, what))


def read_mirror(path: Path) -> dict[bytes, tuple[int, int]]:
    """path -> (size, mtime_ns), as far as it is committed."""
    return {p: (size, mtime_ns) for p, size, mtime_ns in read_rows(path, "SELECT path, size, mtime_ns FROM file WHERE gone=0")}


def read_counts(path: Path) -> dict[str, int]:
    return dict(read_rows(path, "SELECT name, value FROM count"))


def read_wrong(path: Path) -> list[str]:
    """Broken promises that the workers saw."""
    return [f"{worker}: {what}" for worker, what in read_rows(path, "SELECT worker, what FROM wrong ORDER BY at")]


def read_rows(path: Path, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """What a database holds that others write to; nothing where it is still to be made."""
    if not path.exists():
        return []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
    try:
        return db.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        db.close()


def follow(options: argparse.Namespace) -> None:
    mirror = Mirror(options.database, options.worker)
    random_ = random.Random(options.seed)
    with ExtractClient(options.state_dir, worker=options.worker) as client:
        while True:
            freshness, asked = mirror.freshness(), time.monotonic()
            try:
                batch = client.pull(options.group, max=options.max, wait_s=1.0, from_="start", patience_s=60.0)
                if batch is None:
                    continue
                if not mirror.apply(batch, freshness, asked + batch.lease_s):
                    batch.release()
                    continue
                if random_.random() < options.nack:
                    batch.nack("as chaos wants it", retry_s=random_.uniform(0, 0.5))
                    mirror.note("nacked")
                    continue
                time.sleep(random_.uniform(0, options.work_s))
                batch.ack()
                mirror.acked(batch)
            except ShardwatchError as error:
                mirror.note(f"error: {getattr(error, 'code', type(error).__name__)}")
                time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos.consumer")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("group")
    parser.add_argument("database", type=Path)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--max", type=int, default=1000)
    parser.add_argument("--nack", type=float, default=0.0)
    parser.add_argument("--work-s", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    follow(parser.parse_args())


if __name__ == "__main__":
    main()
