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

        Where a path is no anchor any more, its rows are the next owner's, whose listings tell what is gone, if there is a row of
        each directory on the way to them. There may be none. Perhaps the directory is gone: the next owner has reported that long
        ago, and the former one can't report it any more. Or nobody has looked: it was a root, and a root above it is new; or the
        patterns have left out, but for this root, where it lies. So the directories get rows, and the owner is asked to look.

        Where nobody owns it any more, the rows below it are buried here.
        """
        wanted = set(anchors)
        known = {path for (path,) in self._file.db.execute("SELECT path FROM anchor")}
        if wanted == known:
            return
        self._file.begin()
        owners = Nearest(wanted)
        for path in sorted(known - wanted):
            above, name = os.path.split(path)
            if self._tables.directories.is_directory(above, name):
                continue
            owner = owners.of(above)
            if owner is not None:
                if self._tables.directories.knows(path) and (first := self._records.presume(owner, path)) is not None:
                    self._debts.owe(*first)
                continue
            below = path if path == b"/" else path + b"/"
            self._records.bury_below([path], self._debts.wall_ns(), [a for a in wanted if a.startswith(below)])
        self._file.db.execute("DELETE FROM anchor")
        self._file.db.executemany("INSERT INTO anchor VALUES (?)", [(path,) for path in wanted])
