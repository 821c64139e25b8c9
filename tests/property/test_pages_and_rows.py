"""An index with pages and all short cuts against one that has nothing but rows: they hold the same of whatever shards say,
whatever names and stats there are, while groups come along, what is in scope changes, and either is opened again.

What an index answers to groups is also compared with what it has stored. Beside `test_plain`, which compares each short cut with
the general way, ticks included, this is about all of them together.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from entries import Entry, seen
from index_rows import pages, query

from shardwatch.aggregator.index import entries, page, plain
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.refit import Refit
from shardwatch.aggregator.index.resting import Resting
from shardwatch.aggregator.index.row import LEFT_OUT
from shardwatch.aggregator.index.scattered import Scattered, suits
from shardwatch.aggregator.storage.durability import TEMPORARY
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, INT_MAX, INT_MIN, LINK, Seen
from shardwatch.shard.contract.wire.frames import Check, Confirmed, Gone, Listing, Looks, Verified

SEEDS = int(os.environ.get("SW_INDEX_SEEDS", "25"))
#: The longest ones that there are, the first and the last of all, such as are no text, and the name of a directory.
NAMES = [
    b"a", b"b", b"c", b"dir", b"e", b"f", b"g", b"h", b"i", b"A", b" ", b"\x01", b"a\x01", b"a\xff", b"\xff\xff", b"\xff" * 255,
    b"a" * 255, "ä".encode(),
]  # fmt: skip
DIRECTORIES = [b"/r", b"/r/dir", b"/r/dir/a", b"/r/b", *(b"/s%d" % number for number in range(5))]
ODD_NUMBERS = [0, -5, INT_MAX, INT_MIN, 10**18, -(10**18)]
ALL = (
    "SELECT d.path, name, directory, kind, dev, ino, nlink, size, mtime_ns, ctime_ns, racy, lane, held, at_ns, birth_ns"
    " FROM every e JOIN directory d ON d.id=e.dir ORDER BY d.path, name, directory"
)

Step = Callable[[Index], object]


@contextlib.contextmanager
def nothing_but_rows() -> Iterator[None]:
    with (
        patch.multiple(page, ENTRIES_MIN=10**9),
        patch.multiple(plain, populate=lambda *a: None, rewrite=lambda *a, **b: None, rewrite_one=lambda *a, **b: None),
        patch.multiple(Resting, holds=lambda *a: False, settle=lambda *a: frozenset(), renewed=lambda *a: False),
        patch.object(Scattered, "rewrite", lambda self, records: (list(records), 0)),
    ):
        yield


class Said:
    """What shards say, at random."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._at = 0

    def _entry(self, name: bytes, *, odd: bool) -> Entry:
        chance = self._chance
        if odd and chance.random() < 0.25:
            return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)
        version = chance.choice(ODD_NUMBERS) if chance.random() < 0.15 else chance.randrange(1, 4)
        ino = 1 + NAMES.index(name) if chance.random() < 0.9 else chance.choice([0, 1, 2, INT_MAX])
        kind = chance.choice([FILE, LINK]) if odd else FILE
        changed = chance.choice([version, version, self._at])
        return (name, kind, chance.choice([1] * 9 + [-1]), ino, 1, version, version, changed, chance.random() < 0.1)

    def some(self, count: int | None = None) -> Seen:
        chance = self._chance
        names = chance.sample(NAMES, chance.randrange(len(NAMES)) if count is None else count)
        odd = chance.random() < 0.3
        return seen([self._entry(name, odd=odd) for name in sorted(names)])

    def step(self) -> Step:
        """The next step. It may be carried out several times."""
        self._at += 1
        chance, at = self._chance, self._at
        path, found, kind = chance.choice(DIRECTORIES), self.some(), chance.random()
        births = {name: 7 for name in found.names if chance.random() < 0.03}
        if kind < 0.3:
            after, upto = sorted(chance.sample(NAMES, 2)) if chance.random() < 0.3 else (None, None)
            part = found.chosen([(not after or name > after) and (not upto or name <= upto) for name in found.names])
            listing = Listing(path, at, *part, after, upto, {name: 7 for name in part.names if name in births})
            return lambda index: listed(index, listing)
        if kind < 0.45:
            looks = Looks(path, at, *found, [name for name in NAMES if name not in found.names and chance.random() < 0.1], births)
            return lambda index: index.records.looks(looks, ())
        if kind < 0.75:
            several = [Looks(one, at, *self.some(chance.choice([1, 1, 2, 5])), []) for one in chance.sample(DIRECTORIES, 6)]
            return lambda index: scattered(index, several)
        if kind < 0.8:
            return lambda index: index.records.gone(Gone(path, at), (b"/r/dir/a",))
        if kind < 0.9:
            return lambda index: index.records.verified(Verified(path, at, *found, None, None, found.names[:2]), ())
        return lambda index: index.records.confirmed(Confirmed(path, at, *found))


def listed(index: Index, listing: Listing) -> None:
    records = index.records
    if records.expects_first and records.first([listing]):
        return
    if not (records.expects_rest and records.held([listing])):
        records.listing(listing, ())


def scattered(index: Index, looks: Sequence[Looks]) -> None:
    ours = [one for one in looks if suits(one)]
    for left in index.records.scattered(ours) if index.records.are_scattered(ours) else ours:
        index.records.looks(left, ())


class Both:
    """The two of them, and what groups do with each, by the ticks that they had after the same steps."""

    def __init__(self, home: Path, chance: random.Random) -> None:
        self._home = home
        self._chance = chance
        lane_of = chance.choice([None, None, lambda path: len(path) % 3])
        self._usual = {
            "durability": TEMPORARY, "wall_ns": lambda: 1_000, "lane_of": lane_of, "directories": chance.random() < 0.3,
            "content_only": chance.random() < 0.2,
        }  # fmt: skip
        self._sizes: dict[str, Any] = {"ENTRIES_MIN": chance.choice([1, 2, 4]), "ENTRIES_MAX": chance.choice([4, 8, 256])}
        self._parts: dict[str, Any] = {"ROWS_AT_ONCE": chance.choice([3, 5, 10_000]), "_BY_NAME_MAX": chance.choice([1, 48])}
        self._groups: dict[int, int] = {}
        self.open()

    def open(self) -> None:
        self.paged, self.rows = (Index(self._home / name, **self._usual) for name in ("paged.db", "rows.db"))  # type: ignore[arg-type]
        self._moments = [self._ticks()]
        for index in (self.paged, self.rows):
            for group in self._groups:
                index.backlog.holders.place(group, index.tick, index.tick)
            for lane in (0, 1, 2, LEFT_OUT):
                index.backlog.note_handed(lane, index.tick)

    def _ticks(self) -> tuple[int, int]:
        return self.paged.tick, self.rows.tick

    def close(self, *, killed: bool = False) -> None:
        """`killed`: what was deferred is done again at the next start."""
        (self.paged.abandon if killed else self.paged.close)()
        self.rows.close()

    def each(self, step: Callable[[Index], object]) -> None:
        with patch.multiple(page, **self._sizes), patch.multiple(entries, **self._parts):
            paged = step(self.paged)
        with nothing_but_rows():
            assert step(self.rows) == paged
        self._moments.append(self._ticks())

    def say(self, step: Step, *, may_defer: bool) -> None:
        def committed(index: Index) -> object:
            index.begin()
            found = step(index)
            index.commit(may_defer=may_defer and index is self.paged)
            return sorted(found) if isinstance(found, list) else None

        self.each(committed)

    def move_a_group(self) -> None:
        """It begins, or comes to where everything had been said up to some moment, and perhaps goes back."""
        chance = self._chance
        group, lane = chance.choice([0, 1, 70]), chance.choice([0, 0, 1, 2, LEFT_OUT])
        reached, back = (chance.choice(self._moments) for _ in range(2))
        for index, tick, scan in zip((self.paged, self.rows), reached, back, strict=True):
            if group in self._groups:
                index.backlog.note_handed(lane, tick)
                index.backlog.holders.reach(group, lane, tick, scan if self._groups[group] % 4 == 0 else None)
            else:
                index.backlog.holders.place(group, tick, tick)
        self._groups[group] = self._groups.get(group, 0) + 1

    def collect(self) -> None:
        passed = dict(zip((self.paged, self.rows), self._chance.choice(self._moments), strict=True))
        self.each(lambda index: index.tombstones.collect(dict.fromkeys(index.backlog.lanes(), passed[index]), 1 << 62))

    def refit(self) -> None:
        """Some names are none of ours any more."""
        chance = self._chance
        out, forget, rows_ = set(chance.sample(NAMES, 4)), chance.random() < 0.3, chance.choice([1, 7, 1000])
        tops = chance.sample(DIRECTORIES, 2) if chance.random() < 0.4 else None

        def fitted(index: Index) -> int:
            work = Refit(index, lambda path, directory: os.path.basename(path) not in out, "new", forget=forget, tops=tops)
            while work.step(rows_):
                pass
            return work.left_out

        self.each(fitted)

    # -- what they say

    def compare(self) -> None:
        paged, rows = self.paged, self.rows
        assert query(paged, ALL) == query(rows, ALL)
        for ask in (
            lambda index: (index.files, index.directories, {path: sorted(names) for path, names in index.owed.items()}),
            lambda index: query(index, "SELECT path FROM directory ORDER BY path"),
            lambda index: index.backlog.lanes(),
            self._folded,
        ):
            assert ask(paged) == ask(rows)
        for path in DIRECTORIES:
            found = [
                [(row.kind, row.directory, row.size, row.held) for row in sorted(index.backlog.rows_of(path + b"/a\xff"))]
                for index in (paged, rows)
            ]
            assert sorted(found[0]) == sorted(found[1])
        self._compare_with_what_is_stored()

    @staticmethod
    def _folded(index: Index) -> list[int | None]:
        sql = "SELECT d.path, count(*) FROM every e JOIN directory d ON d.id=e.dir WHERE kind<>0 GROUP BY d.path"
        counts, tables = dict(query(index, sql)), index.tables
        return [
            tables.entries.folded(tables.directories.find(path), Check(path, 1, 0, counts.get(path, 0))) for path in DIRECTORIES
        ]

    def _compare_with_what_is_stored(self) -> None:
        chance, backlog = self._chance, self.paged.backlog
        for lane in backlog.lanes():
            sql = f"SELECT tick, name, size, mtime_ns, ino, at_ns, birth_ns FROM every WHERE lane={lane} ORDER BY tick"
            rows = query(self.paged, sql)
            limit, after, found = chance.choice([1, 3, 1000]), 0, []
            while True:
                portion = backlog.pending(lane, after, limit)
                found += [
                    (row.tick, os.path.basename(row.path), row.size, row.mtime_ns, row.ino, row.at_ns, row.birth_ns)
                    for row in portion.rows
                ]
                if portion.end:
                    break
                after = portion.upto
            assert found == rows
            stored = [row[0] for row in rows]
            some = [tick for tick in stored if chance.random() < 0.3]
            assert [row.tick for row in backlog.rows_at(lane, [*some, backlog.tick + 1])] == some
            at, upto, counted = chance.randrange(backlog.tick + 1), backlog.tick + 1, 0
            first = at
            while at < upto:
                more, at = backlog.count(lane, at, upto, limit)
                counted += more
            assert counted == sum(tick > first for tick in stored)
        for one in pages(self.paged):
            names = one.live_names()
            assert names == sorted(names)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pages_and_short_cuts_change_nothing(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    said, both = Said(chance), Both(tmp_path, chance)
    for _ in range(chance.randrange(3, 20)):
        what = chance.random()
        if what < 0.85:
            both.say(said.step(), may_defer=chance.random() < 0.5)
        elif what < 0.9:
            both.collect()
        elif what < 0.95:
            both.refit()
        else:
            both.close(killed=chance.random() < 0.5)
            both.open()
        if chance.random() < 0.6:
            both.move_a_group()
        both.compare()
    both.close()
