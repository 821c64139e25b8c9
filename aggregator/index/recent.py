"""Counts where files have changed since a tick, in the index of a running service, from another process."""

from __future__ import annotations

from collections import Counter
from typing import Final

from .reading import IndexReader

#: Rows, and pages, that are counted at most, the latest first: what has changed last says where most changes are.
ROWS_MAX: Final = 20_000
_ROWS: Final = "SELECT dir, 1 FROM entry WHERE lane=? AND tick>? ORDER BY tick DESC LIMIT ?"
_PAGES: Final = "SELECT dir, length(live) FROM page WHERE lane=? AND tick>? ORDER BY tick DESC LIMIT ?"
#: Directories whose paths one query reads.
_PATHS: Final = 500


def changed_since(reader: IndexReader, tick: int, rows_max: int = ROWS_MAX) -> dict[bytes, int]:
    """How many files of each directory have changed since a tick: the latest `rows_max`, and about as many in pages. A file that
    changed often counts once; one that changed again before any group was handed it does not count again.

    Raises ServiceError if the index can't be read.
    """
    counts: Counter[int] = Counter()
    for lane in _lanes(reader):
        for sql in (_ROWS, _PAGES):
            for id_, files in reader.select(sql, lane, tick, rows_max):
                counts[id_] += files
    found: dict[bytes, int] = {}
    ids = sorted(counts)
    for begin in range(0, len(ids), _PATHS):
        some = ids[begin : begin + _PATHS]
        marks = ",".join("?" * len(some))
        for id_, path in reader.select(f"SELECT id, path FROM directory WHERE id IN ({marks})", *some):
            found[path] = counts[id_]
    return found


def _lanes(reader: IndexReader) -> list[int]:
    """The lanes in which there is anything, without reading all of it."""
    lanes: set[int] = set()
    for table in ("entry", "page"):
        ((lane,),) = reader.select(f"SELECT min(lane) FROM {table}")
        while lane is not None:
            lanes.add(lane)
            ((lane,),) = reader.select(f"SELECT min(lane) FROM {table} WHERE lane>?", lane)
    return sorted(lanes)
