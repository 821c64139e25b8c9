"""Commits of the index that are deferred: they are in the redo file, and the database gets them later, all at once (`redo`).

Meanwhile the transaction of SQLite stays open. So whoever reads over the connection of the index sees what was committed, as
ever; other processes see the database as it was when it was committed last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from ..storage.checkpoints import rows_since
from .redo import RedoFile, Write, new_name

#: Rows that are changed by commits that are deferred, together at most.
ROWS_MAX: Final = 16_000


def rows_within(pages_cached: int, pages_used: int) -> int:
    """How many rows anywhere in a database may change before SQLite has to write pages that are changed again afterwards: until
    about as many pages have changed as are cached. Pure.

    Args:
        pages_cached: which SQLite keeps in memory at most.
        pages_used: which the database has.
    """
    if pages_used <= pages_cached:
        return ROWS_MAX
    return min(ROWS_MAX, int(-pages_used * math.log1p(-pages_cached / pages_used)))


class Deferring:
    """What of the open transaction of SQLite was committed already, and whether more can be.

    A transaction can be done again from the redo file if every row that it changed was changed by `write` or `write_one`. SQLite
    counts the rows that change, so whatever else has written is noticed, and the database is committed then.
    """

    def __init__(self, db: Any, file: RedoFile, name: int) -> None:
        """`name`: of the last commit of the database."""
        self._db = db
        self._file = file
        self._name = name
        #: The name of the next commit.
        self.next_name = new_name()
        self._writes: list[Write] = []
        self._rows = 0
        self._begun_at = 0
        #: Rows that were changed by commits that are deferred; and at most.
        self._deferred = 0
        self._deferred_max = 0

    @property
    def is_active(self) -> bool:
        """Whether the redo file has something that the database does not have."""
        return self._deferred > 0

    def begin(self) -> None:
        """A transaction begins. What was written since the last commit that was deferred, outside of any, is noticed too."""
        self._writes = []
        self._rows = 0
        if not self._deferred:
            self._begun_at = self._db.total_changes

    def write(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Runs a statement for each of these rows of parameters. What it does must follow from them and from what is in the
        database; nobody may change them until the commit. Returns how many rows of the database have changed."""
        before = self._db.total_changes
        self._db.executemany(sql, rows)
        changed = rows_since(before, self._db.total_changes)
        self._note((sql, rows), changed)
        return changed

    def write_one(self, sql: str, row: Sequence[Any]) -> Any:
        """The same of one row. Returns the cursor."""
        before = self._db.total_changes
        cursor = self._db.execute(sql, row)
        self._note((sql, (row,)), rows_since(before, self._db.total_changes))
        return cursor

    def _note(self, write: Write, changed: int) -> None:
        """What has changed nothing does not again. A transaction that is too large to be deferred is not kept in memory: the end
        of a directory with millions of files is one."""
        self._rows += changed
        if self._rows > ROWS_MAX:
            self._writes.clear()
        elif changed:
            self._writes.append(write)

    def defer(self, last: Write, pages_cached: int) -> bool:
        """Commits the transaction to the redo file. Returns whether that could be done; if not, nothing was.

        Args:
            last: what the database is to be told with its commit; it is not run here.
            pages_cached: pages of the database that SQLite keeps in memory at most.
        """
        if not self._rows or rows_since(self._begun_at, self._db.total_changes) != self._rows:
            return False
        if not self._deferred:
            self._deferred_max = rows_within(pages_cached, self._pages_used())
        if self._deferred + self._rows > self._deferred_max or not self._file.append(self._name, [*self._writes, last]):
            return False
        self._deferred += self._rows
        self._begun_at = self._db.total_changes
        self._writes = []
        return True

    def _pages_used(self) -> int:
        (pages,), (free,) = (self._db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count"))
        return int(pages) - int(free)

    def committed(self) -> None:
        """The database was committed, as `next_name`."""
        self._name, self.next_name = self.next_name, new_name()
        self._deferred = 0
        self._writes = []
        self._file.begin_anew()

