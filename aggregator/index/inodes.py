"""Which pages may hold files with which inode numbers, and whether entries can be found by their inode at all.

Most trees have no file with several names, and pay nothing. With the first such file, rows get two indexes of SQLite's, and the
table `inode` says of each page which inode numbers it may hold, in groups of 16 numbers that follow one another: files that were
made together mostly have such numbers, so a page of 256 files has 16 rows there, rather than 256. Pages that exist by then are
taken in a few hundred at a time (`Pages.index_inodes`); pages that are made or change from then on, at once.
"""

from __future__ import annotations

from typing import Any, Final

from shardwatch.shard.contract.files.packed import INT_MAX

from ..storage.damage import progress
from .file import IndexFile
from .page import Page, inode_numbers

#: Numbers of one group, as a power of two.
_GROUP_BITS: Final = 4
_INSERT: Final = "INSERT OR IGNORE INTO inode VALUES (?, ?)"


class Inodes:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._db: Any = file.db
        #: Pages with an id up to this one are in the table, as are those that were made since it was begun; None: none are.
        self._upto = file.inodes

    @property
    def used(self) -> bool:
        """Whether a file with several names was ever seen."""
        return self._upto is not None

    @property
    def complete(self) -> bool:
        """Whether every entry can be found by its inode."""
        return self._upto == INT_MAX

    @property
    def reached(self) -> int:
        """The id of the last page that was taken in, of those that existed at the beginning."""
        return self._upto or 0

    def begin(self) -> None:
        """A file with several names was seen. Takes about a second for a million entries that are in rows of their own."""
        if self.used:
            return
        with progress(self._db, self._file.on_progress):
            self._db.execute("CREATE INDEX entry_by_inode ON entry (ino, dev) WHERE kind <> 0 AND directory = 0")
            self._db.execute("CREATE INDEX entry_linked ON entry (ino, dev) WHERE nlink > 1 AND kind <> 0")
        self.reach(0 if self._db.execute("SELECT 1 FROM page LIMIT 1").fetchone() else INT_MAX)

    def reach(self, page: int) -> None:
        """Pages with an id up to this one have been taken in; INT_MAX: all."""
        self._upto = page
        self._db.execute("UPDATE state SET inodes=?", (page,))

    def add(self, page: int, stats: bytes) -> None:
        """Takes in a page, by its id and its stats. Idempotent."""
        self._db.executemany(_INSERT, [(group, page) for group in _groups(stats)])

    def replaced(self, old: Page, new: Page | None) -> None:
        """A page has become another one with the same id; None: it is gone."""
        if not self.used or (new is not None and new.stats is old.stats):
            return
        before, after = _groups(old.stats), set() if new is None else _groups(new.stats)
        if gone := before - after:
            self._db.executemany("DELETE FROM inode WHERE numbers=? AND page=?", [(group, old.id) for group in gone])
        if came := after - before:
            self._db.executemany(_INSERT, [(group, old.id) for group in came])

    def pages(self, ino: int) -> list[int]:
        """The ids of the pages that may hold a file with this inode number."""
        return [id_ for (id_,) in self._db.execute("SELECT page FROM inode WHERE numbers=?", (ino >> _GROUP_BITS,))]


def _groups(stats: bytes) -> set[int]:
    return {ino >> _GROUP_BITS for ino in inode_numbers(stats) if ino}
