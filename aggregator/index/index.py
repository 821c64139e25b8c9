"""The index: one row per path, with the tick of its last change. The rows are also the queue of all groups.

SQLite in WAL mode, one connection, one thread. With durability `process`, a commit survives any crash of our processes,
because the operating system has the data. With `power`, it also survives a crash of the machine (synchronous=FULL).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.wire.fold import fold
from shardwatch.shard.contract.wire.frames import Check, Confirmed, Entry, Gone, Listing, Looks, Verified

from ..storage.damage import progress
from . import plain
from .burial import bury
from .changes import Changes
from .debts import Debts
from .holders import Holders, stored
from .merge import merge
from .row import GONE, INSERT, KNOWN, ROW, UPDATE, Known, Row, bounds, known_from, ranged, row_from
from .schema import Connect, connect, new_incarnation, open_database, stamp
from .streams import Streams
from .ticks import Ticks
from .tombstones import COLLECTED_MAX, FORGET_DIRECTORY, collect
from .verification import Finding, differences

#: Ticks reserved ahead durably: after a crash of the machine a start goes on above them, so that none is given twice.
_TICKS_RESERVED: Final = 1 << 20
#: Directory ids kept in memory.
_IDS_MAX: Final = 1024
#: Looks of up to this many names are answered name by name, more by reading the directory's rows.
_BY_NAME_MAX: Final = 48
#: Made when it is needed first.
_BY_INODE: Final = "entry_by_inode"


class Index:
    """Owned by one thread. Raises sqlite3.Error where the disk fails: the caller abandons it, nothing uncommitted was handed out.

    Args:
        path: file; made if it is not there.
        durability: `process` or `power`.
        lane_of: priority of an absolute path; None where all are 0.
        directories: whether directories are events.
        content_only: whether a file is told as modified only where its content may be another.
        connect: opens the file.
        wall_ns: ns since 1970, as the looks of shards have it.
        on_progress: called within work that may take long: the process is not hung.
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
    ) -> None:
        self._lane_of = lane_of
        self._directories_are_events = directories
        self._content_only = content_only
        self._db, state = open_database(path, connect, on_progress)
        self.path = path
        self.incarnation = state.incarnation
        self.collected = state.collected
        self.files = state.files
        self.directories = state.directories
        self.fingerprint = state.filter
        #: Rows are still being brought to what the settings want (`aggregator.index.refit`).
        self.unfit = False
        self.streams = Streams(self._db, state.service)
        #: Last tick that was committed before this start. A group that was handed a later one knows more than this file.
        self.found_tick = state.tick
        #: Which opening of the databases wrote it last (`aggregator.storage.lives`), "" where none did.
        self.life = state.life
        self._ticks = Ticks(state.ceiling)
        self._ceiling = 0
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._reserve()
        self._ids: dict[bytes, int] = {}
        self._open = False
        self.written = 0
        self.on_progress = on_progress
        #: Whether rows can be found by inode: once a file with several names was seen. Most trees have none, and pay nothing.
        self._by_inode = bool(
            self._db.execute("SELECT 1 FROM sqlite_master WHERE type='index' AND name=?", (_BY_INODE,)).fetchall()
        )
        self.debts = Debts(self._db, wall_ns)
        if self._by_inode:
            self.debts.load_partly()

    def _reserve(self) -> None:
        """Outside of a transaction, and on the disk when it returns, whatever the durability."""
        self._ceiling = self._ticks.last + _TICKS_RESERVED
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("UPDATE state SET tick = ?, ceiling = ?", (self._ticks.last, self._ceiling))
        self._db.execute(f"PRAGMA synchronous={self._synchronous}")

    def begin_life(self, life: str, *, anew: bool) -> None:
        """Outside of a transaction. `anew`: what was handed out before is not known, so it is another index to every group."""
        self.life, self.incarnation = life, new_incarnation() if anew else self.incarnation
        stamp(self._db, life, self.incarnation)

    def settle_life(self) -> None:
        """Outside of a transaction: brings the life's name from the log to the file, so that a log of another file shows."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- writing

    def shrink(self) -> None:
        """Frees its caches, which fill again with work."""
        self._ids.clear()
        self._db.execute("PRAGMA shrink_memory")

    def begin(self) -> None:
        """Opens a transaction, if none is open."""
        if not self._open:
            self._db.execute("BEGIN IMMEDIATE")
            self._open = True

    def commit(self) -> None:
        """Makes everything since `begin` durable, and visible to groups."""
        if not self._open:
            return
        self._db.execute(
            "UPDATE state SET tick=?, ceiling=?, collected=?, files=?, directories=?",
            (self._ticks.last, max(self._ceiling, self._ticks.last), self.collected, self.files, self.directories),
        )
        self._db.execute("COMMIT")
        self._open = False
        if self._ticks.last >= self._ceiling:
            self._reserve()

    def rollback(self) -> None:
        """Undoes everything since `begin` on the disk. What is in memory is wrong from then on: the caller abandons it."""
        self._open = False
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    @property
    def tick(self) -> int:
        return self._ticks.last

    @property
    def owed(self) -> Mapping[bytes, Mapping[bytes, tuple[int, int]]]:
        """Directories, and names in them, that their owners must look at again (`aggregator.index.debts`)."""
        return self.debts.owed

    def apply_listing(self, record: Listing, stops: Iterable[bytes]) -> None:
        """A directory, or a range of its names, as read to its end. Call between `begin` and `commit`, like all `apply_…`.

        `stops`: anchors below the directory: what is below them is not this record's to delete.
        """
        id_, new = self._id(record.path)
        simple = self._lane_of is None and not self._directories_are_events and not record.births
        if new and simple and record.path not in self.owed:
            made = plain.populate(self._db, id_, record.entries, record.at, self._ticks)
            if made is not None:
                self.files += made[0]
                self.directories += made[1]
                self.written += sum(made)
                return
        if new:
            known: dict[tuple[bytes, int], Known] = {}
        else:
            known = self._known(*ranged(f"SELECT {KNOWN} FROM entry WHERE dir=?", id_, record))
        owed = self.debts.within(record.path, record.after, record.upto)
        self._merge(id_, record, known, (), True, stops, owed)

    def apply_looks(self, record: Looks, stops: Iterable[bytes]) -> None:
        """Some names of a directory."""
        id_, new = self._id(record.path)
        if not new and record.entries and not record.absent and not record.births and record.path not in self.owed:
            rewritten = plain.rewrite(
                self._db, id_, record.entries, record.at, self._ticks, linked=self._by_inode, content_only=self._content_only
            )
            if rewritten is not None:
                self.written += rewritten
                return
        names = [e[0] for e in record.entries] + record.absent
        known: dict[tuple[bytes, int], Known] = {}
        if not new and len(names) > _BY_NAME_MAX:
            known = self._known(f"SELECT {KNOWN} FROM entry WHERE dir=?", [id_])
        elif not new:
            for name in names:
                known.update(self._known(f"SELECT {KNOWN} FROM entry WHERE dir=? AND name=?", [id_, name]))
        owed = [n for n in names if n in self.owed.get(record.path, ())]
        self._merge(id_, record, known, record.absent, False, stops, owed)

    def folds_to(self, record: Check) -> bool:
        """Whether the rows of a range are what was seen there. Writes nothing."""
        found = self._db.execute("SELECT id FROM directory WHERE path=?", (record.path,)).fetchone()
        if found is None:
            return fold([]) == record.folded
        sql = "SELECT name, kind, ino, nlink, size, mtime_ns, ctime_ns FROM entry WHERE dir=? AND kind<>0"
        return fold(self._db.execute(*ranged(sql, found[0], record)).fetchall()) == record.folded

    def apply_verified(self, record: Verified, stops: Iterable[bytes]) -> list[Finding]:
        """A listing that no hint led to. Returns what it had otherwise than the rows, save what is changing just now."""
        id_, _ = self._id(record.path)
        known = self._known(*ranged(f"SELECT {KNOWN} FROM entry WHERE dir=?", id_, record))
        findings = differences(record.path, known, record.entries, record.hinted, content_only=self._content_only)
        hinted = set(record.hinted)
        self._confirm(id_, [entry for entry in record.entries if entry[0] not in hinted])
        self.apply_listing(Listing(record.path, record.at, record.entries, record.after, record.upto), stops)
        return findings

    def apply_confirmed(self, record: Confirmed) -> None:
        """Where the stat is the same as when it was looked at too early, the file is the same."""
        self._confirm(self._id(record.path)[0], record.entries)

    def _confirm(self, id_: int, entries: Iterable[Entry]) -> None:
        self._db.executemany(
            "UPDATE entry SET racy=0 WHERE dir=? AND name=? AND directory=0 AND racy=1 AND kind=? AND ino=? AND size=?"
            " AND mtime_ns=? AND ctime_ns=?",
            [(id_, e[0], e[1], e[3], e[5], e[6], e[7]) for e in entries if not e[8]],
        )

    def apply_gone(self, record: Gone, stops: Iterable[bytes]) -> None:
        """An anchor is not there: everything of it goes."""
        self._bury_below([record.path], record.at, stops)

    def _known(self, sql: str, arguments: Sequence[object]) -> dict[tuple[bytes, int], Known]:
        return {(row[0], row[1]): known_from(row) for row in self._db.execute(sql, arguments)}

    def _id(self, path: bytes) -> tuple[int, bool]:
        """Id of a directory, and whether it is new."""
        id_ = self._ids.get(path)
        if id_ is not None:
            return id_, False
        if len(self._ids) >= _IDS_MAX:
            self._ids.clear()
        row = self._db.execute("SELECT id FROM directory WHERE path=?", (path,)).fetchone()
        if row is not None:
            self._ids[path] = row[0]
            return row[0], False
        id_ = self._db.execute("INSERT INTO directory (path) VALUES (?)", (path,)).lastrowid
        assert id_ is not None
        self._ids[path] = id_
        return id_, True

    def _merge(
        self,
        id_: int,
        record: Listing | Looks,
        known: dict[tuple[bytes, int], Known],
        absent: Iterable[bytes],
        complete: bool,
        stops: Iterable[bytes],
        owed: list[bytes],
    ) -> None:
        path, entries, at = record.path, record.entries, record.at
        lanes: dict[bytes, int] | int = 0
        if self._lane_of is not None:
            lanes = {e[0]: self._lane_of(join(path, e[0])) for e in entries}
        changes = merge(
            known, entries, absent, complete=complete, at=at, ticks=self._ticks, lane_of=lanes,
            directories_are_events=self._directories_are_events, births=record.births, content_only=self._content_only,
        )  # fmt: skip
        if owed:
            self.debts.pay(path, owed, at)
            # Rows below a directory that has none itself: only in a damaged file, and then somebody asked for this look.
            changes.gone_directories += [n for n in absent if n in owed and n not in changes.gone_directories]
        if changes:
            self._write(id_, changes)
        if changes.links and not self._by_inode:
            self._index_inodes()
        if changes.linked and self._by_inode:
            self.debts.add_names(changes.linked, at)
        if changes.gone_directories:
            self._bury_below([join(path, name) for name in changes.gone_directories], at, stops)

    def _write(self, id_: int, changes: Changes) -> None:
        many = self._db.executemany
        if changes.forgotten:
            many("DELETE FROM entry WHERE dir=? AND name=? AND directory=?", [(id_, n, d) for n, d in changes.forgotten])
        if changes.updates:
            many(UPDATE, [(*update, id_) for update in changes.updates])
        if changes.inserts:
            many(INSERT, [(*insert, id_) for insert in changes.inserts])
        self.files += changes.files
        self.directories += changes.directories
        self.written += len(changes.inserts) + len(changes.updates) + len(changes.forgotten)

    def _index_inodes(self) -> None:
        """Makes rows known by their inode, those too that were seen when their file had one name. Takes seconds for millions."""
        with progress(self._db, self.on_progress):
            self._db.execute(f"CREATE INDEX {_BY_INODE} ON entry (ino, dev) WHERE kind <> 0 AND directory = 0")
            self._db.execute("CREATE INDEX IF NOT EXISTS entry_linked ON entry (ino, dev) WHERE nlink > 1 AND kind <> 0")
        self._by_inode = True

    def _bury_below(self, paths: list[bytes], at: int, stops: Iterable[bytes]) -> None:
        """Everything in and below these directories is gone, save what is in or below an anchor in `stops`."""
        kept = sorted(stops)
        for path in paths:
            below = [
                row
                for row in self._db.execute("SELECT id, path FROM directory WHERE path=?1 OR (path>?2 AND path<?3)", bounds(path))
                if not any(row[1] == stop or row[1].startswith(stop + b"/") for stop in kept)
            ]
            for id_, directory in below:
                self.on_progress()
                sql = f"SELECT {KNOWN} FROM entry WHERE dir=? AND kind<>0"
                self._bury_rows(id_, directory, [known_from(row) for row in self._db.execute(sql, (id_,))], at)
                self.debts.forgive(directory)

    def _bury_rows(self, id_: int, directory: bytes, rows: list[Known], at: int, *, forget: bool = False) -> None:
        """These rows of a directory are gone, whatever is there."""
        changes = Changes()
        for row in rows:
            bury(changes, row, at, self._ticks, forget=forget)
        if changes:
            self._write(id_, changes)
        if changes.linked and self._by_inode:
            self.debts.add_names(changes.linked, at)
        # Else every directory that ever was would stay: nobody else looks for those without rows.
        if self._db.execute(FORGET_DIRECTORY, (id_,)).rowcount:
            self._ids.pop(directory, None)

    def owe(self, directory: bytes, name: bytes) -> None:
        """The directory's owner looks at this name again, however long that takes. Between `begin` and `commit`."""
        self.debts.add(directory, name, self.debts.wall_ns())

    def knows(self, directory: bytes) -> bool:
        """Whether anything was ever said of what is in a directory, or below it."""
        sql = "SELECT 1 FROM directory WHERE path=?1 OR (path>?2 AND path<?3) LIMIT 1"
        return self._db.execute(sql, bounds(directory)).fetchone() is not None

    # -- the plan

    def adopt(self, anchors: Iterable[bytes]) -> None:
        """Takes over a plan's anchors. What was left below an anchor that is none any more, and whose directory is gone, goes:
        its former owner can't say so now, and its new owner, the parent's, has said long ago that the directory is gone."""
        wanted = set(anchors)
        known = {row[0] for row in self._db.execute("SELECT path FROM anchor")}
        if wanted == known:
            return
        self.begin()
        for path in sorted(known - wanted):
            above, name = os.path.split(path)
            sql = "SELECT 1 FROM entry e JOIN directory d ON d.id=e.dir WHERE d.path=? AND e.name=?"
            if not self._db.execute(sql + " AND e.directory=1 AND e.kind<>0", (above, name)).fetchone():
                below = path if path == b"/" else path + b"/"
                self._bury_below([path], self.debts.wall_ns(), [a for a in wanted if a.startswith(below)])
        self._db.execute("DELETE FROM anchor")
        self._db.executemany("INSERT INTO anchor VALUES (?)", [(path,) for path in wanted])

    # -- groups, as far as they must be known here too

    def consumers(self) -> dict[str, int]:
        """Group -> a tick that it had reached: what `keep_consumers` was told last."""
        return dict(self._db.execute("SELECT name, handed FROM consumer").fetchall())

    def keep_consumers(self, consumers: Mapping[str, int]) -> None:
        """Makes the groups durable here too, so that they can be told if their own file is lost."""
        self.begin()
        self._db.execute("DELETE FROM consumer")
        self._db.executemany("INSERT INTO consumer VALUES (?, ?)", list(consumers.items()))
        self.commit()

    # -- what groups read

    def lanes(self) -> list[int]:
        """Priorities in use, highest first."""
        lanes = []
        lane = self._db.execute("SELECT max(lane) FROM entry WHERE lane IS NOT NULL").fetchone()[0]
        while lane is not None:
            lanes.append(lane)
            lane = self._db.execute("SELECT max(lane) FROM entry WHERE lane IS NOT NULL AND lane < ?", (lane,)).fetchone()[0]
        return lanes

    def pending(self, lane: int, after: int, limit: int) -> list[Row]:
        """Rows of a lane with a later tick, oldest first."""
        rows = self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick>? ORDER BY e.tick LIMIT ?", (lane, after, limit))
        if rows and rows[-1].tick > self._ticks.last:  # a group that passed it would miss all that comes before it
            raise sqlite3.DatabaseError(f"a row has the tick {rows[-1].tick}, the last one given is {self._ticks.last}")
        return rows

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        """Those rows of a lane that still carry these ticks, oldest first."""
        rows: list[Row] = []
        ordered = sorted(ticks)
        for begin in range(0, len(ordered), 500):
            some = ordered[begin : begin + 500]
            marks = ",".join("?" * len(some))
            rows += self._rows(f"SELECT {ROW} WHERE e.lane=? AND e.tick IN ({marks}) ORDER BY e.tick", (lane, *some))
        return rows

    def _rows(self, sql: str, arguments: Sequence[object]) -> list[Row]:
        return [row_from(columns) for columns in self._db.execute(sql, arguments)]

    def count(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]:
        """How many rows of a lane have a tick after `after`, up to `upto`, of at most `limit`; and the last one's tick, or 0."""
        some = "SELECT tick FROM entry WHERE lane=? AND tick>? AND tick<=? ORDER BY tick LIMIT ?"
        row = self._db.execute(f"SELECT count(*), coalesce(max(tick), 0) FROM ({some})", (lane, after, upto, limit)).fetchone()
        return row[0], row[1]

    @property
    def holders(self) -> Holders:
        """Who holds what, by the positions that groups note there."""
        return self._ticks.holders

    def note_handed(self, lane: int, tick: int) -> None:
        """Rows of this lane up to this tick may have been handed out: they are stamped anew when they change."""
        self._ticks.note_handed(lane, tick)

    def collect(
        self, passed: Mapping[int, int], older_than_ns: int, parked: Iterable[int] = (), limit: int = COLLECTED_MAX
    ) -> int:
        """Forgets tombstones that every group has passed (lane -> lowest cursor): as `tombstones.collect`, which it commits."""
        self.begin()
        total, last = collect(self._db, passed, older_than_ns, set(parked), limit)
        self.collected = max(self.collected, last)
        if total:
            self._ids.clear()
        self.commit()
        return total

    # -- other settings (`aggregator.index.refit`)

    def page(self, after: tuple[int, bytes, int], limit: int) -> list[tuple[int, bytes, Known]]:
        """The next rows in the order of their keys: (id of the directory, its path, row)."""
        sql = f"SELECT e.dir, d.path, {KNOWN} FROM entry e JOIN directory d ON d.id=e.dir"
        order = "WHERE (e.dir, e.name, e.directory) > (?, ?, ?) ORDER BY e.dir, e.name, e.directory LIMIT ?"
        found = self._db.execute(f"{sql} {order}", (*after, limit)).fetchall()
        return [(id_, path, known_from(tuple(columns))) for id_, path, *columns in found]

    def lane(self, path: bytes, directory: bool) -> int | None:
        """The lane that a row has under these settings; None: it is no event."""
        if directory and not self._directories_are_events:
            return None
        return self._lane_of(path) if self._lane_of else 0

    def relane(self, id_: int, row: Known, lane: int | None) -> None:
        """Gives a row another lane; it is pending there."""
        held = 0
        if row.lane is not None:
            held = self.holders.superseded(row.lane, row.tick, row.held, there=row.kind != GONE)
        tick = self._ticks.next() if lane is not None else 0
        sql = "UPDATE entry SET lane=?, held=?, tick=? WHERE dir=? AND name=? AND directory=?"
        self._db.execute(sql, (lane, stored(held), tick, id_, row.name, row.directory))

    def leave_out(self, id_: int, path: bytes, rows: list[Known], *, forget: bool) -> None:
        """These rows of a directory are none of ours any more: gone for those who hold them, or forgotten without a word."""
        at = self.debts.wall_ns()
        owed = [row.name for row in rows if row.name in self.owed.get(path, ())]
        if owed:
            self.debts.pay(path, owed, at)
        self._bury_rows(id_, path, rows, at, forget=forget)

    def fits(self, fingerprint: str) -> None:
        """All rows are what the settings with this fingerprint want."""
        self._db.execute("UPDATE state SET filter=?", (fingerprint,))
        self.fingerprint, self.unfit = fingerprint, False

    def abandon(self) -> None:
        """Closes; what was not committed is lost. For a disk that refuses. Idempotent."""
        self._db.close()

    def close(self) -> None:
        """Commits, truncates the log, and leaves the exact tick as the ceiling."""
        self.commit()
        self._db.execute("UPDATE state SET ceiling = tick")
        self._db.close()
