"""The pure merge under random schedules: after any of them the rows are what was seen last, and what groups are handed adds
up to it. Rules 1, 3, 7, 8, 17, 18 and 20, without a disk."""

from __future__ import annotations

from typing import Any

from entries import Entry, seen
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.index.merge import merge
from shardwatch.aggregator.index.row import GONE, WRITTEN, Known
from shardwatch.aggregator.index.ticks import Ticks
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK

NAMES = (b"a", b"b", b"c", b"d")
#: What may be at a name: nothing, or (kind, version, racy).
Thing = tuple[int, int, bool] | None

thing = st.one_of(st.none(), st.tuples(st.sampled_from((FILE, FILE, LINK, DIRECTORY)), st.integers(1, 3), st.booleans()))
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
step = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(NAMES), thing),
    st.tuples(st.just("list"), st.none(), st.none()),
    st.tuples(st.just("range"), st.sampled_from((b"", *NAMES)), st.sampled_from(NAMES)),
    st.tuples(st.just("look"), names, st.none()),
    st.tuples(st.just("again"), st.none(), st.none()),
    st.tuples(st.just("pull"), st.integers(0, 1), st.integers(1, 3)),
)


def entry(name: bytes, kind: int, version: int, racy: bool) -> Entry:
    if kind == DIRECTORY:
        return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)
    return (name, kind, 1, version, 1, version, version, version, racy)


class Group:
    """A consumer that pulls rows in the order of ticks, and mirrors what it is told."""

    def __init__(self, bit: int) -> None:
        self.bit = bit
        self.cursor = 0
        self.mirror: set[tuple[bytes, int]] = set()
        #: How often it was told of a row that did not change meanwhile.
        self.told: dict[tuple[bytes, int], int] = {}

    def pull(self, model: Model, most: int) -> None:
        rows = sorted((r for r in model.rows.values() if r.lane is not None and r.tick > self.cursor), key=lambda r: r.tick)
        for row in rows[:most]:
            key = (row.name, row.directory)
            assert row.tick != self.told.get(key), "handed out twice without a change"
            self.told[key] = row.tick
            self.cursor = row.tick
            assert bool(row.held >> self.bit & 1) == (key in self.mirror), "the row knows who holds it"
            if row.kind == GONE:
                self.mirror.discard(key)
            else:
                self.mirror.add(key)
        model.ticks.note_handed(0, self.cursor)
        model.ticks.holders.reach(self.bit, 0, self.cursor)


class Model:
    """One directory, on the disk and in the index."""

    def __init__(self, *, directories: bool) -> None:
        self.directories = directories
        self.disk: dict[bytes, Thing] = dict.fromkeys(NAMES)
        self.rows: dict[tuple[bytes, int], Known] = {}
        self.ticks = Ticks(0)
        for bit in range(2):
            self.ticks.holders.place(bit, 0, 0)
        self.groups = (Group(0), Group(1))
        self.given: set[int] = set()
        self.counts = [0, 0]
        self.last: tuple[list[Entry], list[bytes], bool, bytes, bytes] = ([], [], False, b"", b"~")

    def seen(self, some: tuple[bytes, ...] | list[bytes]) -> list[Entry]:
        return [entry(n, *found) for n in sorted(some) if (found := self.disk[n]) is not None]

    def look(self, entries: list[Entry], absent: list[bytes], complete: bool, after: bytes, upto: bytes) -> None:
        self.last = (entries, absent, complete, after, upto)
        known = {k: r for k, r in self.rows.items() if after < r.name <= upto}
        before = self.ticks.last
        changes = merge(
            dict(known), seen(entries), absent, complete=complete, at=1, ticks=self.ticks, lane_of=0,
            directories_are_events=self.directories,
        )  # fmt: skip
        stamped = []
        for key in changes.forgotten:
            row = self.rows.pop(key)
            assert all(key not in g.mirror for g in self.groups), "forgotten, though somebody was handed it"
            assert row.kind != GONE
        for update in changes.updates:
            fields: dict[str, Any] = dict(zip(WRITTEN, update, strict=True))
            key = fields["name"], fields["directory"]
            row = self.rows[key]
            self.rows[key] = row._replace(**{field: fields[field] for field in Known._fields if field in fields})
            if fields["tick"] != row.tick:
                assert row.lane is not None
                assert self.ticks.seen(0, row.tick), "stamped anew before anybody was handed it"
                stamped.append(fields["tick"])
        for insert in changes.inserts:
            fields = dict(zip(WRITTEN, insert, strict=True))
            new = Known._make(fields[field] for field in Known._fields)
            self.rows[new.name, new.directory] = new
            if new.lane is not None:
                stamped.append(new.tick)
        assert sorted(stamped) == list(range(before + 1, self.ticks.last + 1)), "a tick was given twice, or for nothing"
        self.counts[0] += changes.files
        self.counts[1] += changes.directories

    def check_rows(self) -> None:
        """After a whole listing the rows are the disk."""
        living = {k: r.kind for k, r in self.rows.items() if r.kind != GONE}
        wanted = {(n, int(found[0] == DIRECTORY)): found[0] for n, found in self.disk.items() if found is not None}
        assert living == wanted
        files = sum(1 for _, about in living if not about)
        assert self.counts == [files, len(living) - files]


@given(st.lists(step, max_size=60), st.booleans())
def test_rows_and_mirrors_follow_the_disk(steps: list[tuple[str, Any, Any]], directories: bool) -> None:
    """Changes, looks, ranges, repetitions and pulls in any order; then a listing and a drain make everything equal."""
    model = Model(directories=directories)
    for what, one, other in steps:
        if what == "change":
            model.disk[one] = other
        elif what == "list":
            model.look(model.seen(NAMES), [], True, b"", b"~")
            model.check_rows()
        elif what == "range":
            after, upto = min(one, other), max(one, other)
            model.look(model.seen([n for n in NAMES if after < n <= upto]), [], True, after, upto)
        elif what == "look":
            model.look(model.seen(one), [n for n in one if model.disk[n] is None], False, b"", b"~")
        elif what == "again":
            model.look(*model.last)
        else:
            model.groups[one].pull(model, other)
    model.look(model.seen(NAMES), [], True, b"", b"~")
    model.check_rows()
    living = {k for k, r in model.rows.items() if r.kind != GONE and r.lane is not None}
    for group in model.groups:
        group.pull(model, 10**6)
        assert group.mirror == living


@given(st.dictionaries(st.sampled_from(NAMES), thing), st.booleans())
def test_a_second_look_at_the_same_changes_nothing(disk: dict[bytes, Thing], handed: bool) -> None:
    """Rule 3: duplicates and resends are harmless. Only what was racy is said once more."""
    model = Model(directories=True)
    model.disk.update(disk)
    model.look(model.seen(NAMES), [], True, b"", b"~")
    if handed:
        model.groups[0].pull(model, 100)
    before = dict(model.rows)
    model.look(model.seen(NAMES), [], True, b"", b"~")
    plain = [{k: r._replace(tick=0, held=0) for k, r in rows.items()} for rows in (model.rows, before)]
    assert plain[0] == plain[1]
    assert {k for k in before if model.rows[k].tick != before[k].tick} <= {k for k, r in before.items() if r.racy}
