"""Adapts the entries to new settings: other roots, filters or priorities. Works in portions, while the service runs. What
becomes another by that leaves its page.

Files that are no longer in scope, and directories that are no longer events, are reported as deleted, because a mirror
contains what is watched now. On request they are forgotten instead, without events. If the process is killed at any
point, the next start begins again, and finds the finished rows as they should be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from shardwatch.shard.contract.files.paths import join

from .entries import Place, Relocatable
from .index import Index
from .row import GONE, LEFT_OUT, Known, tells_there
from .walk import Walk

#: Rows of one step: some 50 ms.
ROWS: Final = 2_000


class Refit:
    """One walk through the rows. The index is `unfit` until the walk has reached the end.

    Args:
        keeps: whether a path, which is a directory or not, is a row at all.
        fingerprint: of the settings; it is stored at the end.
        forget: forget what is left out, instead of telling that it is deleted.
        tops: only what lies at and below these paths may have to be adapted. None: anything may.
    """

    def __init__(
        self,
        index: Index,
        keeps: Callable[[bytes, bool], bool],
        fingerprint: str,
        *,
        forget: bool = False,
        tops: Sequence[bytes] | None = None,
    ) -> None:
        self._index = index
        self._keeps = keeps
        self._fingerprint = fingerprint
        self._forget = forget
        self._walk = Walk(index.tables, tops)
        #: The number of paths that have been left out so far.
        self.left_out = 0
        index.begin()
        index.file.misfit()

    def step(self, limit: int = ROWS) -> bool:
        """Adapts the next rows, in a transaction of their own. Returns False if these were the last ones."""
        index = self._index
        index.begin()
        entries, more = self._walk.take(limit)
        out: dict[tuple[int, bytes], list[Known]] = {}
        relaned: list[tuple[Relocatable, int | None]] = []
        leaving: dict[int, list[Place]] = {}
        for entry in entries:
            id_, path, row, place = entry
            whole = join(path, row.name)
            if not self._keeps(whole, bool(row.directory)):
                self.left_out += row.kind != GONE
                if not self._forget and row.kind == GONE:
                    continue
                out.setdefault((id_, path), []).append(row)
            else:
                lane = index.records.lane(whole, bool(row.directory))
                if lane == row.lane:
                    continue
                relaned.append((entry, lane))
            if place is not None:
                leaving.setdefault(id_, []).append(place)
        for id_, places in leaving.items():
            index.tables.writer.take_out(id_, places)
        for (id_, path, row, _), lane in relaned:
            if lane is not None:
                index.records.relane(id_, row, lane)
            elif self._forget or row.lane != LEFT_OUT:
                index.records.leave_unsaid(id_, path, row, forget=self._forget)
                self.left_out += tells_there(row)
        for (id_, path), rows in out.items():
            index.records.leave_out(id_, path, rows, forget=self._forget)
        if not more:
            index.file.fit(self._fingerprint)
        index.commit()
        return index.unfit
