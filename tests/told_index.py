"""The real index, told of one path at a time: what tests of groups and of the server stand on.

It lies in a file of its own that is never synced to the disk (no test of groups asks what a loss of power leaves), and is told
of looks as `aggregator.intake` tells it of them, so rows get their ticks, and who holds them, from the product's own code.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from entries import Entry, seen

from shardwatch.aggregator.groups.index_port import IndexPort
from shardwatch.aggregator.index.holders import Holders
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.portion import Count, Portion
from shardwatch.aggregator.index.row import Row
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.wire.frames import Looks

#: What each file was changed last at, ns; `birth` of `ToldIndex.put` is compared with it.
CHANGED_NS = 10
SECOND_NS = 10**9


class _Unsynced(sqlite3.Connection):
    """Waits for no disk, and is used by the thread that has it at the time."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        return super().execute("PRAGMA synchronous=OFF" if sql.startswith("PRAGMA synchronous=") else sql, parameters)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Unsynced)


class Tellable(IndexPort, Protocol):
    """What groups ask, and how a test makes something for them to ask about. `ToldIndex` says what each of these does."""

    wall_ns: Callable[[], int]

    def reopen(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...
    def become_another(self) -> None: ...
    def put(
        self, path: bytes, *, lane: int = 0, size: int = 1, directory: bool = False, ino: int = 0, birth: int = 5
    ) -> None: ...
    def put_all(self, paths: Sequence[bytes], *, lane: int = 0, size: int = 1) -> None: ...
    def remove(self, path: bytes) -> None: ...
    def collect(self, passed: Mapping[int, int], set_aside: Iterable[int] = ()) -> int: ...
    def living(self) -> dict[bytes, Row]: ...
    def truth(self) -> dict[str, int]: ...


class ToldIndex:
    """An index in which directories are events. Every change is committed at once."""

    def __init__(self) -> None:
        home = tempfile.mkdtemp(prefix="sw-index-")
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        self._path = Path(home, "index.db")
        self._lanes: dict[bytes, int] = {}
        self._looks = 0
        #: The clock by which it is noted which tick was the last one at which time.
        self.wall_ns: Callable[[], int] = time.time_ns
        self._closed = True
        self.reopen()

    def reopen(self) -> None:
        """A clean end, and a new start of the service: what is known of hand-outs is in memory only."""
        self.close()
        self._index = Index(
            self._path, connect=_connect, directories=True, lane_of=lambda path: self._lanes.get(path, 0),
            wall_ns=self._wall_now_ns,
        )  # fmt: skip
        self._closed = False

    def kill(self) -> None:
        """A crash, and a new start: what was committed is there, and ticks go on from where they were reserved."""
        self._index.abandon()
        self._closed = True
        self.reopen()

    def _wall_now_ns(self) -> int:
        return self.wall_ns()

    def close(self) -> None:
        """A clean end. Idempotent."""
        if not self._closed:
            self._closed = True
            self._index.close()

    def become_another(self) -> None:
        """The same rows, as of an index that was built anew: every group has to begin afresh."""
        self._index.file.begin_life("another", anew=True)

    # -- changes

    def put(self, path: bytes, *, lane: int = 0, size: int = 1, directory: bool = False, ino: int = 0, birth: int = 5) -> None:
        """The path was looked at, and is there, changed.

        Args:
            lane: of the path, if it is new.
            ino: 0: no file's that could be found under another path.
            birth: when the file was made, if it came here by a rename.
        """
        above, name = os.path.split(path)
        self._lanes[path] = lane
        # Racy: a look that shows the same stat once more is a change all the same.
        entry: Entry = (name, FILE, 1, ino, 1, size, size * 1000, CHANGED_NS, True)
        if directory:
            entry = (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)
        self._look(Looks(above, self._now(), *seen([entry]), [], {name: birth}))

    def put_all(self, paths: Sequence[bytes], *, lane: int = 0, size: int = 1) -> None:
        """Some files of one directory, sorted by name, were looked at later on, and all are there, changed. So they may become a
        page. `lane`: of those that are new.
        """
        above, at = os.path.dirname(paths[0]), self._now()
        self._lanes.update(dict.fromkeys(paths, lane))
        entries: list[Entry] = [
            (os.path.basename(path), FILE, 1, 0, 1, size, size * 1000, CHANGED_NS + self._looks, False) for path in paths
        ]
        self._look(Looks(above, at, *seen(entries), []))

    def remove(self, path: bytes) -> None:
        """The path was looked at, and is gone. Idempotent."""
        above, name = os.path.split(path)
        self._look(Looks(above, self._now(), [], b"", [name]))

    def _now(self) -> int:
        self._looks += 1
        return self._looks * SECOND_NS

    def _look(self, looks: Looks) -> None:
        self._index.begin()
        self._index.records.looks(looks, ())
        self._index.commit()

    # -- what there is

    def living(self) -> dict[bytes, Row]:
        """Path -> row, of all that is there."""
        rows = [row for lane in self.lanes() for row in self.pending(lane, 0, 1_000_000).rows]
        return {row.path: row for row in rows if row.kind}

    def truth(self) -> dict[str, int]:
        """Path -> size, of all that is there."""
        return {path.decode(): row.size for path, row in self.living().items()}

    # -- what groups ask (`aggregator.groups.index_port.IndexPort`)

    @property
    def incarnation(self) -> str:
        return self._index.incarnation

    @property
    def tick(self) -> int:
        return self._index.tick

    @property
    def collected(self) -> int:
        return self._index.backlog.collected

    @property
    def holders(self) -> Holders:
        return self._index.backlog.holders

    def lanes(self) -> list[int]:
        return self._index.backlog.lanes()

    def pending(self, lane: int, after: int, limit: int) -> Portion:
        return self._index.backlog.pending(lane, after, limit)

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        return self._index.backlog.rows_at(lane, ticks)

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        return self._index.backlog.tick_at(at_ns)

    def given_by(self, tick: int) -> int | None:
        return self._index.backlog.given_by(tick)

    def rows_of(self, path: bytes) -> list[Row]:
        return self._index.backlog.rows_of(path)

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        return self._index.backlog.count(lane, after, upto, limit)

    def note_handed(self, lane: int, tick: int) -> None:
        self._index.backlog.note_handed(lane, tick)

    def collect(self, passed: Mapping[int, int], set_aside: Iterable[int] = ()) -> int:
        """Forgets every deletion that all groups have passed, however young."""
        return self._index.tombstones.collect(passed, 1 << 62, set_aside)
