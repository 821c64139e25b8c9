"""Looks that are owed: at other names of a file (writing by one tells the others' directories nothing), or on demand.

A debt is durable with the changes that made it, and is paid by a look that began after them: one that was under way, or is
still on the line, may show what was before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

#: A look that is older than a debt by more than this was made after the wall clock was set back.
_STEP_NS: Final = 60 * 10**9


class Debts:
    """Lives in the index's database and its transactions. Times are those at which looks began, wall clock, ns."""

    def __init__(self, db: Any) -> None:
        self._db = db
        #: directory -> name -> (first, last): the looks that made the debt.
        self.owed: dict[bytes, dict[bytes, tuple[int, int]]] = {}
        #: True once more is owed, or less, than when it was last asked for (reset by the receiver).
        self.changed = False
        self._load()

    def _load(self) -> None:
        now = time.time_ns()
        self.owed.clear()
        for path, name in self._db.execute("SELECT path, name FROM owed").fetchall():
            self.owed.setdefault(path, {})[name] = (now, now)

    def add(self, path: bytes, name: bytes, at: int) -> None:
        """The directory's owner looks at this name again, however long that takes."""
        names = self.owed.setdefault(path, {})
        if name not in names:
            self._db.execute("INSERT OR IGNORE INTO owed VALUES (?, ?)", (path, name))
        first, last = names.get(name, (at, at))
        names[name] = (first, max(at, last))
        self.changed = True

    def add_names(self, inodes: Mapping[tuple[int, int], int], at: int) -> None:
        """Other names of these files (dev, ino) may show another state than their rows: their owners look again.

        Where a name is gone (its link count; else 0), all others are in doubt; else those that differ from the latest.
        """
        for (dev, ino), gone in inodes.items():
            rows = self._db.execute(
                "SELECT e.ctime_ns, e.nlink, e.size, e.mtime_ns, d.path, e.name FROM entry e JOIN directory d ON d.id=e.dir"
                " WHERE e.ino=? AND e.dev=? AND e.kind<>0 AND e.directory=0",
                (ino, dev),
            ).fetchall()
            if gone == 1 and all(row[1] == 1 for row in rows):
                continue  # it had one name only: what is there now is its new name, or a new file
            latest = max((row[:4] for row in rows), default=None)
            differ = any(row[:4] != latest for row in rows)
            for row in rows:
                path, name = row[4:]
                # A time of change that is still to come: the clock was set back, so the latest is not the last.
                if gone or row[:4] != latest or (differ and row[0] > at):
                    self.add(path, name, at)

    def pay(self, path: bytes, names: Iterable[bytes], at: int) -> None:
        """These names of a directory were looked at, from `at` on."""
        owed = self.owed[path]
        paid = []
        for name in names:
            if name not in owed:
                continue
            first, last = owed[name]
            if not _earlier(at, last):
                paid.append(name)
                del owed[name]
            elif not _earlier(at, first):
                owed[name] = (last, last)  # it was made again while that look was under way
            self.changed = True
        self._db.executemany("DELETE FROM owed WHERE path=? AND name=?", [(path, n) for n in paid])
        if not owed:
            del self.owed[path]

    def forgive(self, path: bytes) -> None:
        """The directory has no rows any more."""
        if self.owed.pop(path, None) is not None:
            self._db.execute("DELETE FROM owed WHERE path=?", (path,))

    def forgive_without_rows(self) -> None:
        """After rows were forgotten: what is nobody's row is nobody's to look at."""
        self._db.execute(
            "DELETE FROM owed WHERE NOT EXISTS (SELECT 1 FROM directory d JOIN entry e ON e.dir=d.id"
            " WHERE d.path=owed.path AND e.name=owed.name)"
        )
        self._load()


def _earlier(look: int, debt: int) -> bool:
    """Whether a look may show less than a debt demands."""
    return debt - _STEP_NS <= look <= debt
