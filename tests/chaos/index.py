"""What the index holds, read from its file beside the service that writes it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from index_rows import query_file


def read_files(path: Path, only: bytes | None = None) -> dict[bytes, tuple[int, int]]:
    """path -> (size, mtime_ns) of every file that is there as far as is committed; or of one."""
    sql = "SELECT d.path, e.name, e.size, e.mtime_ns FROM every e JOIN directory d ON d.id=e.dir"
    sql += " WHERE e.kind<>0 AND e.directory=0"
    arguments: tuple[bytes, ...] = ()
    if only is not None:
        sql += " AND d.path=? AND e.name=?"
        arguments = os.path.split(only)
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
    try:
        return {
            os.path.join(above, name): (size, mtime_ns) for above, name, size, mtime_ns in query_file(db, sql, arguments)
        }
    finally:
        db.close()


def in_pages(path: Path) -> int:
    """How many files are in pages, and not in rows of their own."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
        return sum(live.count(1) for (live,) in db.execute("SELECT live FROM page"))
