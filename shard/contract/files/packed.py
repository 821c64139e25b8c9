"""A stat, packed into a fixed number of bytes by whoever looks at a file. Does no input or output.

These bytes travel from the disk to the index. On the way they are cut and joined, and they are unpacked only where a field is
needed. The stats of several names are one `bytes`: `WIDTH` bytes for each name, in the order of the names.

A stat has eight fields, little-endian, and two zero bytes at the end:

| bytes | field | |
|---|---|---|
| 0–7 | `ino` | inode number; 0 if the filesystem invents the numbers |
| 8–15 | `size` | bytes |
| 16–23 | `mtime_ns` | time of modification, ns since 1970 |
| 24–31 | `ctime_ns` | time of change, ns since 1970 |
| 32–39 | `dev` | device number |
| 40–43 | `nlink` | number of names that the file has |
| 44 | `kind` | `FILE`, `DIRECTORY` or `LINK` |
| 45 | `racy` | 1 if the look came so soon after the change that an equal stat later proves nothing (`identity.racy`) |

Of a directory only the existence counts: all its bytes are zero but the kind (`A_DIRECTORY`). Values beyond a field's range are
limited to it. `identity` says which of the fields tell that two stats are of the same unchanged file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

FILE: Final = 1
DIRECTORY: Final = 2
LINK: Final = 3
#: What a look found where there is nothing, or nothing of ours (a FIFO, a socket, a device). These are never part of a record.
ABSENT: Final = 0
OTHER: Final = 4

#: The range of SQLite's integers, and of the large fields.
INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
#: The largest number of names.
NLINK_MAX: Final = (1 << 32) - 1

_STAT: Final = struct.Struct("<qqqqqIBBxx")
#: Bytes of one stat.
WIDTH: Final = 48
_DEV: Final = 32
_KIND: Final = 44
_RACY: Final = 45
_KINDS: Final = bytes((FILE, DIRECTORY, LINK))

#: (ino, size, mtime_ns, ctime_ns, dev, nlink, kind, racy).
Stat = tuple[int, int, int, int, int, int, int, int]

#: Takes the fields in their order. Raises struct.error for a value beyond the range of its field.
pack: Final[Callable[..., bytes]] = _STAT.pack
#: The fields of each of some stats. Raises struct.error if they are not whole.
unpack: Final[Callable[[bytes], Iterator[Any]]] = _STAT.iter_unpack

A_DIRECTORY: Final = pack(0, 0, 0, 0, 0, 0, DIRECTORY, 0)
NOTHING: Final = bytes(WIDTH)
ANOTHER: Final = pack(0, 0, 0, 0, 0, 0, OTHER, 0)


class Seen(NamedTuple):
    """Names of one directory, each once, and what a look showed of each: `WIDTH` bytes of `stats` per name."""

    names: list[bytes]
    stats: bytes

    def part(self, begin: int, end: int) -> Seen:
        """Those of the names from the place `begin` up to the place `end`, which is not in it."""
        if begin == 0 and end >= len(self.names):
            return self
        return Seen(self.names[begin:end], self.stats[begin * WIDTH : end * WIDTH])

    def chosen(self, flags: Sequence[object]) -> Seen:
        """Those of the names whose flag is true; there is one for each name."""
        if all(flags):
            return self
        return Seen(list(compress(self.names, flags)), b"".join(compress(pieces(self.stats), flags)))

    def by_name(self) -> dict[bytes, bytes]:
        """The stat of each name."""
        return dict(zip(self.names, pieces(self.stats), strict=True))


def pieces(stats: bytes) -> list[bytes]:
    """Each of these stats by itself."""
    return [stats[at : at + WIDTH] for at in range(0, len(stats), WIDTH)]


def joined(seen: Iterable[tuple[bytes, bytes]]) -> Seen:
    """These names with their stats, sorted."""
    both = sorted(seen)
    return Seen([name for name, _ in both], b"".join([stat for _, stat in both]))


def kinds(stats: bytes) -> bytes:
    """The kind of each of these stats, one byte for each."""
    return stats[_KIND::WIDTH]


def racies(stats: bytes) -> bytes:
    """1 for each of these stats that is racy, else 0; one byte for each."""
    return stats[_RACY::WIDTH]


def same(one: bytes, other: bytes) -> bool:
    """Whether two stats are equal in every field but `racy`."""
    return one[:_RACY] == other[:_RACY]


def are_whole(stats: bytes, count: int) -> bool:
    """Whether these bytes are the stats of so many names, as a record may contain them."""
    if len(stats) != count * WIDTH:
        return False
    # `strip` leaves nothing exactly if there is no other byte.
    rest = stats[_RACY + 1 :: WIDTH] + stats[_RACY + 2 :: WIDTH]
    return not (kinds(stats).strip(_KINDS) or racies(stats).strip(b"\0\1") or rest.strip(b"\0"))


def identifying(stats: bytes) -> bytes:
    """The same stats with zeros in place of what is not part of a file's identity: the device number, and `racy`."""
    masked, count = bytearray(stats), len(stats) // WIDTH
    # One number of eight bytes for each stat: quicker than eight times one byte.
    memoryview(masked).cast("q")[_DEV // 8 :: WIDTH // 8] = memoryview(bytes(8 * count)).cast("q")
    masked[_RACY::WIDTH] = bytes(count)
    return bytes(masked)
