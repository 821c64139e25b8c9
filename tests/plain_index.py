"""The plain model of the index: a dict of rows. What the real one keeps for groups is what this one does.

It has the ticks and the holders of the product, which are pure, and of everything else the obvious form. It is told what
`ToldIndex` is told, and answers what that answers.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from told_index import CHANGED_NS, SECOND_NS

from shardwatch.aggregator.index import file
from shardwatch.aggregator.index.holders import Holders
from shardwatch.aggregator.index.portion import Count, Portion
from shardwatch.aggregator.index.row import GONE, Row
from shardwatch.aggregator.index.ticks import Ticks
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE

_incarnations = itertools.count()


class PlainIndex:
    """An index in memory, in which directories are events. A directory that is removed must be empty.

    Args:
        sight: how many ticks one look gets on by at most, found or not; None: as far as it must.
    """

    def __init__(self, sight: int | None = None) -> None:
        self._sight = sight
        self._rows: dict[tuple[bytes, int], Row] = {}
        self._ticks = Ticks(0)
        self._ceiling = file.TICKS_RESERVED
        self._looks = 0
        #: (tick, time) of every change, by the clock.
        self._moments: list[tuple[int, int]] = []
        self.wall_ns: Callable[[], int] = time.time_ns
        self._incarnation = next(_incarnations)
        self._collected = 0

    def reopen(self) -> None:
        """A new start of the service: what was known of hand-outs is forgotten."""
        self._begin(self._ticks.last)

    def kill(self) -> None:
        """The same after a crash: a tick that was reserved may have been given."""
        self._begin(self._ceiling)

    def _begin(self, last: int) -> None:
        self._ticks = Ticks(last)
        self._ceiling = last + file.TICKS_RESERVED

    def close(self) -> None:
        """Nothing is open."""

    def become_another(self) -> None:
        """The same rows, as of an index that was built anew."""
        self._incarnation = next(_incarnations)

    # -- changes

    def put(self, path: bytes, *, lane: int = 0, size: int = 1, directory: bool = False, ino: int = 0, birth: int = 5) -> None:
        self._looks += 1
        self._bury(path, not directory)
        row = self._rows.get((path, directory))
        if row is None or not row.kind or not directory:  # of a directory only the existence counts
            lane, tick, held = (lane, self._ticks.next(), 0) if row is None else (row.lane, *self._stamped(row))
            stat = (0, 0, 0, 0, 0) if directory else (size, size * 1000, 1, ino, CHANGED_NS)
            size_, mtime_ns, dev, ino, ctime_ns = stat
            kind, at_ns = DIRECTORY if directory else FILE, self._looks * SECOND_NS
            self._rows[path, directory] = Row(
                tick, lane, held, kind, directory, path, size_, mtime_ns, at_ns, dev, ino, ctime_ns, birth
            )
        self._note()

    def put_all(self, paths: Sequence[bytes], *, lane: int = 0, size: int = 1) -> None:
        self._looks += 1
        stamps: dict[bytes, tuple[int, int, int]] = {}
        for path in paths:
            self._bury(path, True)
            row = self._rows.get((path, False))
            if row is not None:
                stamps[path] = (row.lane, *self._stamped(row))
        for path in paths:  # what is new comes last
            lane_, tick, held = stamps.get(path) or (lane, self._ticks.next(), 0)
            ctime_ns, at_ns = CHANGED_NS + self._looks, self._looks * SECOND_NS
            self._rows[path, False] = Row(
                tick, lane_, held, FILE, False, path, size, size * 1000, at_ns, 1, 0, ctime_ns, 0
            )
        self._note()

    def remove(self, path: bytes) -> None:
        self._looks += 1
        for directory in (False, True):
            self._bury(path, directory)
        self._note()

    def _bury(self, path: bytes, directory: bool) -> None:
        row = self._rows.get((path, directory))
        if row is None or row.kind == GONE:
            return
        if not self._ticks.seen(row.lane, row.tick):
            tick, held = row.tick, self._ticks.holders.holding(row.tick, row.held)
        else:
            held = self._ticks.holders.superseded(row.lane, row.tick, row.held, there=True)
            tick = self._ticks.next() if held else row.tick
        if held:
            gone = row._replace(tick=tick, held=held, kind=GONE, at_ns=self._looks * SECOND_NS, birth_ns=0)
            self._rows[path, directory] = gone
        else:
            del self._rows[path, directory]

    def _stamped(self, row: Row) -> tuple[int, int]:
        if not self._ticks.seen(row.lane, row.tick):
            return row.tick, row.held
        held = self._ticks.holders.superseded(row.lane, row.tick, row.held, there=row.kind != GONE)
        return self._ticks.next(), held

    def _note(self) -> None:
        """Each change is committed."""
        if self.tick >= self._ceiling:
            self._ceiling = self.tick + file.TICKS_RESERVED
        if not self._moments or self._moments[-1][0] < self.tick:
            self._moments.append((self.tick, self.wall_ns()))

    def collect(self, passed: Mapping[int, int], set_aside: Iterable[int] = ()) -> int:
        kept = set(set_aside)
        gone = [
            row for row in self._rows.values()
            if row.kind == GONE and row.tick <= passed.get(row.lane, 0) and row.tick not in kept
        ]  # fmt: skip
        for row in gone:
            del self._rows[row.path, row.directory]
            self._collected = max(self._collected, row.tick)
        return len(gone)

    # -- what there is

    def living(self) -> dict[bytes, Row]:
        return {row.path: row for row in sorted(self._rows.values()) if row.kind}

    def truth(self) -> dict[str, int]:
        return {path.decode(): row.size for path, row in self.living().items()}

    # -- what groups ask (`aggregator.groups.index_port.IndexPort`)

    @property
    def incarnation(self) -> str:
        return f"plain-{self._incarnation}"

    @property
    def tick(self) -> int:
        return self._ticks.last

    @property
    def collected(self) -> int:
        return self._collected

    @property
    def holders(self) -> Holders:
        return self._ticks.holders

    def lanes(self) -> list[int]:
        return sorted({row.lane for row in self._rows.values()}, reverse=True)

    def pending(self, lane: int, after: int, limit: int) -> Portion:
        upto = self._seen_to(after, self.tick)
        rows = self._in(lane, after, upto)[:limit]
        if len(rows) == limit:
            upto = rows[-1].tick
        return Portion([rows] if rows else [], max(after, upto), upto >= self.tick)

    def count(self, lane: int, after: int, upto: int, limit: int) -> Count:
        upto = self._seen_to(after, upto)
        rows = self._in(lane, after, upto)[:limit]
        return Count(len(rows), rows[-1].tick if len(rows) == limit else upto)

    def _seen_to(self, after: int, upto: int) -> int:
        return upto if self._sight is None else min(upto, after + self._sight)

    def _in(self, lane: int, after: int, upto: int) -> list[Row]:
        return sorted(row for row in self._rows.values() if row.lane == lane and after < row.tick <= upto)

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        return [row for row in self._in(lane, 0, self.tick) if row.tick in set(ticks)]

    def rows_of(self, path: bytes) -> list[Row]:
        return sorted(row for row in self._rows.values() if row.path == path)

    def tick_at(self, at_ns: int) -> tuple[int | None, int | None]:
        before = [tick for tick, noted_ns in self._moments if noted_ns <= at_ns]
        return max(before, default=None), min((noted_ns for _, noted_ns in self._moments), default=None)

    def given_by(self, tick: int) -> int | None:
        return next((noted_ns for noted, noted_ns in self._moments if noted >= tick), None)

    def note_handed(self, lane: int, tick: int) -> None:
        self._ticks.note_handed(lane, tick)
