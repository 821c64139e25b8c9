"""What a look at a name showed, field by field, as tests write it down; and as the product has it, packed."""

from __future__ import annotations

from collections.abc import Iterable

from shardwatch.shard.contract.files.packed import Seen, pack

#: (name, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy): one lstat.
Entry = tuple[bytes, int, int, int, int, int, int, int, bool]


def seen(entries: Iterable[Entry]) -> Seen:
    """The same, packed, in the same order."""
    found = list(entries)
    stats = b""
    for _, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy in found:
        stats += pack(ino, size, mtime_ns, ctime_ns, dev, nlink, kind, racy)
    return Seen([entry[0] for entry in found], stats)
