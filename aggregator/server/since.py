"""The request `since`: what has changed since a cursor, for who asks from time to time and is no worker.

A cursor is a tick that an earlier answer named. What has a later tick has changed since. Two things must hold for that:
rows that an answer may have told of get a new tick when they change, and a deletion leaves a tombstone. The index does
both for paths that a group holds. So there is one group more, the *keeper*, which no request can name: it holds what
was there when any of its cursors was given. It is made with the first cursor, and given up when `since` is not used for
`retention_days`.

Does no input or output.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state.settings import Settings

from ..groups.group import Group, GroupState
from ..groups.index_port import IndexPort
from ..groups.registry import KEEPER, Registry
from ..index.opening import fingerprint
from ..index.row import Row
from ..protocol import messages as protocol
from ..protocol.messages import Event, RefusedError, path_fields
from .call import Call

#: Events of one answer at most.
EVENTS_MAX: Final = 1_000
#: Rows of one lane that are read at a time, at least.
_ROWS_MIN: Final = 10
_CURSOR: Final = re.compile(r"c:([0-9a-z-]{1,100}):([0-9]{1,18})", re.ASCII)


class SinceRequests:
    """Answers `since`, and keeps what its answers need.

    Args:
        in_force: tells the settings in force: the very same object until there are others.
        wall: seconds since 1970: when `since` was used last.
    """

    def __init__(self, index: IndexPort, registry: Registry, in_force: Callable[[], Settings], wall: Callable[[], float]) -> None:
        self._index = index
        self._registry = registry
        self._wall = wall
        self._in_force = in_force
        self._named = (in_force(), fingerprint(in_force())[:8])

    def answer(self, call: Call, now: float) -> dict[str, object]:
        """The fields of the reply. Raises RefusedError."""
        request: protocol.Since = call.request
        given = None if request.cursor is None else _parsed(request.cursor)
        keeper = self._keeper()
        last, events, more, why = self._index.tick, [], False, ""
        if given is not None:
            life, tick = given
            why = self._why_fresh(keeper, life, tick)
            if not why:
                limit = min(request.max or EVENTS_MAX, EVENTS_MAX)
                rows = list(islice(self._rows(tick, limit), limit + 1))
                more = len(rows) > limit
                events = [_event(row) for row in rows[:limit]]
        at = events[-1].tick if more else last
        keeper.keep(self._index, last)
        keeper.use(self._wall())
        self._registry.touch(keeper)
        fresh = {"fresh": why} if why else {}
        return {"cursor": f"c:{self._life(keeper)}:{at}", "events": events, "more": more, **fresh}

    def _keeper(self) -> Group:
        """The keeper as it was, or another one if it has lost what it kept: then no earlier cursor is good any more."""
        keeper = self._registry.by_name.get(KEEPER)
        if keeper is not None and keeper.state is GroupState.ACTIVE and keeper.incarnation == self._index.incarnation:
            return keeper
        if keeper is not None:
            self._registry.remove(keeper)
        keeper = self._registry.create(KEEPER)
        keeper.begin(self._index, self._index.tick, self._index.tick)
        return keeper

    def _life(self, keeper: Group) -> str:
        """What a cursor must name to be one of ours: this index, this keeper, and these settings."""
        return f"{self._index.incarnation}-{keeper.batches.token}-{self._settings()}"

    def _settings(self) -> str:
        """Names the settings in force. Others have other rows, and what left the index with the old ones is not told."""
        settings, name = self._named
        if (now := self._in_force()) is not settings:
            name = fingerprint(now)[:8]
            self._named = now, name
        return name

    def _why_fresh(self, keeper: Group, life: str, tick: int) -> str:
        """Why what has changed since a cursor can't be told, "" if it can."""
        if life != self._life(keeper) or tick > self._index.tick:
            return (
                "the cursor belongs to another index, or is older than a change of the settings, or `since` was not used for "
                "longer than retention_days"
            )
        if tick < self._index.collected:
            return "the cursor is older than the deletions that are kept (replay_s)"
        return ""

    def _rows(self, after: int, limit: int) -> Iterator[Row]:
        """All rows with a later tick, oldest first."""
        lanes = self._index.lanes()
        size = max(_ROWS_MIN, (limit + 1) // max(1, len(lanes)))
        return heapq.merge(*(self._lane(lane, after, size) for lane in lanes))

    def _lane(self, lane: int, after: int, size: int) -> Iterator[Row]:
        end = False
        while not end:
            found = self._index.pending(lane, after, size)
            after, end = found.upto, found.end
            yield from found.rows


def _parsed(cursor: str) -> tuple[str, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise RefusedError("bad_field", f"since: {shown(cursor)} is no cursor", "give the one that an earlier answer named")
    return found[1], int(found[2])


def _event(row: Row) -> Event:
    """A row as an event. Whether a file was made or modified since the cursor is not known, so it is `modified`."""
    path, exact = path_fields(row.path)
    there = bool(row.kind)
    size, mtime_ns = (row.size, row.mtime_ns) if there else (None, None)
    return Event("modified" if there else "deleted", path, bool(row.directory), size, mtime_ns, row.tick, row.at_ns / 1e9, exact)
