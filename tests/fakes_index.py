"""An index in memory: what groups need of one, with the rules of stamps that `aggregator.index.merge` has. For tests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Mapping, Sequence

from shardwatch.aggregator.index.holders import Holders
from shardwatch.aggregator.index.row import Row

FILE = 1


class FakeIndex:
    """Rows by path; a row's tick is its place in the queue. Every change is committed at once."""

    def __init__(self, incarnation: str = "i1") -> None:
        self.incarnation = incarnation
        self.tick = 0
        self.collected = 0
        self.rows: dict[tuple[bytes, bool], Row] = {}
        self.handed: dict[int, int] = {}
        self.holders = Holders()
        self._at: dict[int, dict[int, Row]] = {}
        self._ticks: dict[int, list[int]] = {}

    # -- changes

    def put(self, path: bytes, *, lane: int = 0, size: int = 1, directory: bool = False, ino: int = 0, birth: int = 5) -> None:
        """The path is there, with this size (and inode, which came by a rename if it was elsewhere, and was made at `birth`)."""
        old = self.rows.get((path, directory))
        kind = 2 if directory else FILE
        if old is None:
            tick = self._next()
            made = Row(tick, lane, 0, kind, directory, path, size, size * 1000, tick * 10**9, 1, ino, 10, birth)
            self._set(made)
            return
        new = self._again(old)._replace(kind=kind, size=size, mtime_ns=size * 1000)
        self._set(new._replace(ino=ino, birth_ns=birth))

    def remove(self, path: bytes, *, directory: bool = False) -> None:
        """The path is gone. Idempotent."""
        old = self.rows.get((path, directory))
        if old is None or not old.kind:
            return
        new = self._again(old)
        if not new.held:
            self._unset(old)
            return
        self._set(new._replace(kind=0))

    def _again(self, old: Row) -> Row:
        """The row with the stamp of its next change."""
        if old.tick > self.handed.get(old.lane, 0):
            return old._replace(held=self.holders.holding(old.tick, old.held))
        held = self.holders.superseded(old.lane, old.tick, old.held, there=bool(old.kind))
        return old._replace(tick=self._next(), held=held)

    def truth(self) -> dict[str, int]:
        """path -> size of what is there."""
        return {r.path.decode(): r.size for r in self.rows.values() if r.kind}

    def _next(self) -> int:
        self.tick += 1
        return self.tick

    def _unset(self, row: Row) -> None:
        del self.rows[row.path, row.directory]
        del self._at[row.lane][row.tick]

    def _set(self, row: Row) -> None:
        old = self.rows.get((row.path, row.directory))
        at = self._at.setdefault(row.lane, {})
        if old is None or old.tick != row.tick:
            if old is not None:
                del at[old.tick]
            self._ticks.setdefault(row.lane, []).append(row.tick)
        at[row.tick] = row
        self.rows[row.path, row.directory] = row

    # -- what groups ask

    def lanes(self) -> list[int]:
        return sorted((lane for lane, rows in self._at.items() if rows), reverse=True)

    def pending(self, lane: int, after: int, limit: int) -> list[Row]:
        ticks, at, found = self._ticks.get(lane, []), self._at.get(lane, {}), []
        for i in range(bisect_right(ticks, after), len(ticks)):
            row = at.get(ticks[i])
            if row is not None:
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def rows_at(self, lane: int, ticks: Sequence[int]) -> list[Row]:
        at = self._at.get(lane, {})
        return [at[t] for t in sorted(ticks) if t in at]

    def count(self, lane: int, after: int, upto: int, limit: int) -> tuple[int, int]:
        ticks = sorted(t for t in self._at.get(lane, {}) if after < t <= upto)[:limit]
        return len(ticks), ticks[-1] if ticks else 0

    def note_handed(self, lane: int, tick: int) -> None:
        self.handed[lane] = max(tick, self.handed.get(lane, 0))

    def collect(self, passed: Mapping[int, int], older_than_ns: int = 1 << 62, parked: Container[int] = ()) -> int:
        old = [r for r in self.rows.values() if not r.kind and r.tick <= passed.get(r.lane, 0) and r.at_ns < older_than_ns]
        gone = [r for r in old if r.tick not in parked]
        for row in gone:
            self.collected = max(self.collected, row.tick)
            self._unset(row)
        return len(gone)
