"""The end of a row: the only place that decides what remains of a path that is gone. Pure."""

from __future__ import annotations

from .changes import Changes
from .holders import stored
from .row import GONE, Known, tells_there
from .ticks import Ticks


def bury(changes: Changes, row: Known, at: int, ticks: Ticks, *, forget: bool = False) -> None:
    """Buries a row whose path is gone or is not in scope any more. A tombstone may be buried again: it is then judged anew, but
    not counted a second time.

    Args:
        at: wall clock of the look that found it gone, ns.
        forget: the path disappears without an event, even for groups that hold it.
    """
    if row.kind != GONE:
        changes.count(row.directory, -1)
        if row.directory:
            changes.gone_directories.append(row.name)
        elif row.ino:
            changes.linked[row.dev, row.ino] = row.nlink
    ticks.newest.forget(row.tick)
    tick, held = (row.tick, 0) if forget else _stamp(row, ticks)
    if not held:
        changes.forgotten.append((row.name, row.directory))
        return
    # A tombstone keeps the identity of the file, by which a rename is recognised.
    changes.updates.append((
        row.name, row.directory, row.ino, row.size, row.mtime_ns, row.ctime_ns, row.dev, row.nlink, GONE, 0, row.lane, tick,
        stored(held), at, 0,
    ))  # fmt: skip


def _stamp(row: Known, ticks: Ticks) -> tuple[int, int]:
    """Returns the tick of the tombstone and the groups that must learn of the deletion. If there are none (0), no tombstone is
    needed.
    """
    if row.lane is None:
        return row.tick, 0
    if not ticks.seen(row.lane, row.tick):
        return row.tick, ticks.holders.holding(row.tick, row.held)
    held = ticks.holders.superseded(row.lane, row.tick, row.held, there=tells_there(row))
    return (ticks.next() if held else row.tick), held
