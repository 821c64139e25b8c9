"""The index of a service: one file, and the parts that share it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .anchors import Anchors
from .backlog import Backlog
from .consumers import Consumers
from .debts import Debts
from .file import IndexFile
from .moments import Moments
from .pages import Turnover
from .records import Records
from .schema import Connect, connect
from .streams import Streams
from .tables import Tables
from .tombstones import Tombstones


class Index:
    """Opens the file and puts the parts together. Owned by one thread.

    Like each of its parts it raises sqlite3.Error if the disk fails. The caller then abandons it; nothing uncommitted has been
    handed out.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "process",
        lane_of: Callable[[bytes], int] | None = None,
        directories: bool = False,
        content_only: bool = False,
        connect: Connect = connect,
        wall_ns: Callable[[], int] = time.time_ns,
        on_progress: Callable[[], None] = lambda: None,
        sync: Callable[[int], object] = os.fdatasync,
    ) -> None:
        """
        Args:
            path: the file, which is made if it does not exist.
            durability: `process`, `power` or `storage.durability.TEMPORARY`.
            lane_of: returns the priority of an absolute path. None: all priorities are 0.
            directories: whether directories are events.
            content_only: whether a file counts as modified only if its content may have changed.
            connect: opens the file.
            wall_ns: returns the time in ns since 1970, on the clock that the looks of shards use.
            on_progress: called during work that may take long, to show that the process does not hang.
            sync: writes what was written to a descriptor to the disk, with durability `power`.
        """
        self.file = IndexFile(path, durability=durability, connect=connect, on_progress=on_progress, sync=sync)
        self.tables = Tables(self.file)
        #: The looks that shards owe.
        self.debts = Debts(self.file, self.tables.pages, wall_ns)
        #: Applies the records of shards.
        self.records = Records(
            self.file, self.tables, self.debts, lane_of=lane_of, directories=directories, content_only=content_only
        )
        self._moments = Moments(self.file, wall_ns)
        #: What groups read.
        self.backlog = Backlog(self.file, self.tables.pages, self._moments)
        self.tombstones = Tombstones(self.file, self.tables, wall_ns)
        self.streams = Streams(self.file)
        self.consumers = Consumers(self.file)
        self.anchors = Anchors(self.file, self.tables, self.records, self.debts)

    # -- the transaction

    def begin(self) -> None:
        """Opens a transaction, if none is open."""
        self.file.begin()

    def commit(self, *, may_defer: bool = False) -> None:
        """Makes everything since `begin` durable, and visible to groups.

        `may_defer`: other processes may see it later, if it can be committed to the redo file (`aggregator.index.deferring`).
        """
        self._moments.note()
        self.file.commit(may_defer=may_defer)

    def commit_deferred(self) -> None:
        """Commits to the database what is only in the redo file, if anything is. Call it outside of a transaction."""
        self.file.commit_deferred()

    def rollback(self) -> None:
        """Undoes everything since `begin` on the disk. What is in memory is wrong from then on: the caller abandons it."""
        self.file.rollback()

    # -- questions

    @property
    def tick(self) -> int:
        """The last tick that was given."""
        return self.file.ticks.last

    @property
    def incarnation(self) -> str:
        """Tells this index from every other, also from an earlier or later one in its place."""
        return self.file.incarnation

    @property
    def files(self) -> int:
        """The number of files and links."""
        return self.file.files

    @property
    def directories(self) -> int:
        """The number of directories without the roots, which are no entries of a directory."""
        return self.file.directories

    @property
    def written(self) -> int:
        """Rows that were written since the start."""
        return self.file.written

    @property
    def turnover(self) -> Turnover:
        """What has become of pages since the start."""
        return self.tables.pages.turnover

    @property
    def unfit(self) -> bool:
        """Whether the rows are still being adapted to the settings (`aggregator.index.refit`)."""
        return self.file.unfit

    @property
    def owed(self) -> Mapping[bytes, Mapping[bytes, tuple[int, int]]]:
        """The names, by directory, that their owners must look at again (`aggregator.index.debts`)."""
        return self.debts.owed

    @property
    def deferring(self) -> bool:
        """Whether other processes do not see yet all that is committed."""
        return self.file.deferring.is_active

    def knows(self, directory: bytes) -> bool:
        """Whether a shard has ever reported anything in a directory or below it."""
        return self.tables.directories.knows(directory)

    def has_directory(self, path: bytes) -> bool:
        """Whether a directory is there as an entry of the one above it, so that `directories` counts it."""
        above, name = os.path.split(path)
        id_ = self.tables.directories.find(above)
        return id_ is not None and self.tables.entries.has_directory(id_, name)

    # -- its life

    def expand(self) -> None:
        """Gives the caches room for a burst, until `shrink`. Idempotent."""
        self.file.expand()
        self.file.ticks.newest.expand()

    def shrink(self) -> None:
        """Frees the caches, which fill again with work."""
        self.tables.shrink()
        self.file.ticks.newest.shrink()
        self.file.shrink()

    def abandon(self) -> None:
        """Closes the file without a commit, for a disk that refuses writes. Idempotent."""
        self.file.abandon()

    def close(self) -> None:
        """Commits, truncates the log, and stores the exact last tick as the ceiling."""
        self.file.close()
