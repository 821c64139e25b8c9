"""A row of the index as groups read it, and which rows a query takes. Pure; imported by `index` only."""

from __future__ import annotations

from typing import Final, NamedTuple

from shardwatch.shard.contract.wire.frames import Check, Listing, Verified

#: What a SELECT of a `Row` begins with; the path is joined of two columns.
ROW: Final = (
    "e.tick, e.lane, e.held, e.kind, e.directory, d.path, e.name, e.size, e.mtime_ns, e.at_ns,"
    " e.dev, e.ino, e.ctime_ns, e.birth_ns"
    " FROM entry e JOIN directory d ON d.id = e.dir"
)


class Row(NamedTuple):
    """What the index knows of one path."""

    tick: int
    lane: int
    #: Which groups hold the path by what they were handed before this tick (`aggregator.index.holders`).
    held: int
    kind: int
    directory: bool
    path: bytes
    size: int
    mtime_ns: int
    at_ns: int
    #: With size and mtime_ns, of a file that is gone too: they tell a rename.
    dev: int
    ino: int
    ctime_ns: int
    #: When the file was made; known only of one that came by a rename, else 0.
    birth_ns: int


def ranged(sql: str, id_: int, record: Listing | Check | Verified) -> tuple[str, list[object]]:
    """A query of a directory's rows, cut down to the names that a record covers, in the order of names."""
    arguments: list[object] = [id_]
    for condition, bound in (("name > ?", record.after), ("name <= ?", record.upto)):
        if bound is not None:
            sql += " AND " + condition
            arguments.append(bound)
    return sql + " ORDER BY name", arguments


def bounds(path: bytes) -> tuple[bytes, bytes, bytes]:
    """(itself, lower, upper): everything below a directory sorts strictly between the last two."""
    if path == b"/":
        return path, b"/", b"0"
    return path, path + b"/", path + b"0"
