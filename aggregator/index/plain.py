"""The two most frequent records, written without `merge`: the first listing of a directory, and known plain files that
were rewritten.

If anything is unusual, these functions give up without having done anything, and the index takes the general path, with
the same result. Measured for 100,000 rows: listings 0.57 -> 0.48 s of processor time (and a tenth less since files are
inserted several at a time), rewrites 1.30 -> 0.76 s. What comes to rest at once is written as pages, which takes half of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, Seen, kinds, unpack
from shardwatch.shard.contract.wire.frames import Listing

from .entries import Place
from .holders import loaded, stored
from .page import Page, can_rest, make, makes_one, populated, worth
from .pages import Pages
from .row import INSERT, KNOWN, Written, row_of, stat_of
from .tables import Tables
from .ticks import Ticks

_ROW: Final = (
    "dir, at_ns, name, directory, ino, size, mtime_ns, ctime_ns, dev, nlink, kind, racy, lane, tick, held, birth_ns"
)
#: Files that one statement inserts: each costs less than with a statement of its own. These have 146 parameters, of which SQLite
#: takes 999 at least.
_FILES_AT_ONCE: Final = 16
#: By the number of files. Parameters: the directory, the time, and for each file its name, the fields of its stat and its tick.
_FILES: Final = [
    f"INSERT INTO entry ({_ROW}) VALUES {','.join(['(?1,?2,?,0,?,?,?,?,?,?,?,?,0,?,0,0)'] * count)}"
    for count in range(_FILES_AT_ONCE + 1)
]
_DIRECTORY: Final = f"INSERT INTO entry ({_ROW}) VALUES (?1,?2,?3,1,0,0,0,0,0,0,{DIRECTORY},0,NULL,0,0,0)"
_KNOWN: Final = f"SELECT {KNOWN} FROM entry WHERE dir=? AND name>=? AND name<=? LIMIT ?"
_ONE: Final = f"SELECT {KNOWN} FROM entry WHERE dir=? AND name=?"
#: What changes in the row of a plain file that was rewritten, in the order of the parameters; the last two say which one.
_REWRITE: Final = (
    "UPDATE entry SET ino=?, size=?, mtime_ns=?, ctime_ns=?, dev=?, racy=?, tick=?, held=?, at_ns=?, birth_ns={}"
    " WHERE dir=? AND name=? AND directory=0"
)
REWRITE: Final = _REWRITE.format(0)
#: The same of one that another file has replaced by a rename, as editors save; before the last two: when that was made.
_REPLACE: Final = _REWRITE.format("?")


def populate(db: Any, id_: int, seen: Seen, at: int, ticks: Ticks, pages: Pages) -> tuple[int, int] | None:
    """Entries of a directory that has none, in lane 0, directories being no events. Returns how many files and directories;
    None where a file has several names.

    `pages`: where the files go, if all can be at rest; else all become rows.
    """
    total = len(seen.names)
    if worth(total):
        found = kinds(seen.stats)
        flags = [kind != DIRECTORY for kind in found] if DIRECTORY in found else []
        resting = seen.chosen(flags) if flags else seen
        if worth(len(resting.names)) and can_rest(resting.stats) and resting.names == sorted(resting.names):
            for page in populated(id_, ticks.take(len(resting.names)), at, resting):
                pages.add(page)
            if resting is seen:
                return total, 0
            seen = seen.chosen([not flag for flag in flags])
    files = []
    directories = []
    for name, stat in zip(seen.names, unpack(seen.stats), strict=True):
        if stat[6] == DIRECTORY:
            directories.append((id_, at, name))
        elif stat[5] > 1:
            return None
        else:
            files.append((name, stat))
    if files:
        tick = ticks.take(len(files))
        for begin in range(0, len(files), _FILES_AT_ONCE):
            some = files[begin : begin + _FILES_AT_ONCE]
            parameters: list[object] = [id_, at]
            for name, stat in some:
                parameters += (name, *stat, tick)
                tick += 1
            db.execute(_FILES[len(some)], parameters)
    if directories:
        db.executemany(_DIRECTORY, directories)
    return total - len(directories), len(directories)


def populate_each(tables: Tables, records: Sequence[Listing], ticks: Ticks) -> tuple[int, int, int]:
    """`populate` for each of these listings, up to the first that is not of a whole directory, or of one that is not new. Returns
    how many were written, and how many files and directories they had."""
    db, pages, directories_new = tables.db, tables.pages, tables.directories.add
    files = directories = 0
    rest = can_rest(b"".join([record.stats for record in records]))
    for done, record in enumerate(records):
        names, stats = record.names, record.stats
        if record.births or record.after is not None or record.upto is not None:
            return done, files, directories
        id_ = directories_new(record.path)
        if id_ is None:
            return done, files, directories
        count = len(names)
        if makes_one(count) and (rest or can_rest(stats)) and names == sorted(names):  # as nearly always
            pages.add(make(id_, 0, ticks.take(count), 0, record.at, names, stats))
            files += count
            continue
        made = populate(db, id_, record.seen, record.at, ticks, pages)
        if made is None:
            return done, files, directories
        files += made[0]
        directories += made[1]
    return len(records), files, directories


#: Files come to rest as a page only if all but one in so many of those between them changed together. In a burst in random order
#: each page would be left again by the next changes, which costs more than rows that stay rows.
_SHARE: Final = 4


def make_a_page(rewritten: int, known: int) -> bool:
    """Whether so many files that were rewritten together come to rest as a page. `known`: all that there are between them."""
    return worth(rewritten) and _SHARE * rewritten >= (_SHARE - 1) * known


def rewrite(
    tables: Tables, id_: int, path: bytes, seen: Seen, at: int, ticks: Ticks, *, content_only: bool = False
) -> int | None:
    """Looks at known files with one name each: one select for all, a narrow update for those that differ. Returns how many
    did; None where a name is new, gone, a link, a directory or one of several, or the directory holds far more than these.
    """
    names, linked = seen.names, tables.inodes.used
    limit = 4 * len(names) + 16
    rows = tables.db.execute(_KNOWN, (id_, min(names), max(names), limit)).fetchall()
    known = {row[0]: row for row in rows}
    if len(rows) == limit or len(known) < len(rows):
        return None
    places: dict[bytes, Place] = {}
    missing = [name for name in names if name not in known]
    if missing and not _add_paged(tables, id_, missing, known, places):
        return None
    changed = []
    for name, stat in zip(names, unpack(seen.stats), strict=True):
        row = known[name]
        _, directory, old_ino, _, _, _, old_dev, old_nlink, old_kind, _, lane, tick, held = row
        ino, _, _, _, dev, nlink, kind, _ = stat
        if directory or old_kind != FILE or kind != FILE or old_nlink != 1 or nlink != 1 or lane is None:
            return None
        if linked and (old_dev != dev or old_ino != ino):
            return None
        verdict = compare(stat_of(row), stat, content_only=content_only)
        if verdict is not Verdict.SAME:
            changed.append((name, stat, lane, tick, held, verdict))
    written: list[Written] = []
    newest: list[Written] = []
    for name, stat, lane, tick, held, verdict in changed:
        if verdict is Verdict.NOTED:
            ticks.newest.forget(tick)
        elif ticks.seen(lane, tick):
            held = stored(ticks.holders.superseded(lane, tick, loaded(held), there=True))
            tick = ticks.next()
            newest.append((name, 0, *stat, lane, tick, held, at, 0))
        written.append((name, 0, *stat, lane, tick, held, at, 0))
    if newest:
        ticks.newest.note_rows([row_of(path, row) for row in newest])
    if make_a_page(len(written), len(known)):
        tables.writer.put(id_, written, [], [], places)
        return len(written)
    updates = []
    moved: list[Written] = []
    for row in written:
        name, _, ino, size, mtime_ns, ctime_ns, dev, _, _, racy, _, tick, held, _, _ = row
        if name in places:
            moved.append(row)
        else:
            updates.append((ino, size, mtime_ns, ctime_ns, dev, racy, tick, held, at, id_, name))
    if updates:
        tables.write(REWRITE, updates)
    if moved:
        tables.writer.take_out(id_, [places[row[0]] for row in moved], moved)
    return len(changed)


def rewrite_one(
    tables: Tables,
    id_: int,
    path: bytes,
    name: bytes,
    stats: bytes,
    at: int,
    ticks: Ticks,
    *,
    birth_ns: int = 0,
    content_only: bool = False,
) -> int | None:
    """The same of one file, which is the most frequent case of all. `birth_ns`: when it was made, if it came by a rename."""
    db, linked = tables.db, tables.inodes.used
    first_in_rows = tables.entries.is_in_row(id_, name)
    page, place = (None, None) if first_in_rows else tables.entries.find_place(id_, name)
    rows: list[Any] = db.execute(_ONE, (id_, name)).fetchall() if page is None else []
    if rows:
        tables.entries.note_row(id_, name)
    elif first_in_rows:
        page, place = tables.entries.find_place(id_, name)
    row: Any
    if page is not None and place is not None:
        row = page.entry(place, name)
    elif rows:
        row = rows[0]
    else:
        return None
    _, directory, old_ino, _, _, _, old_dev, old_nlink, old_kind, _, lane, tick, held = row
    (stat,) = unpack(stats)
    ino, size, mtime_ns, ctime_ns, dev, nlink, kind, racy = stat
    if len(rows) > 1 or directory or old_kind != FILE or kind != FILE or old_nlink != 1 or nlink != 1 or lane is None:
        return None
    if linked and (old_dev != dev or old_ino != ino):
        return None
    verdict = compare(stat_of(row), stat, content_only=content_only)
    if verdict is Verdict.SAME:
        return 0
    if verdict is Verdict.NOTED:
        ticks.newest.forget(tick)
    elif ticks.seen(lane, tick):
        held = stored(ticks.holders.superseded(lane, tick, loaded(held), there=True))
        tick = ticks.next()
        ticks.newest.note_rows([row_of(path, (name, 0, *stat, lane, tick, held, at, birth_ns))])
    before = db.total_changes
    if page is None or place is None:
        tables.write_one(_REPLACE, (ino, size, mtime_ns, ctime_ns, dev, racy, tick, held, at, birth_ns, id_, name))
    else:
        tables.write_one(INSERT, (name, 0, *stat, lane, tick, held, at, birth_ns, id_))
        tables.writer.leave(page, place)
        tables.entries.note_row(id_, name)
    tables.stay_in_lanes(before)
    return 1


def _add_paged(
    tables: Tables, id_: int, names: list[bytes], known: dict[bytes, tuple[Any, ...]], places: dict[bytes, Place]
) -> bool:
    """Adds what pages hold of these names; returns whether they hold them all."""
    page: Page | None = None
    for name in names:
        if page is None or not page.first <= name <= page.last:
            page = tables.pages.at(id_, name)
        place = None if page is None else page.place(name)
        if page is None or place is None:
            return False
        known[name] = page.entry(place, name)
        places[name] = page, place
    return True
