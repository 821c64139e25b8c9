"""The table `directory`: the id of each directory in which something is known to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from .file import IndexFile
from .row import bounds

#: Directory ids kept in memory: at most times, and while there is much to do (`IndexFile.expand`).
IDS_MAX: Final = 1024
IDS_MAX_EXPANDED: Final = 16_384
#: Directories below a path, behind another one and before a third; and how many are read at once.
_BELOW: Final = "SELECT id, path FROM directory WHERE path>? AND path<? ORDER BY path LIMIT ?"
_BELOW_AT_ONCE: Final = 1_000
#: Forgets a directory without rows, by its id.
_FORGET_DIRECTORY: Final = (
    "DELETE FROM directory WHERE id=?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE dir=?1)"
    " AND NOT EXISTS (SELECT 1 FROM page WHERE dir=?1)"
)


class DirectoryTable:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._db: Any = file.db
        #: Whether the directory that was asked for last was new. The next one will be new too: in a first listing they all are.
        self.expects_new = False
        #: Path -> id of directories that were used lately.
        self.ids: dict[bytes, int] = {}

    def shrink(self) -> None:
        """Forgets what it keeps in memory to be quicker."""
        self.ids.clear()

    def id_of(self, path: bytes) -> tuple[int, bool]:
        """Id of a directory, and whether it is new: it gets a row here, where it has none."""
        id_ = self.ids.get(path)
        if id_ is not None:
            return id_, False
        id_ = None if self.expects_new else self.find(path)
        if id_ is None:
            id_ = self.add(path)
            if id_ is not None:
                return id_, True  # not kept: after its first listing, a directory is seldom heard of soon
            id_ = self.find(path)
            assert id_ is not None
        self._keep(path, id_)
        return id_, False

    def add(self, path: bytes) -> int | None:
        """Id of a new directory, which gets a row here; None if it has one."""
        made = self._db.execute("INSERT OR IGNORE INTO directory (path) VALUES (?)", (path,))
        self.expects_new = made.rowcount == 1
        return made.lastrowid if self.expects_new else None

    def known_id(self, path: bytes) -> int | None:
        """Id of a directory; None if it is new, and it stays that."""
        id_ = self.ids.get(path)
        if id_ is None and (id_ := self.find(path)) is not None:
            self._keep(path, id_)
        return id_

    def known_ids(self, paths: Sequence[bytes]) -> list[int | None]:
        """The same of some directories."""
        ids = list(map(self.ids.get, paths))
        if None in ids:
            return list(map(self.known_id, paths))
        return ids

    def _keep(self, path: bytes, id_: int) -> None:
        if len(self.ids) >= (IDS_MAX_EXPANDED if self._file.expanded else IDS_MAX):
            self.ids.clear()
        self.ids[path] = id_

    def find(self, path: bytes) -> int | None:
        found = self._db.execute("SELECT id FROM directory WHERE path=?", (path,)).fetchone()
        return None if found is None else found[0]

    def below(self, path: bytes, stops: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """(id, path) of a directory and of all below it, save those in or below one of `stops`. Each may be forgotten before the
        next one is asked for, and not all are in memory at once: there may be millions."""
        _, after, upper = bounds(path)
        id_ = self.find(path)
        found = [] if id_ is None else [(id_, path)]
        more = True
        while found or more:
            for id_, below in found:
                if not any(below == stop or below.startswith(stop + b"/") for stop in stops):
                    yield id_, below
            found = self._db.execute(_BELOW, (after, upper, _BELOW_AT_ONCE)).fetchall() if more else []
            more = len(found) == _BELOW_AT_ONCE
            after = found[-1][1] if found else after

    def next_below(self, top: bytes, after: bytes | None) -> tuple[int, bytes] | None:
        """(id, path) of a directory at or below `top`: the first one, or the next one after `after`; None if there is none."""
        if after is None and (id_ := self.find(top)) is not None:
            return id_, top
        _, lower, upper = bounds(top)
        sql = "SELECT id, path FROM directory WHERE path>?1 AND path<?2 ORDER BY path LIMIT 1"
        found = self._db.execute(sql, (lower if after is None or after == top else after, upper)).fetchone()
        return None if found is None else (found[0], found[1])

    def knows(self, directory: bytes) -> bool:
        """Whether anything was ever said of what is in a directory, or below it."""
        sql = "SELECT 1 FROM directory WHERE path=?1 OR (path>?2 AND path<?3) LIMIT 1"
        return self._db.execute(sql, bounds(directory)).fetchone() is not None

    def is_directory(self, above: bytes, name: bytes) -> bool:
        """Whether a row says that this name is there, and a directory."""
        sql = "SELECT 1 FROM entry e JOIN directory d ON d.id=e.dir WHERE d.path=? AND e.name=? AND e.directory=1 AND e.kind<>0"
        return self._db.execute(sql, (above, name)).fetchone() is not None

    def forget_empty(self, directories: Iterable[tuple[int]]) -> None:
        """Forgets those that have no rows: else every directory that ever was would stay."""
        self._db.executemany(_FORGET_DIRECTORY, list(directories))
        self.ids.clear()

    def forget_if_empty(self, id_: int, path: bytes) -> None:
        """The same of one."""
        if self._db.execute(_FORGET_DIRECTORY, (id_,)).rowcount:
            self.ids.pop(path, None)
