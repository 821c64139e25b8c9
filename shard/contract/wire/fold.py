"""Reduces the contents of a directory to one number, in the same way in shard and aggregator. Does no input or output.

With it, the comparison of an unchanged directory costs only a few bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from .frames import Entry

#: (name, kind, ino, nlink, size, mtime_ns, ctime_ns): of a stat what `identity` compares.
Folded = tuple[bytes, int, int, int, int, int, int]

_encode = msgspec.msgpack.Encoder().encode


def fold(rows: Sequence[Folded]) -> int:
    """One number for these names, sorted. Two that differ fold to the same once in four billion times."""
    return crc32(_encode(rows))


def folded(entries: Sequence[Entry]) -> int:
    """The same of entries, sorted by name."""
    return fold([(e[0], e[1], e[3], e[4], e[5], e[6], e[7]) for e in entries])
