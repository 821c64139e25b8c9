"""The tables `directory` and `entry`: rows read and written, a directory at a time. Nothing is decided here."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from shardwatch.shard.contract.files.packed import Seen, pack, unpack
from shardwatch.shard.contract.wire.fold import fold
from shardwatch.shard.contract.wire.frames import Check

from ..storage.damage import progress
from .changes import Changes
from .file import IndexFile
from .holders import stored
from .row import GONE, INSERT, KNOWN, UPDATE, Known, bounds, known_from, ranged

#: Directory ids kept in memory: at most times, and while there is much to do (`IndexFile.expand`).
IDS_MAX: Final = 1024
IDS_MAX_EXPANDED: Final = 16_384
#: Rows of a directory that are read and dealt with at once: some hundredths of a second. At least 3.
ROWS_AT_ONCE: Final = 10_000
#: Names up to which rows are read name by name; of more, the whole directory is read, unless it has many more rows than that.
_BY_NAME_MAX: Final = 48
#: Rows per name up to which a whole directory is read for some of its names.
_OTHERS_MAX: Final = 20
#: Made when it is needed first.
_BY_INODE: Final = "entry_by_inode"
#: Forgets a directory without rows, by its id.
_FORGET_DIRECTORY: Final = "DELETE FROM directory WHERE id=?1 AND NOT EXISTS (SELECT 1 FROM entry WHERE dir=?1)"
_CONFIRM: Final = (
    "UPDATE entry SET racy=0 WHERE dir=? AND name=? AND directory=0 AND racy=1 AND kind=? AND ino=? AND size=?"
    " AND mtime_ns=? AND ctime_ns=?"
)

#: Rows of some names of a directory, by (name, is it about a directory).
Rows = dict[tuple[bytes, int], Known]


class Tables:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._db: Any = file.db
        #: Path -> id of directories that were used lately.
        self.ids: dict[bytes, int] = {}
        #: Whether rows can be found by inode: once a file with several names was seen. Most trees have none, and pay nothing.
        self.by_inode = bool(
            self._db.execute("SELECT 1 FROM sqlite_master WHERE type='index' AND name=?", (_BY_INODE,)).fetchall()
        )

    # -- directories

    def id_of(self, path: bytes) -> tuple[int, bool]:
        """Id of a directory, and whether it is new: it gets a row here, where it has none."""
        id_ = self.ids.get(path)
        if id_ is not None:
            return id_, False
        id_ = self._find(path)
        if id_ is None:
            new: int = self._db.execute("INSERT INTO directory (path) VALUES (?)", (path,)).lastrowid
            return new, True  # not kept: after its first listing, a directory is seldom heard of soon
        if len(self.ids) >= (IDS_MAX_EXPANDED if self._file.expanded else IDS_MAX):
            self.ids.clear()
        self.ids[path] = id_
        return id_, False

    def _find(self, path: bytes) -> int | None:
        found = self._db.execute("SELECT id FROM directory WHERE path=?", (path,)).fetchone()
        return None if found is None else found[0]

    def below(self, path: bytes, stops: Sequence[bytes]) -> list[tuple[int, bytes]]:
        """(id, path) of a directory and of all below it, save those in or below one of `stops`."""
        found = self._db.execute("SELECT id, path FROM directory WHERE path=?1 OR (path>?2 AND path<?3)", bounds(path))
        return [
            (id_, below) for id_, below in found if not any(below == stop or below.startswith(stop + b"/") for stop in stops)
        ]

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

    # -- rows of a directory

    def covered(self, id_: int, after: bytes | None, upto: bytes | None) -> Iterator[tuple[Rows, bytes | None, bytes | None]]:
        """The rows of the names after `after` up to `upto` (None: from the first, to the last), in parts of up to ROWS_AT_ONCE:
        (rows, after, upto) of each part. There is always one, and together they cover the whole range. The process shows between
        two parts that it is alive.
        """
        while True:
            sql, arguments = ranged(f"SELECT {KNOWN} FROM entry WHERE dir=?", id_, after, upto)
            rows = self._rows(f"{sql} LIMIT ?", [*arguments, ROWS_AT_ONCE])
            if len(rows) < ROWS_AT_ONCE:
                yield rows, after, upto
                return
            last, _ = next(reversed(rows))
            for about in (0, 1):  # another row of the last name may follow: it comes with the next part
                rows.pop((last, about), None)
            end, _ = next(reversed(rows))
            yield rows, after, end
            self._file.on_progress()
            after = end

    def named(self, id_: int, names: Sequence[bytes]) -> Rows:
        """The rows of these names, and perhaps of others."""
        if len(names) > _BY_NAME_MAX:
            most = _OTHERS_MAX * len(names)
            known = self._rows(f"SELECT {KNOWN} FROM entry WHERE dir=? LIMIT ?", [id_, most])
            if len(known) < most:
                return known
        known = {}
        for name in names:
            known.update(self._rows(f"SELECT {KNOWN} FROM entry WHERE dir=? AND name=?", [id_, name]))
        return known

    def living(self, id_: int) -> Iterator[list[Known]]:
        """The rows of all that is there, in parts as `covered` has them."""
        for rows, _, _ in self.covered(id_, None, None):
            yield [row for row in rows.values() if row.kind != GONE]

    def _rows(self, sql: str, arguments: Sequence[object]) -> Rows:
        return {(row[0], row[1]): known_from(row) for row in self._db.execute(sql, arguments)}

    def folded(self, record: Check) -> int | None:
        """What the rows of the names that a record covers fold to; None where there are more or fewer than it has names, or one
        of them holds what no stat can."""
        id_ = self._find(record.path)
        if id_ is None:
            return fold([], b"")
        sql = "SELECT name, ino, size, mtime_ns, ctime_ns, nlink, kind FROM entry WHERE dir=? AND kind<>0"
        sql, arguments = ranged(sql, id_, record.after, record.upto)
        rows = self._db.execute(f"{sql} LIMIT ?", [*arguments, record.count + 1]).fetchall()
        if len(rows) != record.count:
            return None
        try:
            stats = [pack(ino, size, mtime, ctime, 0, nlink, kind, 0) for _, ino, size, mtime, ctime, nlink, kind in rows]
            return fold([row[0] for row in rows], b"".join(stats))
        except (struct.error, TypeError):  # a number beyond its range, or no number
            return None

    def write(self, id_: int, changes: Changes) -> None:
        """Writes what changes in a directory, and counts it."""
        many = self._db.executemany
        if changes.forgotten:
            many("DELETE FROM entry WHERE dir=? AND name=? AND directory=?", [(id_, n, d) for n, d in changes.forgotten])
        if changes.updates:
            many(UPDATE, [(*update, id_) for update in changes.updates])
        if changes.inserts:
            many(INSERT, [(*insert, id_) for insert in changes.inserts])
        self._file.count_changes(changes)

    def confirm(self, id_: int, seen: Seen) -> None:
        """Rows that say the same as these looks, which are not racy, are racy no more."""
        self._db.executemany(
            _CONFIRM,
            [
                (id_, name, kind, ino, size, mtime_ns, ctime_ns)
                for name, (ino, size, mtime_ns, ctime_ns, _, _, kind, racy) in zip(seen.names, unpack(seen.stats), strict=True)
                if not racy
            ],
        )

    def index_inodes(self) -> None:
        """Makes rows known by their inode, those too that were seen when their file had one name. Takes seconds for millions."""
        if self.by_inode:
            return
        with progress(self._db, self._file.on_progress):
            self._db.execute(f"CREATE INDEX {_BY_INODE} ON entry (ino, dev) WHERE kind <> 0 AND directory = 0")
            self._db.execute("CREATE INDEX IF NOT EXISTS entry_linked ON entry (ino, dev) WHERE nlink > 1 AND kind <> 0")
        self.by_inode = True

    # -- all rows

    def page(self, after: tuple[int, bytes, int], limit: int) -> list[tuple[int, bytes, Known]]:
        """The next rows in the order of their keys: (id of the directory, its path, row)."""
        sql = f"SELECT e.dir, d.path, {KNOWN} FROM entry e JOIN directory d ON d.id=e.dir"
        order = "WHERE (e.dir, e.name, e.directory) > (?, ?, ?) ORDER BY e.dir, e.name, e.directory LIMIT ?"
        found = self._db.execute(f"{sql} {order}", (*after, limit)).fetchall()
        return [(id_, path, known_from(tuple(columns))) for id_, path, *columns in found]

    def relane(self, id_: int, row: Known, lane: int | None, tick: int, held: int, at: int | None = None) -> None:
        """Puts a row into another lane. `at`: when it changed by that, ns, if it did."""
        sql = "UPDATE entry SET lane=?, held=?, tick=?, at_ns=coalesce(?, at_ns) WHERE dir=? AND name=? AND directory=?"
        self._db.execute(sql, (lane, stored(held), tick, at, id_, row.name, row.directory))
