"""Which column of the index holds what it can't: asked once the work has stumbled over something that it did not expect.

SQLite takes a value of any type in any column, so its own check finds nothing wrong with that, and rows by themselves have no
checksum. Reads the file over a connection of its own, and writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..storage.damage import progress

#: What `typeof` says of the values of a column, by its type in the schema.
_TYPES: Final = {"INTEGER": "'integer'", "BLOB": "'blob'", "TEXT": "'text'"}
#: Bits of groups are a blob where there are more than an integer has (`holders.stored`).
_HELD: Final = "'integer','blob'"


def mistyped(path: Path, on_progress: Callable[[], None]) -> str:
    """The first column that holds a value of another type than its own; "" if there is none, or no file. Reads all rows, which
    takes seconds for millions, and calls `on_progress` meanwhile.

    Raises sqlite3.Error if the file can't be read.
    """
    if not path.exists():
        return ""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        with progress(db, on_progress):
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
                column = _mistyped_in(db, table)
                if column:
                    return f"{table}.{column} holds a value of another type"
    finally:
        db.close()
    return ""


def _mistyped_in(db: sqlite3.Connection, table: str) -> str:
    cases = ""
    for _, column, type_, not_null, _, key in db.execute(f"PRAGMA table_info({table})").fetchall():
        allowed = _HELD if column == "held" else _TYPES[type_]
        if not (not_null or key):
            allowed += ",'null'"
        cases += f" WHEN typeof({column}) NOT IN ({allowed}) THEN '{column}'"
    found = db.execute(f"SELECT CASE{cases} END AS wrong FROM {table} WHERE wrong IS NOT NULL LIMIT 1").fetchone()
    return "" if found is None else str(found[0])
