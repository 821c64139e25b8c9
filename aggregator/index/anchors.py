"""The anchors of the plan that the rows were written under."""

from __future__ import annotations

import os
from collections.abc import Iterable

from shardwatch.shard.contract.files.paths import Nearest

from .debts import Debts
from .file import IndexFile
from .records import Records
from .tables import Tables


class Anchors:
    """The table `anchor`."""

    def __init__(self, file: IndexFile, tables: Tables, records: Records, debts: Debts) -> None:
        self._file = file
        self._tables = tables
        self._records = records
        self._debts = debts

    def adopt(self, anchors: Iterable[bytes]) -> None:
        """Takes over a plan's anchors, in a transaction that the caller commits.

        Where a path is no anchor any more and its directory is gone, the rows below it are buried here. Nobody else would do it:
        the former owner does not own the rows any more, and the new owner has reported long ago that the directory is gone.

        That no row says of a directory that it is there proves nothing if nobody has looked above it: it was a root, and a root
        above it is new. It gets a row then, and so do the directories on the way to it. The new owner, which scans all that it is
        given, says if they are gone.
        """
        wanted = set(anchors)
        known = {path for (path,) in self._file.db.execute("SELECT path FROM anchor")}
        if wanted == known:
            return
        self._file.begin()
        owners, former = Nearest(wanted), Nearest(known)
        for path in sorted(known - wanted):
            above, name = os.path.split(path)
            if self._tables.directories.is_directory(above, name):
                continue
            owner = owners.of(above)
            if owner is not None and former.of(above) is None:
                if self._tables.directories.knows(path):
                    self._records.presume(owner, path)
                continue
            below = path if path == b"/" else path + b"/"
            self._records.bury_below([path], self._debts.wall_ns(), [a for a in wanted if a.startswith(below)])
        self._file.db.execute("DELETE FROM anchor")
        self._file.db.executemany("INSERT INTO anchor VALUES (?)", [(path,) for path in wanted])
