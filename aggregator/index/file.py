"""The file of the index: its one connection, its transaction, and the one row of its table `state`.

SQLite in WAL mode, one connection, one thread. With durability `process`, a commit survives any crash of our processes,
because the operating system has the data. With `power`, it also survives a crash of the machine (synchronous=FULL).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..storage.durability import synchronous, synchronous_once
from .changes import Changes
from .deferring import Deferring
from .redo import RedoFile
from .schema import CACHE_KIB, CACHE_KIB_EXPANDED, Connect, new_incarnation, open_database, stamp
from .ticks import Ticks

#: Ticks reserved ahead durably: after a crash of the machine a start goes on above them, so that none is given twice.
TICKS_RESERVED: Final = 1 << 20
#: What each commit tells the row of `state`.
_TOLD: Final = "UPDATE state SET tick=?, ceiling=?, collected=?, files=?, directories=?"
_PAGE_KIB: Final = 4


class IndexFile:
    """The open file. `Index` makes it and shares it with its parts, which read and write through `db`.

    Raises sqlite3.Error if the disk fails.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: str,
        connect: Connect,
        on_progress: Callable[[], None],
        sync: Callable[[int], object] = os.fdatasync,
    ) -> None:
        """`sync`: writes what was written to a descriptor to the disk."""
        self.path = path
        power = durability == "power"
        self._synchronous, self._synchronous_once = synchronous(durability), synchronous_once(durability)
        try:
            self._redo_file = RedoFile(path, sync if power else None)
        except OSError as error:
            raise sqlite3.OperationalError(f"{path}: {error.strerror}") from error
        try:
            self.db, found = open_database(path, connect, on_progress, self._redo_file, self._synchronous_once)
        except BaseException:
            self._redo_file.close()
            raise
        self.deferring = Deferring(self.db, self._redo_file, found.redo)
        #: Runs statements (`Deferring`) whose transaction may be committed to the redo file.
        self.write, self.write_one = self.deferring.write, self.deferring.write_one
        #: Called within work that may take long: the process is not hung.
        self.on_progress = on_progress
        #: The running service to which the stored streams belong, as it was found.
        self.service = found.service
        self.incarnation = found.incarnation
        #: Which opening of the databases wrote it last (`aggregator.storage.lives`), "" where none did.
        self.life = found.life
        #: Last tick that was committed before this start. A group that was handed a later one knows more than this file.
        self.found_tick = found.tick
        #: Highest tick of a tombstone that was forgotten.
        self.collected = found.collected
        #: Of which pages the inodes are known (`inodes`), as it was found.
        self.inodes = found.inodes
        #: The numbers of existing files and directories, and of rows written since the start.
        self.files = found.files
        self.directories = found.directories
        self.written = 0
        #: The fingerprint of the settings that all rows agree with, and whether the rows are being adapted to others (`refit`).
        self.fingerprint = found.filter
        self.unfit = False
        self.ticks = Ticks(found.ceiling)
        #: Grows with each transaction that ends: what was read of the rows holds until then.
        self.commits = 0
        #: Grows with each of them by which rows may have got into other lanes, or out of one.
        self.relaned = 0
        self._in_their_lanes = 0
        self._ceiling = 0
        #: Whether caches have room for a burst (`expand`).
        self.expanded = False
        self._open = False
        self._reserve()

    def _reserve(self) -> None:
        """Reserves the next ticks. Call it outside of a transaction; unless the file is temporary, the reservation is on the disk
        when it returns, whatever the durability.
        """
        self._ceiling = self.ticks.last + TICKS_RESERVED
        self.db.execute(f"PRAGMA synchronous={self._synchronous_once}")
        self.db.execute(
            "UPDATE state SET tick=?, ceiling=?, redo=?", (self.ticks.last, self._ceiling, self.deferring.next_name)
        )
        self.deferring.committed()
        self.db.execute(f"PRAGMA synchronous={self._synchronous}")

    # -- the transaction

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open."""
        return self._open

    @property
    def rows_changed(self) -> int:
        """Rows of all tables that were inserted, updated and deleted since the file was opened, as `rows_since` takes it."""
        return int(self.db.total_changes)

    def begin(self) -> None:
        """Opens a transaction, if none is open."""
        if not self._open:
            if not self.deferring.is_active:
                self.db.execute("BEGIN IMMEDIATE")
            self.deferring.begin()
            self._in_their_lanes = self.db.total_changes
            self._open = True

    def stay_in_lanes(self, rows_changed: int) -> None:
        """Whatever was changed since `rows_changed` was so great is in the lane in which it was before."""
        self._in_their_lanes += self.db.total_changes - rows_changed

    def commit(self, *, may_defer: bool = False) -> None:
        """Makes everything since `begin` durable, and visible to groups.

        `may_defer`: other processes may see it later, if it can be committed to the redo file.
        """
        if not self._open:
            return
        self.relaned += self.db.total_changes != self._in_their_lanes
        ceiling = max(self._ceiling, self.ticks.last)
        told = (self.ticks.last, ceiling, self.collected, self.files, self.directories)
        if not (may_defer and self.ticks.last < self._ceiling and self.deferring.defer((_TOLD, (told,)), self._pages_cached)):
            self.db.execute(f"{_TOLD}, redo=?", (*told, self.deferring.next_name))
            self.db.execute("COMMIT")
            self.deferring.committed()
        self._open = False
        self.commits += 1
        if self.ticks.last >= self._ceiling:
            self._reserve()

    def commit_deferred(self) -> None:
        """Commits to the database what is only in the redo file, if anything is. Call it outside of a transaction."""
        if self.deferring.is_active:
            self.begin()
            self.commit()

    def rollback(self) -> None:
        """Undoes everything since `begin` on the disk. What is in memory is wrong from then on: the caller abandons it."""
        self._open = False
        self.commits += 1
        self.relaned += 1
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    # -- its page cache

    def expand(self) -> None:
        """Gives the page cache room for a burst, in which rows all over the file are read and written. Idempotent."""
        if not self.expanded:
            self.expanded = True
            self.db.execute(f"PRAGMA cache_size=-{CACHE_KIB_EXPANDED}")

    @property
    def _pages_cached(self) -> int:
        return (CACHE_KIB_EXPANDED if self.expanded else CACHE_KIB) // _PAGE_KIB

    def shrink(self) -> None:
        """Empties the page cache, and gives it its usual size."""
        self.commit_deferred()
        self.expanded = False
        self.db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        self.db.execute("PRAGMA shrink_memory")

    # -- what the row of `state` says; written with the next commit

    def count(self, files: int, directories: int, written: int) -> None:
        """Adds to the numbers of existing rows and of written rows."""
        self.files += files
        self.directories += directories
        self.written += written

    def count_changes(self, changes: Changes) -> None:
        written = len(changes.inserts) + len(changes.updates) + len(changes.forgotten)
        self.count(changes.files, changes.directories, written)

    def note_collected(self, tick: int) -> None:
        """The tombstone with this tick was forgotten."""
        self.collected = max(self.collected, tick)

    def misfit(self) -> None:
        """The rows do not agree with any settings until `fit` is called; nor after a kill, with those of before. Call it after
        `begin`."""
        self.db.execute("UPDATE state SET filter=''")
        self.unfit = True

    def fit(self, fingerprint: str) -> None:
        """All rows agree with the settings that have this fingerprint. Call it between `begin` and `commit`."""
        self.db.execute("UPDATE state SET filter=?", (fingerprint,))
        self.fingerprint, self.unfit = fingerprint, False

    # -- its life

    def begin_life(self, life: str, *, anew: bool) -> None:
        """Stores the name of the service's new life. Call it outside of a transaction.

        `anew`: it is not known what was handed out before, so the index gets another incarnation.
        """
        self.life, self.incarnation = life, new_incarnation() if anew else self.incarnation
        stamp(self.db, life, self.incarnation)

    def checkpoint_life(self) -> None:
        """Moves the name of the life from the log to the file, so that a log that belongs to another file is recognised. Call it
        outside of a transaction.
        """
        self.commit_deferred()
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def abandon(self) -> None:
        """Closes the file without a commit, for a disk that refuses writes. Idempotent."""
        self.db.close()
        self._redo_file.close()

    def close(self) -> None:
        """Commits, truncates the log, and stores the exact last tick as the ceiling."""
        self.commit()
        self.commit_deferred()
        self.db.execute("UPDATE state SET ceiling = tick")
        self.db.close()
        with contextlib.suppress(OSError):  # the database has everything: only its room on the disk is not given back
            self._redo_file.empty()
        self._redo_file.close()
