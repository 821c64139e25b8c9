"""A walk through the entries, in portions between which others may change them: through all of them, or what lies at and below
some paths."""

from __future__ import annotations

import os
from collections.abc import Sequence

from shardwatch.shard.contract.files.paths import is_below

from .entries import Relocatable
from .tables import Tables

#: Before the first entry of a directory, in the order of the walk.
_BEGIN = (b"", -1)


class Walk:
    """Used up by one walk.

    Args:
        tops: the paths; None: all entries.
    """

    def __init__(self, tables: Tables, tops: Sequence[bytes] | None = None) -> None:
        self._tables = tables
        self._all = tops is None
        #: Each entry has its turn once: none of them lies below another.
        self._tops = [top for top in tops or () if not any(other != top and is_below(top, other) for other in tops or ())]
        #: Where it is, in a directory: its id, and the last entry.
        self._after = (0, *_BEGIN)
        #: The directory below the path in turn that it is in, or was in last; None: it has not begun with that path.
        self._directory: bytes | None = None
        self._within = False

    def take(self, limit: int) -> tuple[list[Relocatable], bool]:
        """The next entries, `limit` of them at most and perhaps none, and whether there may be more."""
        if self._all:
            found = self._tables.entries.onward(self._after, limit)
            self._note(found)
            return found, len(found) >= limit
        found = []
        left = limit
        while self._tops and left > 0:
            left -= 1  # a step to another directory counts as an entry: each is a question
            if self._directory is None:
                found += self._entry_of(self._tops[0])
            if not self._within and not self._go_on():
                self._tops.pop(0)
                self._directory = None
                continue
            some = self._tables.entries.onward(self._after, max(1, left), upto=self._after[0])
            self._note(some)
            self._within = len(some) >= max(1, left)
            left -= len(some)
            found += some
        return found, bool(self._tops)

    def _note(self, found: list[Relocatable]) -> None:
        if found:
            id_, _, row, _ = found[-1]
            self._after = (id_, row.name, row.directory)

    def _go_on(self) -> bool:
        """Goes on to the next directory at or below the path in turn; False if there is none."""
        found = self._tables.directories.next_below(self._tops[0], self._directory)
        if found is None:
            return False
        id_, self._directory = found
        self._after = (id_, *_BEGIN)
        return True

    def _entry_of(self, path: bytes) -> list[Relocatable]:
        """What is known of the path itself, in the directory above it."""
        above, name = os.path.split(path)
        id_ = self._tables.directories.find(above) if name else None
        if id_ is None:
            return []
        rows = self._tables.entries.named(id_, [name])
        return [
            Relocatable(id_, above, row, None if row.directory else rows.places.get(name))
            for (known, _), row in rows.items()
            if known == name
        ]
