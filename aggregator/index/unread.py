"""Rows of plain files that are rewritten without being read before: most of what a burst in random order consists of.

To read a row costs more than to write it. What has to be known of it is mostly what was so of the rows before it: it is of the
same file as what was seen, it has not changed yet, and it is in a range of ticks of which all rows are dealt with alike
(`Ticks.alike_around`). So an UPDATE says this as its conditions, and a row that does not meet them stays as it was. Whoever
calls deals with such files by what is known of them (`scattered`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.files.packed import FILE, unpack
from shardwatch.shard.contract.wire.frames import Looks

from .holders import loaded
from .row import Row
from .tables import Tables
from .ticks import Ticks

#: Parameters: directory, name, inode number, device, size, times of modification and of change, racy, tick, time of the look; and
#: what is the same for all: the groups that hold the paths from now on, lane, the groups that are noted, and the range of ticks.
#: A row of a directory with the same name says that it is gone, if there is one, for the file is there: it stays as it is.
_REWRITE: Final = (
    "UPDATE entry SET size=?5, mtime_ns=?6, ctime_ns=?7, racy=?8, tick=?9, held=?11, at_ns=?10, birth_ns=0"
    " WHERE dir=?1 AND name=?2 AND directory=0"
    f" AND ino=?3 AND dev=?4 AND ctime_ns<>?7 AND nlink=1 AND kind={FILE} AND lane=?12 AND held=?13 AND tick>?14 AND tick<=?15"
)
_TICK: Final = 8
_WRITTEN: Final = "SELECT tick FROM entry WHERE lane=? AND tick>=?"
#: It is tried again only if one of so many files was in a row as expected: that others are not costs a third of what it saves.
_SHARE: Final = 2

_row_of: Final[Callable[[tuple[Any, ...]], Row]] = partial(tuple.__new__, Row)


class Unread:
    """Of one index; within its transaction."""

    def __init__(self, tables: Tables, ticks: Ticks) -> None:
        self._tables = tables
        self._ticks = ticks
        #: The lane of the next rows, a tick near theirs, and the groups that they note, as these are stored; None: not known.
        self._expected: tuple[int, int, Any] | None = None

    @property
    def is_expecting(self) -> bool:
        """Whether it is known what the next rows may be like."""
        return self._expected is not None

    def expect(self, lane: int, tick: int, held: int | bytes) -> None:
        """Rows were read that had this lane, ticks near this one, and these groups: others are expected to be like them."""
        self._expected = lane, tick, held

    def expect_nothing(self) -> None:
        """The next rows are read first."""
        self._expected = None

    def rewrite(self, records: Sequence[Looks], ids: Sequence[int | None]) -> tuple[list[Looks], int]:
        """Deals with those files that are in rows as expected. Returns what is left: records, in their order, of the other files;
        and how many rows were written.

        Args:
            records: of any directories. No file is in two of them.
            ids: of their directories; None: of one that is new.
        """
        if self._expected is None:
            return list(records), 0
        lane, _, noted = self._expected
        alike = self._ticks.alike_around(*self._expected)
        if alike is None:
            self.expect_nothing()
            return list(records), 0
        updates: list[tuple[object, ...]] = []
        rows: list[Row] = []
        whole = True
        first = tick = self._ticks.last + 1
        same = alike.held, lane, noted, alike.after, alike.upto
        groups = loaded(alike.held)
        for id_, record in zip(ids, records, strict=True):
            if id_ is None:
                whole = False
                continue
            at, path = record.at, record.path
            above = path if path == b"/" else path + b"/"
            for name, (ino, size, mtime_ns, ctime_ns, dev, nlink, kind, racy) in zip(
                record.names, unpack(record.stats), strict=True
            ):
                if nlink != 1 or kind != FILE:
                    whole = False
                    continue
                updates.append((id_, name, ino, dev, size, mtime_ns, ctime_ns, racy, tick, at, *same))
                rows.append(
                    _row_of((tick, lane, groups, FILE, 0, above + name, size, mtime_ns, at, dev, ino, ctime_ns, 0))
                )
                tick += 1
        if not updates:
            return list(records), 0
        self._ticks.take_alike(alike, len(updates))
        written = self._tables.write(_REWRITE, updates)
        if written < len(updates):
            whole = False
            if _SHARE * written < len(updates):
                self.expect_nothing()
            there = {found[0] for found in self._tables.db.execute(_WRITTEN, (lane, first)).fetchall()}
            updates = [update for update in updates if update[_TICK] in there]
            rows = [row for row in rows if row.tick in there]
        if rows:
            self._ticks.newest.note_rows(rows)
        return ([], written) if whole else (_left(records, ids, {update[:2] for update in updates}), written)


def _left(records: Sequence[Looks], ids: Sequence[int | None], done: set[tuple[object, ...]]) -> list[Looks]:
    """What these records say of other files than those that are done, each of which is the id of a directory and a name."""
    left: list[Looks] = []
    for id_, record in zip(ids, records, strict=True):
        flags = [(id_, name) not in done for name in record.names]
        if all(flags):
            left.append(record)
        elif any(flags):
            names, stats = record.seen.chosen(flags)
            left.append(msgspec.structs.replace(record, names=names, stats=stats))
    return left
