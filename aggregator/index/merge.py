"""Compares records with rows: only a difference becomes a change. Pure: it uses no SQLite, no socket and no clock.

`row` defines what a row is, and how it begins, changes and ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.files.packed import DIRECTORY, Seen, Stat, unpack

from .burial import bury
from .changes import Changes
from .holders import stored
from .row import GONE, Known, stat_of
from .ticks import Ticks

_NO_BIRTHS: Final[Mapping[bytes, int]] = MappingProxyType({})


def merge(
    known: dict[tuple[bytes, int], Known],
    seen: Seen,
    absent: Iterable[bytes],
    *,
    complete: bool,
    at: int,
    ticks: Ticks,
    lane_of: dict[bytes, int] | int | None,
    directories_are_events: bool,
    births: Mapping[bytes, int] = _NO_BIRTHS,
    content_only: bool = False,
) -> Changes:
    """Compares what was seen in one directory with its rows.

    Args:
        known: rows of the names in question, by (name, is it about a directory); consumed.
        seen: what is there.
        absent: names that were looked at and are not there (or are nothing of ours).
        complete: every row left in `known` that was not seen is gone.
        at: wall clock of the look, ns.
        lane_of: lane of new rows: one for all, or by name.
        births: of names that came by a rename: when the file was made, ns since 1970.
        content_only: as `identity.compare` has it.
    """
    changes = Changes()
    new = _compare(changes, known, seen, at, ticks, births, content_only=content_only)
    _bury_absent(changes, known, absent, at, ticks)
    if complete:
        for row in known.values():
            if row.kind != GONE:
                bury(changes, row, at, ticks)
    _insert(changes, new, at, ticks, births, lane_of, directories_are_events=directories_are_events)
    return changes


def _compare(
    changes: Changes,
    known: dict[tuple[bytes, int], Known],
    seen: Seen,
    at: int,
    ticks: Ticks,
    births: Mapping[bytes, int],
    *,
    content_only: bool,
) -> list[tuple[bytes, Stat]]:
    """What was seen, against the rows of its names; returns what has no row yet."""
    new: list[tuple[bytes, Stat]] = []
    for name, stat in zip(seen.names, unpack(seen.stats), strict=True):
        ino, _, _, _, dev, nlink, kind, _ = stat
        directory = 1 if kind == DIRECTORY else 0
        other = known.pop((name, 1 - directory), None)
        if other is not None and other.kind != GONE:
            bury(changes, other, at, ticks)
        row = known.pop((name, directory), None)
        if row is None:
            new.append((name, stat))
            continue
        if row.kind == GONE:
            changes.count(directory, 1)
            tick, held = ticks.again(row)  # the same where no group was told that it was gone
        elif directory:
            continue  # of a directory only its existence counts
        else:
            verdict = compare(stat_of(row), stat, content_only=content_only)
            if verdict is Verdict.SAME:
                continue
            tick, held = ticks.again(row) if verdict is Verdict.CHANGED else (row.tick, row.held)
            ticks.newest.forget(row.tick)
            if row.ino != ino and row.ino and ino:
                changes.linked[row.dev, row.ino] = row.nlink
        changes.updates.append((name, directory, *stat, row.lane, tick, stored(held), at, births.get(name, 0)))
        changes.link(dev, ino, nlink)
    return new


def _bury_absent(
    changes: Changes, known: dict[tuple[bytes, int], Known], absent: Iterable[bytes], at: int, ticks: Ticks
) -> None:
    for name in absent:
        for directory in (0, 1):
            row = known.pop((name, directory), None)
            if row is None:
                continue
            if row.kind != GONE:
                bury(changes, row, at, ticks)
            elif row.nlink > 1 and row.ino:
                changes.linked[row.dev, row.ino] = row.nlink  # what hints at it now is done to the file by a descriptor


def _insert(
    changes: Changes,
    new: Iterable[tuple[bytes, Stat]],
    at: int,
    ticks: Ticks,
    births: Mapping[bytes, int],
    lane_of: dict[bytes, int] | int | None,
    *,
    directories_are_events: bool,
) -> None:
    """Rows of what was never seen before."""
    for name, stat in new:
        ino, _, _, _, dev, nlink, kind, _ = stat
        directory = 1 if kind == DIRECTORY else 0
        lane: int | None = None
        tick = 0
        if not directory or directories_are_events:
            lane = lane_of.get(name, 0) if isinstance(lane_of, dict) else lane_of
            tick = ticks.next()
        changes.inserts.append((name, directory, *stat, lane, tick, 0, at, births.get(name, 0)))
        changes.link(dev, ino, nlink)
        changes.count(directory, 1)
