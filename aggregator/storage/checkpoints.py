"""Moves what was committed from the logs of databases (-wal) to their files, beside the work of the process.

SQLite does this by itself in the commit that makes a log so many pages long. That commit waits until the disk has written the log
and the file, some 10 to 40 ms in which nothing is handed out. While commits are small, the same is done here before it comes to
that, in a thread and on connections of its own: SQLite lets the writer go on meanwhile. Large commits are left to SQLite.

What remains for the writer is to wait for one page at the beginning of each log. Therefore the logs are longer than usual.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: The length of a log at which SQLite moves it within a commit, pages of 4 KiB.
PAGES: Final = 4_000
#: Commits after which the logs are moved here. A save changes some seven pages of each, so it comes before that.
COMMITS: Final = 400
#: What is committed while a log is moved stays in it. So it is moved again at once, which takes a moment, but no more than this.
_TIMES_MAX: Final = 4


class Checkpoints:
    """The thread moves; another thread, always the same, does everything else.

    Args:
        paths: databases that are open for writing and in WAL mode.
        durability: `process` or `power`.

    Raises sqlite3.Error where they can't be opened once more.
    """

    def __init__(self, paths: Sequence[Path], durability: str) -> None:
        self._databases: list[sqlite3.Connection] = []
        self._thread: threading.Thread | None = None
        self._commits = 0
        try:
            for path in paths:  # open from now on: later the path may lead to another file
                database = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
                self._databases.append(database)
                database.execute(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
        except sqlite3.Error:
            self.close()
            raise

    def committed(self) -> None:
        """A transaction was committed. Does not block."""
        self._commits += 1
        if self._commits >= COMMITS and (self._thread is None or not self._thread.is_alive()):
            self._commits = 0
            self._thread = threading.Thread(target=self._move, name="checkpoint", daemon=True)
            self._thread.start()

    def _move(self) -> None:
        for database in self._databases:
            # As when SQLite does it by itself, a failure changes nothing: the log stays, and whoever writes hears of a bad disk.
            with contextlib.suppress(sqlite3.Error):
                for _ in range(_TIMES_MAX):
                    _, pages, moved = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    if moved == pages:
                        break

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
