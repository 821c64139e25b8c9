"""The end of a row: the only place that decides what remains of a path that is gone. Pure."""

from __future__ import annotations

from .changes import Changes
from .holders import stored
from .row import GONE, Known
from .ticks import Ticks


def bury(changes: Changes, row: Known, at: int, ticks: Ticks, *, forget: bool = False) -> None:
    """The row's path is gone, or none of ours any more. A tombstone that is buried once more is judged again, and not counted.

    Args:
        at: wall clock of the look that found it gone, ns.
        forget: nobody is told, whoever holds it.
    """
    if row.kind != GONE:
        changes.count(row.directory, -1)
        if row.directory:
            changes.gone_directories.append(row.name)
        elif row.ino:
            changes.linked[row.dev, row.ino] = row.nlink
    tick, held = (row.tick, 0) if forget else _stamp(row, ticks)
    if not held:
        changes.forgotten.append((row.name, row.directory))
        return
    # A tombstone keeps which file it was, since that tells a rename.
    changes.updates.append((
        row.ino, row.size, row.mtime_ns, row.ctime_ns, row.dev, row.nlink, GONE, 0, tick, stored(held), at, 0,
        row.name, row.directory,
    ))  # fmt: skip


def _stamp(row: Known, ticks: Ticks) -> tuple[int, int]:
    """The tick of the tombstone, and who is to be told; 0 where nobody is, so that it needs none."""
    if row.lane is None:
        return row.tick, 0
    if not ticks.seen(row.lane, row.tick):
        return row.tick, ticks.holders.holding(row.tick, row.held)
    held = ticks.holders.superseded(row.lane, row.tick, row.held, there=row.kind != GONE)
    return (ticks.next() if held else row.tick), held
