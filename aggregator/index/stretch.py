"""Rows of one page as groups read them: a sequence of rows, of which no row is made before somebody wants it. Pure.

Events are made straight from its columns (`aggregator.groups.choice`), which takes less than half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple, overload

from shardwatch.shard.contract.files.packed import WIDTH, kinds

from .row import Row

_row_of: Final[Callable[[tuple[Any, ...]], Row]] = partial(tuple.__new__, Row)
_FIELDS: Final = WIDTH // 8


class Stretch(Sequence[Row]):
    """At least one row. All are of files or links that are there, in one directory and one lane, in the order of their ticks.

    Args:
        held: as of a `Row`.
        above: path of the directory, with a slash at its end.
        paths: all of them in that directory.
        stats: one packed stat for each path.
    """

    __slots__ = ("above", "at_ns", "held", "lane", "paths", "stats", "ticks")

    def __init__(
        self, lane: int, held: int, at_ns: int, above: bytes, paths: Sequence[bytes], ticks: Sequence[int], stats: bytes
    ) -> None:
        self.lane = lane
        self.held = held
        self.at_ns = at_ns
        self.above = above
        self.paths = paths
        self.ticks = ticks
        self.stats = stats

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> Stretch: ...
    def __getitem__(self, place: int | slice) -> Row | Stretch:
        if not isinstance(place, slice):
            begin = range(len(self))[place]
            return next(iter(self[begin : begin + 1]))
        begin, end, step = place.indices(len(self))
        assert step == 1  # nobody takes every second row
        return Stretch(
            self.lane, self.held, self.at_ns, self.above, self.paths[begin:end], self.ticks[begin:end],
            self.stats[begin * WIDTH : end * WIDTH],
        )  # fmt: skip

    def __iter__(self) -> Iterator[Row]:
        return map(_row_of, zip(
            self.ticks, repeat(self.lane), repeat(self.held), kinds(self.stats), repeat(0), self.paths,
            _column(self.stats, 1), _column(self.stats, 2), repeat(self.at_ns), _column(self.stats, 4), _column(self.stats, 0),
            _column(self.stats, 3), repeat(0), strict=False,
        ))  # fmt: skip


def paths_below(above: bytes, names: bytes, /) -> list[bytes]:
    """The paths of some names, which have a zero byte between two of them. `above`: the directory, with a slash at its end. Has a
    native twin (`shard.compiled`)."""
    return [above + name for name in names.split(b"\0")]


class Columns(NamedTuple):
    """What events are made of, of several stretches together, one of each for each row."""

    ticks: Sequence[int]
    paths: Sequence[bytes]
    sizes: Sequence[int]
    mtimes_ns: Sequence[int]
    #: Seconds since 1970.
    observed_at: Sequence[float]


def columns(stretches: Sequence[Stretch]) -> Columns:
    """Of some stretches, one after the other. It takes less time than of each alone."""
    ticks: list[int] = []
    paths: list[bytes] = []
    observed_at: list[float] = []
    for stretch in stretches:
        ticks += stretch.ticks
        paths += stretch.paths
        observed_at += [stretch.at_ns / 1e9] * len(stretch.paths)
    words = _words(b"".join([stretch.stats for stretch in stretches]))
    return Columns(ticks, paths, words[1::_FIELDS], words[2::_FIELDS], observed_at)


def columns_of(rows: Sequence[Row]) -> Columns | None:
    """The same of rows that are by themselves, one at least; None if not all are of files or links that are there, or not all
    note the same groups."""
    ticks, _, held, kinds_, directory, paths, sizes, mtimes_ns, at_ns, *_ = zip(*rows, strict=True)
    if held.count(held[0]) < len(held) or 0 in kinds_ or 1 in directory:
        return None
    return Columns(ticks, paths, sizes, mtimes_ns, [at / 1e9 for at in at_ns])


def _column(stats: bytes, field: int) -> list[int]:
    """The field with this number of each stat, of the five whose width is eight bytes."""
    return _words(stats)[field::_FIELDS].tolist()


def _words(stats: bytes) -> memoryview[int]:
    """The stats as integers of eight bytes. The last one of each stat is made of several fields."""
    return memoryview(stats).cast("q")
