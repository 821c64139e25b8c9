"""Whatever is in pages: the same records, hand-outs, collections, ends and crashes leave the same rows as without pages, and
groups read the same."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from entries import Entry, seen
from index_rows import query

from shardwatch.aggregator.index import file, page
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.row import Row
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK
from shardwatch.shard.contract.wire.frames import Confirmed, Gone, Listing, Looks, Verified

NAMES = sorted([*(b"n%02d" % number for number in range(14)), b"d1", b"d2"])
DIRECTORIES = [b"/r", b"/r/d1", b"/r/d2", b"/r/d1/d2"]
#: Steps of one run.
STEPS = 25
#: No directory of a test has so many entries.
NEVER = 10**9


class Disk:
    """What is in some directories, and what shards say of it."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._there: dict[bytes, dict[bytes, Entry]] = {directory: {} for directory in DIRECTORIES}
        self._version = 10
        self._at = 100

    def step(self) -> Any:
        """A record, several of them (a list), or what else happens: (what, which group, how far)."""
        dice, directory = self._dice, self._dice.choice(DIRECTORIES)
        self._at += 1
        kinds = [self.listing, self.looks, self.confirmed, self.verified, self.gone]
        (said,) = dice.choices(kinds, [28, 36, 4, 4, 2])
        if dice.random() < 0.75:
            return said(directory)
        return dice.choice(["hand", "hand", "collect", "end", "kill"]), dice.randrange(2), dice.random()

    def listing(self, directory: bytes) -> Listing:
        dice, there = self._dice, self._there[directory]
        names = list(there) if dice.random() < 0.6 else dice.sample(NAMES, dice.choice([0, 3, 8, 12, len(NAMES)]))
        found = {name: there[name] if name in there and dice.random() < 0.8 else self._entry(name) for name in names}
        after, upto = sorted(dice.sample(NAMES, 2)) if dice.random() < 0.3 else (None, None)
        inside = [name for name in NAMES if (after is None or after < name) and (upto is None or name <= upto)]
        for name in inside:
            there.pop(name, None)
        there.update({name: found[name] for name in inside if name in found})
        some = [found[name] for name in inside if name in found]
        return Listing(directory, self._at, *seen(some), after, upto, self._births(some))

    def looks(self, directory: bytes) -> Looks | list[Looks]:
        if self._dice.random() < 0.3:
            return self._scattered()
        dice, there = self._dice, self._there[directory]
        names = dice.sample(NAMES, dice.choice([1, 1, 2, 4, 6, 12]))
        if dice.random() < 0.4:
            names = sorted(there)[: dice.choice([4, 8, 16])] or names
        absent = [name for name in names if dice.random() < 0.05]
        some = [self._entry(name) for name in sorted(names) if name not in absent]
        for name in absent:
            there.pop(name, None)
        there.update({one[0]: one for one in some})
        return Looks(directory, self._at, *seen(some), absent, self._births(some))

    def _scattered(self) -> list[Looks]:
        """A few known files of each directory."""
        records = []
        for directory in self._dice.sample(DIRECTORIES, len(DIRECTORIES)):
            there = self._there[directory]
            names = sorted(self._dice.sample(sorted(there), min(len(there), self._dice.choice([1, 1, 2, 3]))))
            there.update({name: self._entry(name) for name in names})
            records += [Looks(directory, self._at, *seen([there[name]]), []) for name in names]
        return records

    def confirmed(self, directory: bytes) -> Confirmed:
        there = self._there[directory]
        some = [(*one[:8], False) for _, one in sorted(there.items()) if one[1] != DIRECTORY and self._dice.random() < 0.6]
        there.update({one[0]: one for one in some})
        return Confirmed(directory, self._at, *seen(some))

    def verified(self, directory: bytes) -> Verified:
        there = self._there[directory]
        hinted = [name for name in there if self._dice.random() < 0.2]
        return Verified(directory, self._at, *seen(sorted(there.values())), None, None, hinted)

    def gone(self, directory: bytes) -> Gone:
        for other in DIRECTORIES:
            if other == directory or other.startswith(directory + b"/"):
                self._there[other] = {}
        return Gone(directory, self._at)

    def _entry(self, name: bytes) -> Entry:
        dice = self._dice
        if name.startswith(b"d") and dice.random() < 0.8:
            return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)
        self._version += 1
        version = dice.choice([self._version, self._version, 1, 2, 3])
        ino = dice.randrange(1, 30) if dice.random() < 0.1 else NAMES.index(name) + 1
        kind, dev, nlink = LINK if dice.random() < 0.05 else FILE, 1 + (dice.random() < 0.03), 1 + (dice.random() < 0.04)
        return (name, kind, dev, ino, nlink, version, version, version, dice.random() < 0.1)

    def _births(self, some: Sequence[Entry]) -> dict[bytes, int]:
        return {one[0]: self._dice.randrange(1, 5) for one in some if one[1] != DIRECTORY and self._dice.random() < 0.03}


class Told:
    """One index, which is told all steps, with two groups that have come to different places."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._path, self._options = path, options
        self.lanes = (0, 5) if options["lane_of"] else (0,)
        self._reached = [0, 0]
        self._open()

    def _open(self) -> None:
        self.index = Index(self._path, wall_ns=lambda: 10**6, **self._options)
        for bit, reached in enumerate(self._reached):
            self.index.backlog.holders.place(bit, 0, 0)
            self._reach(bit, reached)

    def _reach(self, bit: int, tick: int) -> None:
        self._reached[bit] = max(tick, self._reached[bit])
        for lane in self.lanes:
            self.index.backlog.note_handed(lane, self._reached[bit])
            self.index.backlog.holders.reach(bit, lane, self._reached[bit])

    def take(self, step: Any, *, defer: bool) -> None:
        if isinstance(step, tuple):
            self._go_on(*step)
            return
        records = self.index.records
        self.index.begin()
        if isinstance(step, Gone):
            records.gone(step, ())
        elif isinstance(step, Confirmed):
            records.confirmed(step)
        elif isinstance(step, Verified):
            records.verified(step, ())
        elif isinstance(step, Listing):
            records.listing(step, ())
        else:
            some = step if isinstance(step, list) else [step]
            for record in records.scattered(some) if records.are_scattered(some) else some:
                records.looks(record, ())
        self.index.commit(may_defer=defer)

    def _go_on(self, what: str, bit: int, how_far: float) -> None:
        if what == "hand":  # all of it: in which order files of one transaction got their ticks may differ
            self._reach(bit, self.index.tick)
        elif what == "collect":
            self.index.commit_deferred()
            self.index.tombstones.collect(dict.fromkeys(self.lanes, int(min(self._reached) * (how_far > 0.3))), 10**9)
        else:
            (self.index.close if what == "end" else self.index.abandon)()
            self._open()

    def outcome(self) -> Iterator[object]:
        """What is there; and what groups read is the same, however they read it."""
        index = self.index
        while index.debts.searching:
            index.debts.search(index.begin, index.commit)
        rows = query(index, "SELECT d.path, e.* FROM every e JOIN directory d ON d.id=e.dir ORDER BY d.path, name, directory")
        yield [(row[0], *row[2:13], *row[14:]) for row in rows]  # without the directory's id and the tick
        yield index.files, index.directories, index.tick, {path: sorted(names) for path, names in index.owed.items()}
        yield index.backlog.lanes()
        for lane in self.lanes:
            yield sorted(row[1:] for row in self._read(lane))

    def _read(self, lane: int) -> list[Row]:
        backlog = self.index.backlog
        found = backlog.pending(lane, 0, 10**6).rows
        ticks = [row.tick for row in found]
        assert ticks == sorted(set(ticks))
        for reached in self._reached:
            assert backlog.pending(lane, reached, 10**6).rows == [row for row in found if row.tick > reached]
        assert backlog.rows_at(lane, ticks) == found
        assert backlog.count(lane, 0, self.index.tick + 1, 1_000).rows == len(found)
        return found


@pytest.mark.parametrize("seed", range(24))
def test_an_index_with_pages_says_what_one_without_pages_says(seed: int) -> None:
    """Also under other settings; the one with pages may defer its commits."""
    dice = random.Random(seed)
    disk = Disk(dice)
    options = {
        "content_only": seed % 4 == 1, "directories": seed % 3 == 1,
        "lane_of": (lambda path: 5 * (sum(path) % 3 == 0)) if seed % 5 == 1 else None,
    }  # fmt: skip
    least = dice.randint(1, 4)
    with tempfile.TemporaryDirectory() as home, patch.object(file, "TICKS_RESERVED", 200):
        paged, plain = Told(Path(home, "paged.db"), **options), Told(Path(home, "plain.db"), **options)
        for step in [disk.step() for _ in range(STEPS)]:
            defer = dice.random() < 0.5
            with patch.multiple(page, ENTRIES_MIN=least, ENTRIES_MAX=max(least, 6)):
                paged.take(step, defer=defer)
                found = list(paged.outcome())
            with patch.multiple(page, ENTRIES_MIN=NEVER, ENTRIES_MAX=NEVER):
                plain.take(step, defer=False)
                assert found == list(plain.outcome()), step
        paged.index.abandon()
        plain.index.abandon()
