"""Known plain files of many directories that were rewritten, with few statements: what a burst in random order consists of.

One SELECT reads the rows of up to 64 files of any directories, and one `executemany` writes those that have changed. A record
about anything else is left, and the index takes the way of single records (`Records.looks`), with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.files.packed import FILE, Stat, unpack
from shardwatch.shard.contract.wire.frames import Looks

from .holders import loaded, stored
from .page import worth
from .plain import REWRITE
from .row import KNOWN, stat_of
from .tables import Tables
from .ticks import Ticks

#: Files that one statement reads, the most first. What is left over is filled up with names that no file has.
_SIZES: Final = (64, 16, 4)
_COLUMNS: Final = ", ".join(f"e.{column.strip()}" for column in KNOWN.split(","))
_KNOWN: Final = {
    size: f"SELECT e.dir, {_COLUMNS} FROM (VALUES {','.join(['(?,?)'] * size)}) v"
    " CROSS JOIN entry e WHERE e.dir=v.column1 AND e.name=v.column2"
    for size in _SIZES
}
#: Records that are passed over without a look after some of which most were in no row: where files lie in pages, it is in vain.
_PASSED_OVER: Final = 512

#: A file: the id of its directory, and its name.
_Key = tuple[int, bytes]


def suits(record: Looks) -> bool:
    """Whether a record is of the kind that is dealt with here, as far as it says itself."""
    return not (record.absent or record.births or worth(len(record.names)))


class Scattered:
    """Of one index; within its transaction."""

    def __init__(self, tables: Tables, ticks: Ticks, *, content_only: bool) -> None:
        """`content_only`: as of `Index`."""
        self._tables = tables
        self._ticks = ticks
        self._content_only = content_only
        #: How many records are to be passed over yet.
        self._passing = 0

    def rewrite(self, records: Sequence[Looks]) -> tuple[list[Looks], int]:
        """Deals with records that `suits` holds of, and of whose names none is owed a look. Returns those that are left, in their
        order, and how many rows were written.

        What is left may be applied afterwards: records of which two are about the same file are all left.
        """
        if self._passing > 0 or len(records) < _SIZES[-1]:
            self._passing -= len(records)
            return list(records), 0
        ids = list(map(self._tables.directories.known_id, [record.path for record in records]))
        keys = [(id_, name) for id_, record in zip(ids, records, strict=True) if id_ is not None for name in record.names]
        if len(set(keys)) < len(keys):
            return list(records), 0
        rows = self._rows(keys)
        if 2 * len(rows) < len(keys):
            self._passing = _PASSED_OVER
        left: list[Looks] = []
        updates: list[tuple[object, ...]] = []
        for id_, record in zip(ids, records, strict=True):
            changed = None if id_ is None else self._changed(id_, record, rows)
            if changed is None:
                left.append(record)
            else:
                updates += changed
        if updates:
            self._tables.db.executemany(REWRITE, updates)
        return left, len(updates)

    def _rows(self, keys: Sequence[_Key]) -> dict[_Key, Any]:
        """The row of each of these files; None for a name with two rows. What has no row is left out."""
        rows: dict[_Key, Any] = {}
        begin = 0
        while begin < len(keys):
            size = next((size for size in _SIZES if size <= len(keys) - begin), _SIZES[-1])
            some: list[int | bytes | None] = [value for key in keys[begin : begin + size] for value in key]
            some += [None] * (2 * size - len(some))
            for found in self._tables.db.execute(_KNOWN[size], some):
                key = found[:2]
                rows[key] = None if key in rows else found[1:]
            begin += size
        return rows

    def _changed(self, id_: int, record: Looks, rows: dict[_Key, Any]) -> Iterable[tuple[object, ...]] | None:
        """What to write of the files of a record; None if one of them is not a plain file in a row of its own."""
        content_only, ticks = self._content_only, self._ticks
        changed: list[tuple[bytes, Stat, int, int, Any, Verdict]] = []
        for name, stat in zip(record.names, unpack(record.stats), strict=True):
            row = rows.get((id_, name))
            if row is None:
                return None
            _, directory, old_ino, _, _, _, old_dev, old_nlink, old_kind, _, lane, tick, held = row
            ino, _, _, _, dev, nlink, kind, _ = stat
            if directory or old_kind != FILE or kind != FILE or old_nlink != 1 or nlink != 1 or lane is None:
                return None
            if old_dev != dev or old_ino != ino:
                # Other names of the file that was there may be in doubt, also by what an earlier record of this frame says.
                return None
            verdict = compare(stat_of(row), stat, content_only=content_only)
            if verdict is not Verdict.SAME:
                changed.append((name, stat, lane, tick, held, verdict))
        updates = []
        for name, (ino, size, mtime_ns, ctime_ns, dev, _, _, racy), lane, tick, held, verdict in changed:
            if verdict is Verdict.CHANGED and ticks.seen(lane, tick):
                held = stored(ticks.holders.superseded(lane, tick, loaded(held), there=True))
                tick = ticks.next()
            updates.append((ino, size, mtime_ns, ctime_ns, dev, racy, tick, held, record.at, id_, name))
        return updates
