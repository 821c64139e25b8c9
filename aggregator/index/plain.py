"""The two commonest records, written without `merge`: the first listing of a directory, and known plain files rewritten.

Each gives up, with nothing done, where anything is out of the ordinary; the index then goes the general way, to the same
outcome. Measured, for 100,000 rows: listings 0.57 -> 0.48 s of processor time, rewrites 1.30 -> 0.76 s.
"""

from __future__ import annotations

from typing import Any, Final

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.wire.frames import DIRECTORY, FILE, Entry

from .holders import loaded, stored
from .merge import Ticks

_ROW: Final = (
    "dir, name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, tick, at_ns, held, birth_ns"
)
_FILE: Final = f"INSERT INTO entry ({_ROW}) VALUES (?1,?2,0,?3,?4,?5,?6,?7,?8,?9,?10,0,?11,?12,0,0)"
_DIRECTORY: Final = f"INSERT INTO entry ({_ROW}) VALUES (?1,?2,1,{DIRECTORY},0,0,0,0,0,0,0,NULL,0,?3,0,0)"
_KNOWN: Final = (
    "SELECT name, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, tick, directory, held FROM entry"
    " WHERE dir=? AND name>=? AND name<=? LIMIT ?"
)
_REWRITE: Final = (
    "UPDATE entry SET dev=?, ino=?, size=?, mtime_ns=?, ctime_ns=?, racy=?, tick=?, held=?, at_ns=?, birth_ns=0"
    " WHERE dir=? AND name=? AND directory=0"
)


def populate(db: Any, id_: int, entries: list[Entry], at: int, ticks: Ticks) -> tuple[int, int] | None:
    """Rows of a directory that has none, in lane 0, directories being no events. Returns how many files and directories;
    None where a file has several names."""
    files = [e for e in entries if e[1] != DIRECTORY]
    if any(e[4] > 1 for e in files):
        return None
    if files:
        db.executemany(_FILE, [(id_, *e, tick, at) for tick, e in enumerate(files, ticks.last + 1)])
        ticks.last += len(files)
    if len(files) < len(entries):
        db.executemany(_DIRECTORY, [(id_, e[0], at) for e in entries if e[1] == DIRECTORY])
    return len(files), len(entries) - len(files)


def rewrite(
    db: Any, id_: int, entries: list[Entry], at: int, ticks: Ticks, *, linked: bool, content_only: bool = False
) -> int | None:
    """Looks at known files with one name each: one select for all, a narrow update for those that differ. Returns how many
    did; None where a name is new, gone, a link, a directory or one of several, or the directory holds far more than these.

    `linked`: there are files with several names, of which one may have been another file's.
    """
    names = [e[0] for e in entries]
    limit = 4 * len(names) + 16
    rows = db.execute(_KNOWN, (id_, min(names), max(names), limit)).fetchall()
    known = {row[0]: row for row in rows}
    if len(rows) == limit or len(known) < len(rows):
        return None
    changed = []
    for e in entries:
        row = known.get(e[0])
        if row is None or row[11] or row[1] != FILE or e[1] != FILE or row[4] != 1 or e[4] != 1 or row[9] is None:
            return None
        if linked and (row[2] != e[2] or row[3] != e[3]):
            return None
        verdict = compare(row[1:9], e[1:9], content_only=content_only)
        if verdict is not Verdict.SAME:
            changed.append((e, row[10], row[9], row[12], verdict))
    updates = []
    for e, tick, lane, held, verdict in changed:
        if verdict is Verdict.CHANGED and ticks.seen(lane, tick):
            held = stored(ticks.holders.superseded(lane, tick, loaded(held), there=True))
            tick = ticks.next()
        updates.append((e[2], e[3], e[5], e[6], e[7], e[8], tick, held, at, id_, e[0]))
    if updates:
        db.executemany(_REWRITE, updates)
    return len(updates)
