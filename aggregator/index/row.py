"""The row model: what the index keeps of one path, field by field. Pure; whoever reads or writes rows takes the columns from
here.

There is one row per path *and* whether it is a directory: a file that becomes a directory is a deletion of one row and a
creation of another. On disk the path is two columns, `dir` (the id of the directory above, in the table `directory`) and `name`.

What the path is:

- `name`: exact bytes, in the directory `dir`.
- `directory`: what the row is about: 1 a directory, 0 anything else. It never changes.
- `kind`: `FILE`, `DIRECTORY` or `LINK` as on the wire, while the path is there; `GONE` in a tombstone, which stays for as long as
  a group has to be told.
- `dev`, `ino`, `nlink`, `size`, `mtime_ns`, `ctime_ns`: of the lstat that was seen last; a tombstone keeps those of the file
  that is gone, because they tell a rename. All are 0 for a directory, of which only the existence counts.
- `racy`: 1 where that look came so soon after the change that an equal stat later proves nothing.
- `birth_ns`: when the file was made, if it came here by a rename and the filesystem knows; else 0.
- `at_ns`: when the look began that changed the row last, by the wall clock.

Where the row stands in the queue:

- `lane`: its priority; NULL for a directory that is no event. A row without a lane is never handed to a group. In the lane
  `LEFT_OUT` are directories that were events under earlier settings: whatever their `kind` says, groups are told that they are
  gone, and they come before every priority.
- `tick`: the number of its last change; ticks are given in ascending order, each once, so a group is a position in each lane. A
  row that changes again before any group was handed its tick keeps the tick: else a path that changes all the time would
  move to the tail for ever.
- `held`: bits of the groups that hold the path by what they were handed before this tick (`aggregator.index.holders`).

A row begins with a tick and `held` = 0 (`merge`), may change (a new stat, and a new tick where the old one may have been handed
out), ends as a tombstone or at once (`burial`), and may be revived while its tombstone is there. `tombstones` forgets it when
every group has passed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import itemgetter
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.files.packed import Stat
from shardwatch.shard.contract.files.paths import join

from .holders import loaded

#: The `kind` of a tombstone.
GONE: Final = 0
#: The lane of directories that are events no more, and of which groups are to be told so. It is above every priority, so that
#: nothing that comes to be at such a path is told before.
LEFT_OUT: Final = 1_000_000


class Known(NamedTuple):
    """A row as records are compared with it: what the index holds of one name in a directory."""

    name: bytes
    directory: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    dev: int
    nlink: int
    kind: int
    racy: int
    lane: int | None
    tick: int
    held: int


def tells_there(row: Known) -> bool:
    """Whether groups are told by this row that its path is there."""
    return row.kind != GONE and row.lane != LEFT_OUT


#: The columns of a `Known`, for a SELECT.
KNOWN: Final = ", ".join(Known._fields)
#: The stat of a `Known`, as `packed.unpack` gives it and `identity.compare` takes it.
stat_of: Final[Callable[[Known], Stat]] = itemgetter(
    slice(Known._fields.index("ino"), Known._fields.index("racy") + 1)
)


def known_from(columns: tuple[Any, ...]) -> Known:
    """The `Known` of a row that was selected as `KNOWN`."""
    held = columns[-1]
    return Known._make(columns if isinstance(held, int) else (*columns[:-1], loaded(held)))


class Row(NamedTuple):
    """A row as groups read it."""

    tick: int
    lane: int
    held: int
    kind: int
    directory: int
    path: bytes
    size: int
    mtime_ns: int
    at_ns: int
    dev: int
    ino: int
    ctime_ns: int
    birth_ns: int


#: What a SELECT of a `Row` begins with. Its `kind` is what groups are told. The path is what `paths.join` makes of two columns;
#: SQLite needs less time for that.
ROW: Final = (
    f"e.tick, e.lane, e.held, CASE e.lane WHEN {LEFT_OUT} THEN {GONE} ELSE e.kind END, e.directory,"
    " CAST(CASE d.path WHEN x'2f' THEN d.path ELSE d.path || x'2f' END || e.name AS BLOB),"
    " e.size, e.mtime_ns, e.at_ns, e.dev, e.ino, e.ctime_ns, e.birth_ns"
    " FROM entry e JOIN directory d ON d.id = e.dir"
)
_row_of: Final[Callable[[tuple[Any, ...]], Row]] = partial(tuple.__new__, Row)
_held_of: Final[Callable[[Row], object]] = itemgetter(Row._fields.index("held"))


def rows_from(selected: Iterable[tuple[Any, ...]]) -> list[Row]:
    """The `Row`s of rows that were selected as `ROW`. No line of Python is run for each of them, unless more groups hold a path
    than an integer has bits.
    """
    rows = list(map(_row_of, selected))
    if bytes in map(type, map(_held_of, rows)):
        return [row._replace(held=loaded(row.held)) for row in rows]
    return rows


#: The columns of a row as it is written, in their order: those of a `Known`, with `held` as it is stored, and two more.
WRITTEN: Final = (*Known._fields, "at_ns", "birth_ns")
Written = tuple[bytes, int, int, int, int, int, int, int, int, int, int | None, int, int | bytes, int, int]


def row_of(above: bytes, written: Written) -> Row:
    """What groups read of a row that is in the directory `above`, and in a lane other than `LEFT_OUT`."""
    name, directory, ino, size, mtime_ns, ctime_ns, dev, _, kind, _, lane, tick, held, at_ns, birth_ns = written
    assert lane is not None
    return Row(
        tick, lane, loaded(held), kind, directory, join(above, name), size, mtime_ns, at_ns, dev, ino, ctime_ns, birth_ns
    )


#: Each takes a `Written` and the directory's id.
INSERT: Final = f"INSERT INTO entry ({', '.join(WRITTEN)}, dir) VALUES ({'?,' * len(WRITTEN)}?)"
UPDATE: Final = (
    f"UPDATE entry SET {', '.join(f'{field}=?{number}' for number, field in enumerate(WRITTEN, 1) if number > 2)}"
    f" WHERE name=?1 AND directory=?2 AND dir=?{len(WRITTEN) + 1}"
)


def ranged(sql: str, id_: int, after: bytes | None, upto: bytes | None) -> tuple[str, list[object]]:
    """A query of a directory's rows, cut down to the names after `after` up to `upto`, in the order of names."""
    arguments: list[object] = [id_]
    for condition, bound in (("name > ?", after), ("name <= ?", upto)):
        if bound is not None:
            sql += " AND " + condition
            arguments.append(bound)
    return sql + " ORDER BY name", arguments


def bounds(path: bytes) -> tuple[bytes, bytes, bytes]:
    """(itself, lower, upper): everything below a directory sorts strictly between the last two."""
    if path == b"/":
        return path, b"/", b"0"
    return path, path + b"/", path + b"0"
