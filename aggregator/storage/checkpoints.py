"""Moves what was committed from the logs of databases (-wal) to their files, beside the work of the process.

SQLite does this by itself in the commit that makes a log so many pages long. That commit waits until the disk has written the log
and the file, some 10 to 40 ms in which nothing is handed out, and more where the disk is busy. Here the same is done before it
comes to that, in a thread and on connections of its own: SQLite lets the writer go on meanwhile. Only what is committed faster
than that is left to SQLite.

What remains for the writer is to wait for one page at the beginning of each log. Therefore the logs are longer than usual. While
changes come from all over the tree, this also saves most of what is written to the file: each transaction changes some of the
same pages, and of a page that is in the log ten times only the last state is moved.

A log begins anew only if all of it is moved when a transaction begins. Between small commits there is time for that. In a burst
the thread is hardly ever done at the right moment. Therefore, when a log is long, the writer moves itself what was committed
meanwhile, after it has handed out what there is.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .durability import synchronous

#: The length of a log at which SQLite moves it within a commit, pages of 4 KiB: just below 64 MiB, and what that commit writes.
PAGES: Final = 16_000
#: Commits after which the logs are moved here. A save changes some seven pages of each, so it comes before that.
COMMITS: Final = 400
#: Changed rows of the index after which they are, too: where they lie anywhere in the file, that is some 10,000 pages.
ROWS: Final = 16_000
#: Rows that a transaction of a burst changes at least, and the length at which the writer ends a log then, pages.
_MANY: Final = 100
_LONG: Final = PAGES // 2
#: SQLite counts changed rows in a signed integer of 32 bits, which begins anew at its least value.
_COUNTED: Final = 1 << 32


def rows_since(before: int, now: int) -> int:
    """How many rows a connection has changed between two values of its `total_changes`: fewer than 2**32. At 500 rows a second it
    begins anew within 50 days."""
    return (now - before) % _COUNTED


class Checkpoints:
    """The thread moves; another thread, always the same, does everything else.

    Args:
        paths: databases that are open for writing and in WAL mode.
        durability: `process`, `power` or `TEMPORARY`.

    Raises sqlite3.Error where they can't be opened once more.
    """

    def __init__(self, paths: Sequence[Path], durability: str) -> None:
        self._databases: list[sqlite3.Connection] = []
        self._thread: threading.Thread | None = None
        self._commits = 0
        #: What `committed` was told last, and when the logs were moved last.
        self._told = 0
        self._rows = 0
        #: The length of the longest log when the thread moved it last, pages; 0: the writer has moved the rest.
        self._length = 0
        try:
            for path in paths:  # open from now on: later the path may lead to another file
                database = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
                self._databases.append(database)
                database.execute(f"PRAGMA synchronous={synchronous(durability)}")
        except sqlite3.Error:
            self.close()
            raise

    def committed(self, rows: int) -> None:
        """A transaction was committed, and no other one has begun. In a burst it may block for as long as the disk takes to write
        what one or two transactions have changed; else it does not.

        `rows`: how many were changed since the databases were opened, by all transactions together (`rows_since`).
        """
        many, self._told = rows_since(self._told, rows) >= _MANY, rows
        self._commits += 1
        if self._thread is not None and self._thread.is_alive():
            return
        if self._length >= _LONG and many:
            self._move()
            self._length = 0
        elif self._commits >= COMMITS or rows_since(self._rows, rows) >= ROWS:
            self._commits, self._rows = 0, rows
            self._thread = threading.Thread(target=self._move, name="checkpoint", daemon=True)
            self._thread.start()

    def _move(self) -> None:
        self._length = 0
        for database in self._databases:
            # As when SQLite does it by itself, a failure changes nothing: the log stays, and whoever writes hears of a bad disk.
            with contextlib.suppress(sqlite3.Error):
                _, pages, _ = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._length = max(self._length, pages)

    def wait(self) -> None:
        """Waits until nothing is being moved: for as long as the disk takes to write a few megabytes."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Call it before the connections that write are closed, because the last one of a database to be closed moves everything.
        Idempotent.
        """
        self.wait()
        for database in self._databases:
            database.close()
