"""Looks that are owed: at other names of a file (writing by one tells the others' directories nothing), or on demand.

A debt is durable with the changes that made it, and is paid by a look that began after them: one that was under way, or is
still on the line, may show what was before.

Of a file that has more names than are known (outside the tree, or made and gone again before anyone looked) nothing tells what
is done by the others: its known names are looked at again at every sync, and now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

#: A look that is older than a debt by more than this was made after the wall clock was set back.
_STEP_NS: Final = 60 * 10**9


class Debts:
    """Lives in the index's database and its transactions. Times are those at which looks began, wall clock, ns."""

    def __init__(self, db: Any, wall_ns: Callable[[], int]) -> None:
        self._db = db
        self.wall_ns = wall_ns
        #: directory -> name -> (first, last): the looks that made the debt.
        self.owed: dict[bytes, dict[bytes, tuple[int, int]]] = {}
        #: True once more is owed, or less, than when it was last asked for (reset by the receiver).
        self.changed = False
        #: (dev, ino) of files of which not every name is known.
        self.partly: set[tuple[int, int]] = set()
        self._load()

    def load_partly(self) -> None:
        """Reads all rows of files with several names: seconds for millions."""
        self.partly = set(
            self._db.execute(
                "SELECT dev, ino FROM entry WHERE nlink>1 AND kind<>0 GROUP BY ino, dev HAVING count(*) < max(nlink)"
            ).fetchall()
        )

    def _load(self) -> None:
        now = self.wall_ns()
        self.owed.clear()
        for path, name in self._db.execute("SELECT path, name FROM owed").fetchall():
            self.owed.setdefault(path, {})[name] = (now, now)

    def add(self, path: bytes, name: bytes, at: int, *, durable: bool = True) -> None:
        """The directory's owner looks at this name again, however long that takes."""
        names = self.owed.setdefault(path, {})
        if durable:  # even if it is owed already: that may not have been durable
            self._db.execute("INSERT OR IGNORE INTO owed VALUES (?, ?)", (path, name))
        first, last = names.get(name, (at, at))
        names[name] = (first, max(at, last))
        self.changed = True

    def add_names(self, inodes: Mapping[tuple[int, int], int], at: int) -> None:
        """Other names of these files (dev, ino) may show another state than their rows: their owners look again.

        Where a name is gone (its link count; else 0), all others are in doubt; else those that differ from the latest.
        """
        for (dev, ino), gone in inodes.items():
            rows = self._names(dev, ino)
            if gone == 1 and all(row[1] == 1 for row in rows):
                continue  # it had one name only: what is there now is its new name, or a new file
            latest = max((row[:4] for row in rows), default=None)
            differ = any(row[:4] != latest for row in rows)
            for row in rows:
                path, name = row[4:]
                # A time of change that is still to come: the clock was set back, so the latest is not the last.
                if gone or row[:4] != latest or (differ and row[0] > at):
                    self.add(path, name, at)

    def add_partly(self, at: int) -> int:
        """Looks at all files of which not every name is known; returns how many names that are. Not durable: these files are
        found again at the next start."""
        names = 0
        for dev, ino in list(self.partly):
            for row in self._names(dev, ino):
                self.add(row[4], row[5], at, durable=False)
                names += 1
        return names

    def _names(self, dev: int, ino: int) -> list[Any]:
        """(ctime_ns, nlink, size, mtime_ns, directory, name) of the rows of a file; also learns whether these are all."""
        rows: list[Any] = self._db.execute(
            "SELECT e.ctime_ns, e.nlink, e.size, e.mtime_ns, d.path, e.name FROM entry e JOIN directory d ON d.id=e.dir"
            " WHERE e.ino=? AND e.dev=? AND e.kind<>0 AND e.directory=0",
            (ino, dev),
        ).fetchall()
        if rows and max(rows)[1] > len(rows):
            self.partly.add((dev, ino))
        else:
            self.partly.discard((dev, ino))
        return rows

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


def _earlier(look: int, debt: int) -> bool:
    """Whether a look may show less than a debt demands."""
    return debt - _STEP_NS <= look <= debt
