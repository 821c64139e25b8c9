"""What a life of the databases notes of their files, without touching what SQLite holds on them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from shardwatch.aggregator.storage.lives import GROUPS, INDEX, Lives

_READ_AND_CLOSE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT count(*) FROM t").fetchone()[0])
db.close()
"""


def test_the_locks_of_open_databases_stay(state_dir: Path) -> None:
    """Another program that reads a database and closes it is not the last one, so it leaves the log where it is.

    Closing any descriptor of a file gives up all POSIX locks of the process on it, by which SQLite knows who is there.
    """
    databases = []
    for name in (INDEX, GROUPS):
        db = sqlite3.connect(state_dir / name, isolation_level=None)
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (x)")
        databases.append(db)
    logs = [state_dir / f"{name}-wal" for name in (INDEX, GROUPS)]
    before = [log.stat().st_ino for log in logs]
    lives = Lives(state_dir, set())
    lives.begin(lives.name(""), ())
    for db in databases:
        db.execute("INSERT INTO t VALUES (1)")
    for name in (INDEX, GROUPS):
        reader: list[str | Path] = [sys.executable, "-c", _READ_AND_CLOSE, state_dir / name]
        assert subprocess.run(reader, capture_output=True, text=True, check=True).stdout == "1\n"
    assert [log.stat().st_ino for log in logs] == before
    for db in databases:
        db.close()
