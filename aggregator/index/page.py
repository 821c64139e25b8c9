"""A page: entries of one directory that are at rest, packed. Pure.

An entry of the index is either in a row (`row`) or in a page, never in both. A page holds only what is simple: files and links
with one name each, which are events, which no racy look showed, and of which no group has to be told that they are gone.
Whatever changes by itself leaves its page and becomes a row. An entry never comes into a page that exists: a page only shrinks,
is replaced as a whole, or goes with its last entry. So it is never split and never merged with another.

What all entries of a page have in common is said once:

- `dir`, `lane`, `held`, `at_ns`: as of a row.
- `base`: entry i has the tick `base + i`, so ticks rise with the names.

And of the entries themselves:

- `names`: in ascending order, with a zero byte between two of them.
- `stats`: one packed stat for each name (`shard.contract.files.packed`). They are stored in less room (`condensed`).
- `live`: one byte for each name: 1 while the entry is in the page, 0 after it has become a row.

The others follow from these, and lead to the page: `first` and `last` are the names of the first and the last live entry, `tick`
is the tick of the last one. Pages of one directory do not overlap: from `first` to `last` of one there is no live entry of
another. Nor do the ticks of any two pages.

`crc` is of all the other columns but `id`, with the stats as they are in memory. A page that does not agree with it is damaged.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, count
from operator import eq
from typing import Any, Final, NamedTuple
from zlib import crc32

from shardwatch.shard.compiled.choice import native
from shardwatch.shard.contract.files.packed import FILE, LINK, WIDTH, Seen, identifying, pack, pieces, unpack

from .holders import loaded
from .row import Known, Written
from .stretch import Stretch, paths_below

#: Entries of a page at most, and those that are worth a page at least: fewer cost less as rows.
ENTRIES_MAX: Final = 256
ENTRIES_MIN: Final = 4
#: A page of which no more than one of so many entries is live is emptied: where so many of them have changed one by one the
#: others mostly do so too, and an entry that leaves by itself costs as much as two or three that leave together.
SPARSE: Final = 2

#: A checksum has always the same length, so that a page that shrinks in its middle stays as long as it is in the file.
CRC_BYTES: Final = 4
_DEV: Final = 32
_DEVICE: Final = struct.Struct("<q")
#: The last eight bytes of a stat: number of names, kind, and whether it is racy.
_LAST_WORD: Final = 5
_RESTING: Final = frozenset(int.from_bytes(pack(0, 0, 0, 0, 0, 1, kind, 0)[8 * _LAST_WORD :], "little") for kind in (FILE, LINK))
#: dir, lane, base, tick, at_ns, `held` where it is an integer.
_HEAD: Final = struct.Struct("<qqqqqq")
_paths_below: Final = native(paths_below)
_known_of: Final[Callable[[tuple[Any, ...]], Known]] = partial(tuple.__new__, Known)


class Page(NamedTuple):
    """One page, as it is stored, apart from the room that its stats take."""

    #: 0 before it is stored.
    id: int
    dir: int
    first: bytes
    last: bytes
    lane: int
    base: int
    tick: int
    #: As `holders.stored` has it.
    held: int | bytes
    at_ns: int
    live: bytes
    crc: bytes
    names: bytes
    stats: bytes

    @property
    def whole(self) -> bool:
        """Whether all entries are live."""
        return 0 not in self.live

    def places(self) -> Sequence[int]:
        """Where the live entries are."""
        return range(len(self.live)) if self.whole else list(compress(count(), self.live))

    def live_names(self) -> list[bytes]:
        names = self.names.split(b"\0")
        return names if self.whole else list(compress(names, self.live))

    def live_stats(self) -> list[bytes]:
        stats = pieces(self.stats)
        return stats if self.whole else list(compress(stats, self.live))

    def place(self, name: bytes) -> int | None:
        """Where the live entry of this name is; None if there is none."""
        names = b"\0%b\0" % self.names
        at = names.find(b"\0%b\0" % name)
        if at < 0:
            return None
        place = names.count(b"\0", 0, at)
        return place if self.live[place] else None

    def places_in(self, after: bytes | None, upto: bytes | None) -> Sequence[int]:
        """Where the live entries after one name and up to another are; None is open."""
        if (after is None or after < self.first) and (upto is None or self.last <= upto):
            return self.places()
        first = after or b""
        named = zip(self.places(), self.live_names(), strict=True)
        return [place for place, name in named if first < name and (upto is None or name <= upto)]

    def device(self, place: int) -> int:
        """The number of the device of the entry at this place."""
        (device,) = _DEVICE.unpack_from(self.stats, place * WIDTH + _DEV)
        return int(device)

    def entry(self, place: int, name: bytes) -> tuple[Any, ...]:
        """The entry at this place, which has this name: the columns of `row.KNOWN`."""
        at = place * WIDTH
        return (name, 0, *next(unpack(self.stats[at : at + WIDTH])), self.lane, self.base + place, self.held)

    def known(self, places: Sequence[int]) -> list[Known]:
        """The entries at these places, as records are compared with them."""
        names, held = self.names.split(b"\0"), loaded(self.held)
        stats = b"".join([self.stats[place * WIDTH : (place + 1) * WIDTH] for place in places])
        return [
            _known_of((names[place], 0, *stat, self.lane, self.base + place, held))
            for place, stat in zip(places, unpack(stats), strict=True)
        ]

    def stretch(self, path: bytes, after: int = 0) -> Stretch:
        """See `stretch_of`."""
        return stretch_of(self, path, after)

    def written(self, places: Sequence[int]) -> list[Written]:
        """The entries at these places, as the rows that they become."""
        return [(*known[:-1], self.held, self.at_ns, 0) for known in self.known(places)]

    def without(self, places: Iterable[int]) -> Page | None:
        """What is left when these entries have become rows; None if nothing is."""
        left = bytearray(self.live)
        for place in places:
            left[place] = 0
        begin, end = left.find(1), left.rfind(1)
        if begin < 0:
            return None
        id_, dir_, first, last, lane, base, tick, held, at_ns, live, _, names, stats = self
        if live.find(1) != begin or live.rfind(1) != end:
            each = names.split(b"\0")
            first, last, tick = each[begin], each[end], base + end
        return page_of((id_, dir_, first, last, lane, base, tick, held, at_ns, bytes(left), b"", names, stats)).sealed()

    def sparse(self) -> bool:
        """Whether so few entries are live that it costs more than rows would."""
        return self.live.count(1) * SPARSE <= len(self.live)

    def again(self, stats: bytes, *, base: int, held: int | bytes, at_ns: int) -> Page:
        """A whole page of which every entry has got another stat."""
        id_, dir_, first, last, lane, _, _, _, _, live, _, names, _ = self
        tick = base + len(live) - 1
        return page_of((id_, dir_, first, last, lane, base, tick, held, at_ns, live, b"", names, stats)).sealed()

    def sealed(self) -> Page:
        """The page with the checksum of its other fields."""
        id_, dir_, first, last, lane, base, tick, held, at_ns, live, _, names, stats = self
        return page_of((id_, dir_, first, last, lane, base, tick, held, at_ns, live, _checksum(self), names, stats))


def stretch_of(fields: tuple[Any, ...], path: bytes, after: int = 0) -> Stretch:
    """The live entries with later ticks than `after`, of which there is one, as groups read them.

    Args:
        fields: of a `Page`. To make one of them is not worth it for each page that is read.
        path: the directory.
    """
    above = path if path == b"/" else path + b"/"
    _, _, _, _, lane, base, _, held, at_ns, live, _, names, stats = fields
    paths: Sequence[bytes] = _paths_below(above, names)
    ticks: Sequence[int] = range(base, base + len(live))
    if 0 in live:
        paths, ticks = list(compress(paths, live)), list(compress(ticks, live))
        stats = b"".join(compress(pieces(stats), live))
    found = Stretch(lane, held if type(held) is int else loaded(held), at_ns, above, paths, ticks, stats)
    return found if after < ticks[0] else found[bisect_right(ticks, after) :]


def worth(entries: int) -> bool:
    """Whether so many entries, or more, may cost less in a page than as rows."""
    return entries >= ENTRIES_MIN


def makes_one(entries: int) -> bool:
    """Whether so many entries are worth a page, and fit into one."""
    return ENTRIES_MIN <= entries <= ENTRIES_MAX


page_of: Final[Callable[[Any], Page]] = partial(tuple.__new__, Page)
#: The columns of a `Page`, for a SELECT.
COLUMNS: Final = ", ".join(f"p.{field}" for field in Page._fields)


def make(dir_: int, lane: int, base: int, held: int | bytes, at_ns: int, names: Sequence[bytes], stats: bytes) -> Page:
    """A page of these entries, which are sorted by name."""
    tick = base + len(names) - 1
    live, joined = b"\1" * len(names), b"\0".join(names)
    return page_of((0, dir_, names[0], names[-1], lane, base, tick, held, at_ns, live, b"", joined, stats)).sealed()


def populated(dir_: int, base: int, at_ns: int, seen: Seen) -> Iterator[Page]:
    """The pages of files that were never seen before, in lane 0; the first one has the tick `base`. `seen`: sorted by name."""
    for begin in range(0, len(seen.names), ENTRIES_MAX):
        some = seen.part(begin, begin + ENTRIES_MAX)
        yield make(dir_, 0, base + begin, 0, at_ns, *some)


def checksum(fields: tuple[Any, ...], /) -> bytes:
    """The checksum of a page with these fields, whatever the one among them is. Has a native twin (`shard.compiled`).

    Raises TypeError, OverflowError or struct.error if one of them is none of a page.
    """
    _, dir_, first, last, lane, base, tick, held, at_ns, live, _, names, stats = fields
    bits, wide = (held, b"") if isinstance(held, int) else (0, held)
    head = _HEAD.pack(dir_, lane, base, tick, at_ns, bits)
    return crc32(b"\0".join((head, wide, live, first, last, names, stats))).to_bytes(CRC_BYTES, "little")


_checksum: Final = native(checksum)


def can_rest(stats: bytes) -> bool:
    """Whether all files with these stats may be in a page: each is a file or a link with one name, and was not seen too early."""
    return _RESTING.issuperset(memoryview(stats).cast("q")[_LAST_WORD :: WIDTH // 8].tolist())


def all_differ(one: bytes, other: bytes) -> bool:
    """Whether every one of these stats has another time of change than the one at its place in `other`."""
    return not any(map(eq, _ctimes(one), _ctimes(other)))


def inode_numbers(stats: bytes) -> list[int]:
    """The inode number of each of these stats."""
    return memoryview(stats).cast("q")[:: WIDTH // 8].tolist()


def _ctimes(stats: bytes) -> list[int]:
    return memoryview(stats).cast("q")[3 :: WIDTH // 8].tolist()


def renumbered(one: bytes, other: bytes) -> bool:
    """Whether each of these stats differs from the one at its place in `other`, but only in what is not part of a file's
    identity: as after a reboot."""
    return identifying(one) == identifying(other) and not any(map(eq, pieces(one), pieces(other)))


def paged(dir_: int, written: Iterable[Written]) -> Iterator[tuple[Page, list[Written]]]:
    """The pages that some rows of a directory can become, each with its rows: their ticks follow one another as their names do,
    and all else that a page says once is the same.

    Args:
        written: in the order of names.
    """
    run: list[Written] = []
    common: object = None
    for row in written:
        _, directory, _, _, _, _, _, nlink, kind, racy, lane, tick, held, at_ns, birth_ns = row
        if directory or nlink != 1 or racy or birth_ns or lane is None or kind not in (FILE, LINK):
            continue
        if run and ((lane, held, at_ns, tick - len(run)) != common or len(run) == ENTRIES_MAX):
            yield from _page_of(dir_, run)
            run = []
        if not run:
            common = (lane, held, at_ns, tick)
        run.append(row)
    yield from _page_of(dir_, run)


def _page_of(dir_: int, run: list[Written]) -> Iterator[tuple[Page, list[Written]]]:
    if not worth(len(run)):
        return
    *_, lane, base, held, at_ns, _ = run[0]
    assert lane is not None
    stats = b"".join([pack(*row[2:10]) for row in run])
    yield make(dir_, lane, base, held, at_ns, [row[0] for row in run], stats), run
