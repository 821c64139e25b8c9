"""The file of the index: creates and opens it, and migrates it to the newest schema in named steps. Used by `index` only.

`sql/index.sql` is the newest schema. `STEPS` names the script that leads from each older schema to the next. Each step
is one transaction, which also writes the new number. So after a kill at any point, the next start continues where it
was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.errors import ShardwatchError

from ..storage.checkpoints import PAGES
from ..storage.damage import progress
from .redo import RedoFile, redo

#: The schema of `sql/index.sql`.
SCHEMA: Final = 11
#: Schema -> script in `sql/` that leads from it to the next one.
STEPS: Final[Mapping[int, str]] = {
    1: "index_1_to_2.sql", 2: "index_2_to_3.sql", 3: "index_3_to_4.sql", 4: "index_4_to_5.sql",
    5: "index_5_to_6.sql", 6: "index_6_to_7.sql", 7: "index_7_to_8.sql",
    8: "index_8_to_9.sql", 9: "index_9_to_10.sql", 10: "index_10_to_11.sql",
}  # fmt: skip
_SQL: Final = Path(__file__).with_name("sql")
#: The first schema with a redo file.
_REDO_SINCE: Final = 11
#: Tables of every schema.
_TABLES: Final = frozenset({"state", "directory", "entry", "owed", "anchor", "stream"})
#: The page cache: at most times, and in a burst. With the small one, a burst in random order in an index of 100,000 rows read
#: three times as many pages.
CACHE_KIB: Final = 1024
CACHE_KIB_EXPANDED: Final = 16384

#: Opens a file: `sqlite3.connect`, or what a test passes in instead.
Connect = Callable[[Path], Any]


class IndexVersionError(ShardwatchError):
    """The index on disk belongs to a version of shardwatch that this one can't read."""


class State(NamedTuple):
    """The one row of `state`, as it was found."""

    incarnation: str
    tick: int
    ceiling: int
    collected: int
    files: int
    directories: int
    filter: str
    service: str
    life: str
    inodes: int | None
    redo: int


#: Seconds to wait for another process's lock. Nobody of ours holds one; it must be less than what counts as a hang.
BUSY_S: Final = 2.0


def connect(path: Path) -> sqlite3.Connection:
    # Python's module looks for an adapter of each `bytes` that it is given, and is slow to find that there is none: a sixth of
    # what an update costs in it.
    sqlite3.register_adapter(bytes, bytes)
    return sqlite3.connect(path, isolation_level=None, cached_statements=256, timeout=BUSY_S)


def open_database(
    path: Path,
    connect: Connect = connect,
    on_progress: Callable[[], None] = lambda: None,
    redo_file: RedoFile | None = None,
    synchronous: str = "FULL",
) -> tuple[Any, State]:
    """Opens or makes the file. Returns the connection, with this value of `synchronous`, and the state. `on_progress` is called
    during steps that read every row. What is in `redo_file` is done again.

    Raises sqlite3.DatabaseError (not OperationalError) for a damaged file, IndexVersionError for one of another version.
    """
    db = connect(path)
    try:
        os.chmod(path, 0o600)
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA wal_autocheckpoint={PAGES}")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("PRAGMA secure_delete=OFF")  # Debian's SQLite has it on: 5 % of an update, for names that are no secret
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()}
        if not tables:
            _make(db)
        elif not tables >= _TABLES:
            raise sqlite3.DatabaseError(f"tables are missing: {', '.join(sorted(_TABLES - tables))}")
        row = db.execute("SELECT schema FROM state").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("its state is missing")
        with progress(db, on_progress):
            if redo_file is not None and _REDO_SINCE <= row[0] <= SCHEMA:  # before any step: it was written under this schema
                redo(db, redo_file, db.execute("SELECT redo FROM state").fetchone()[0])
            _migrate(db, path, row[0])
        found = State._make(db.execute(f"SELECT {', '.join(State._fields)} FROM state").fetchone())
        opened = db.execute("SELECT life FROM opened").fetchone()
        if found.life != (opened[0] if opened is not None else ""):
            raise sqlite3.DatabaseError("its log (-wal) is of another file")
    except BaseException:
        db.close()
        raise
    return db, found


def _script(db: Any, name: str, last: str) -> None:
    """Runs a script and a last statement in one transaction."""
    db.executescript(f"BEGIN IMMEDIATE;{_SQL.joinpath(name).read_text()};{last};COMMIT;")


def new_incarnation() -> str:
    """A random name for a new index, which distinguishes it from every other, also from earlier and later ones in its place."""
    return os.urandom(8).hex()


def _make(db: Any) -> None:
    row = f"INSERT INTO state VALUES (1, {SCHEMA}, '{new_incarnation()}', 0, 0, 0, 0, 0, '', '', '', NULL, 0)"
    _script(db, "index.sql", row)


def _migrate(db: Any, path: Path, schema: int) -> None:
    if schema > SCHEMA:
        raise IndexVersionError(
            f"{path} has schema {schema}, this version knows {SCHEMA}", hint="run the newer version, or another state directory"
        )
    while schema < SCHEMA:
        if schema not in STEPS:
            raise IndexVersionError(
                f"{path} has schema {schema}, which this version can't read",
                hint="remove it while the service is stopped: it is built anew, and groups are told `fresh`",
            )
        _script(db, STEPS[schema], f"UPDATE state SET schema = {schema + 1}")
        schema += 1


def stamp(db: Any, life: str, incarnation: str) -> None:
    """Says of which life the file is, twice: in `state`, which each commit writes to the log, and in `opened`, which nobody else
    writes."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE state SET life = ?, incarnation = ?", (life, incarnation))
    db.execute("DELETE FROM opened")
    db.execute("INSERT INTO opened VALUES (?)", (life,))
    db.execute("COMMIT")
