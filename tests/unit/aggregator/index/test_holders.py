"""What a group is told of is what it was handed before: from the start, behind others, after a change of anything."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from entries import Entry, seen
from told_index import ToldIndex

from shardwatch.aggregator.groups.batch import GroupBatch
from shardwatch.aggregator.groups.failure import Failure
from shardwatch.aggregator.groups.group import Group
from shardwatch.aggregator.groups.lease_terms import LeaseTerms
from shardwatch.aggregator.index.holders import ALL, Holders, loaded, stored
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.protocol.messages import Event
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Listing, Looks

bits = count()
Told = list[tuple[str, str]]


class Tree:
    """Files in a real index, and groups over it."""

    def __init__(self, path: Path) -> None:
        self.index = Index(path)
        self.version = 0
        self.files: dict[str, Entry] = {}

    def write(self, *names: str) -> None:
        for name in names:
            self.version += 1
            ino = self.files[name][3] if name in self.files else 100 + self.version
            self.files[name] = (name.encode(), FILE, 1, ino, 1, self.version, self.version, 10 + self.version, False)
        self._looked([self.files[name] for name in names], [])

    def remove(self, *names: str) -> None:
        for name in names:
            del self.files[name]
        self._looked([], [name.encode() for name in names])

    def move(self, old: str, new: str) -> None:
        self.files[new] = (new.encode(), *self.files.pop(old)[1:])
        self._looked([self.files[new]], [old.encode()], {new.encode(): 1})

    def _looked(self, entries: list[Entry], absent: list[bytes], births: dict[bytes, int] | None = None) -> None:
        self.index.begin()
        if self.index.tick == 0:
            self.index.records.listing(Listing(b"/r", 1, *seen(entries)), [])
        else:
            self.index.records.looks(Looks(b"/r", 1, *seen(entries), absent, births or {}), [])
        self.index.commit()

    def group(self, *, now: bool = False, attempts_max: int = 5) -> Group:
        group = Group.new(1, "g", "t", 0.0, bit=next(bits), attempts_max=attempts_max)
        tick = self.index.tick if now else 0
        group.begin(self.index.backlog, tick, tick)
        return group

    def pull(self, group: Group, limit: int = 1000) -> Told:
        """One batch, acked; [] where there is none."""
        while isinstance(batch := group.pull(self.index.backlog, 0.0, limit, LeaseTerms(10.0, "w"), 64), str):
            if not group.unfinished:
                return []
        assert isinstance(batch, GroupBatch)
        group.ack(self.index.backlog, batch.number, 0.0)
        return [(e.event_type, e.path.removeprefix("/r/")) for e in batch.events if isinstance(e, Event)]

    def drain(self, group: Group, limit: int = 1000) -> Told:
        told: Told = []
        while some := self.pull(group, limit):
            told += some
        return told


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "index.db")
    made.write(*"abcd")
    return made


def _told(tree: Tree, group: Group, now: float = 1000.0) -> Told:
    """All that the group is told from then on, when every lease of before has ended; acked."""
    group.batches.expire(tree.index.backlog, now)
    told: Told = []
    while True:
        found = group.pull(tree.index.backlog, now, 1000, LeaseTerms(now + 10.0, "w"), 64)
        if isinstance(found, GroupBatch):
            told += [(e.event_type, e.path.removeprefix("/r/")) for e in found.events if isinstance(e, Event)]
            group.ack(tree.index.backlog, found.number, now)
        elif not group.unfinished:
            return told


def _leased(tree: Tree, group: Group) -> GroupBatch:
    """A batch that nobody acks."""
    batch = group.pull(tree.index.backlog, 0.0, 1000, LeaseTerms(10.0, "w"), 64)
    assert isinstance(batch, GroupBatch)
    return batch


def _attached(tree: Tree, group: Group, restart: bool) -> None:
    if restart:
        tree.index.backlog.holders.remove(group.mark.bit)
        group.attach(tree.index.backlog)


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_a_new_group_is_told_what_is_there_as_created(tree: Tree, limit: int) -> None:
    """The file b was modified, c deleted and d moved, as another group has heard."""
    tree.drain(tree.group())
    tree.write("b")
    tree.remove("c")
    tree.move("d", "d2")
    assert sorted(tree.drain(tree.group(), limit)) == [("created", "a"), ("created", "b"), ("created", "d2")]


def test_seven_thousand_files_after_a_long_life(tmp_path: Path) -> None:
    """Of a tree that was modified, moved and thinned out all the time a new group is told nothing but what is there."""
    tree = Tree(tmp_path / "index.db")
    names = [f"{n:04}" for n in range(7000)]
    tree.write(*names)
    old = tree.group()
    for n in range(0, 6000, 500):
        tree.pull(old, 700)
        tree.write(*names[n : n + 400])
        tree.remove(*names[n + 450 : n + 460])
        tree.drain(old)
        for name in names[n + 460 : n + 470]:
            tree.move(name, name + "x")
    told = tree.drain(tree.group(), 97)
    assert {kind for kind, _ in told} == {"created"}
    assert sorted(path for _, path in told) == sorted(tree.files)


def test_files_that_change_while_a_new_group_catches_up(tree: Tree) -> None:
    """What it has not come to is `created` in the state it then has, or not told at all; what it has is `modified`, `deleted`."""
    old, new = tree.group(), tree.group()
    tree.drain(old)
    assert tree.pull(new, 2) == [("created", "a"), ("created", "b")]
    tree.write("b", "c")
    tree.remove("a")
    tree.drain(old)
    tree.remove("d")
    tree.drain(old)
    tree.write("d")
    tree.drain(old)
    tree.write("d")
    assert sorted(tree.drain(new, 1)) == [("created", "c"), ("created", "d"), ("deleted", "a"), ("modified", "b")]
    assert tree.drain(old) == [("modified", "d")]


def test_a_file_that_came_and_went_behind_a_slow_group(tree: Tree) -> None:
    """A group that lags is not told of the end of what it was never handed, nor that it was modified."""
    old, slow = tree.group(), tree.group(now=True)
    tree.write("x", "y", "z")
    tree.drain(old)
    tree.write("y")
    assert tree.pull(slow, 1) == [("created", "x")]
    tree.drain(old)
    tree.remove("z")
    tree.write("y", "x")
    assert sorted(tree.drain(slow, 1)) == [("created", "y"), ("modified", "x")]


def test_moved_is_told_of_what_was_handed_under_the_old_path(tree: Tree) -> None:
    """To one that knew the old path; any other gets the new one as created."""
    old, new = tree.group(), tree.group()
    tree.drain(old)
    tree.pull(new, 1)
    tree.move("d", "e")
    tree.move("a", "f")
    assert sorted(tree.drain(old)) == [("moved", "e"), ("moved", "f")]
    assert sorted(tree.drain(new)) == [("created", "b"), ("created", "c"), ("created", "e"), ("moved", "f")]


def test_moved_from_a_path_whose_deletion_is_not_acked(tree: Tree) -> None:
    """Another file came to the path since, and went on: the group may still have the first one there."""
    group = tree.group()
    tree.drain(group)
    tree.remove("a")
    _leased(tree, group)
    tree.write("a")
    tree.move("a", "e")
    assert _told(tree, group) == [("moved", "e")]


def test_after_a_fresh_nothing_is_known(tree: Tree) -> None:
    """Also not what was deleted or modified in between."""
    old, group = tree.group(), tree.group()
    tree.drain(old)
    tree.drain(group)
    group.refresh("for a test")
    tree.index.backlog.holders.remove(group.mark.bit)
    tree.remove("a")
    tree.drain(old)
    tree.write("b")
    tree.pull(group)
    tree.remove("c")
    tree.drain(old)
    assert sorted(tree.drain(group, 1)) == [("created", "b"), ("created", "d")]


def test_a_group_with_the_bit_of_one_that_was_dropped(tree: Tree) -> None:
    """What rows say of the one before does not count for it."""
    first, other = tree.group(), tree.group()
    tree.drain(first)
    tree.drain(other)
    tree.write("a")
    tree.remove("b")
    tree.drain(other)
    tree.write("a")
    tree.index.backlog.holders.remove(first.mark.bit)
    successor = Group.new(2, "h", "u", 0.0, bit=first.mark.bit)
    successor.begin(tree.index.backlog, 0, 0)
    tree.remove("c")
    assert sorted(tree.drain(successor)) == [("created", "a"), ("created", "d")]


def test_a_thousand_groups_have_a_bit_each(tmp_path: Path) -> None:
    """Half of them lag: of a file that changes each half is told what is true for it."""
    tree = Tree(tmp_path / "index.db")
    tree.write("a", "b")
    groups = [Group.new(n, f"g{n}", "t", 0.0, bit=n) for n in range(1000)]
    for group in groups:
        group.begin(tree.index.backlog, 0, 0)
    for group in groups[::2]:
        tree.drain(group)
    tree.write("a")
    tree.remove("b")
    assert [tree.drain(group) for group in groups[::2]] == [[("modified", "a"), ("deleted", "b")]] * 500
    assert [tree.drain(group) for group in groups[1::2]] == [[("created", "a")]] * 500


@pytest.mark.parametrize("held", [0, 1, ALL, ~1, 1 << 62, ~(1 << 62), 1 << 63, ~(1 << 63), 1 << 999, ~(1 << 999)])
def test_what_is_stored_is_loaded(held: int) -> None:
    """As an integer where SQLite has room for it, else as bytes."""
    column = stored(held)
    assert isinstance(column, bytes) == (not -(1 << 63) < held < 1 << 63)
    assert loaded(column) == held


def test_a_row_says_all_or_none_where_that_is_so() -> None:
    """Else every row would grow with the number of groups."""
    holders = Holders()
    for bit in range(100):
        holders.place(bit, 0, 50)
    assert holders.superseded(0, 50, 0, there=True) == ALL
    assert holders.superseded(0, 50, ALL, there=False) == 0
    assert holders.superseded(0, 51, 0, there=True) == 0
    holders.reach(7, 0, 60)
    assert holders.superseded(0, 60, 0, there=True) == 1 << 7
    holders.remove(7)
    assert holders.superseded(0, 60, 1 << 7, there=True) == 0


def test_a_deletion_counts_for_each_group_once_that_has_acked_it() -> None:
    """Not where it will come to the row again; and what was noted of a stamp goes with it."""
    holders = Holders()
    for bit in range(3):
        holders.place(bit, 0, 50)
        holders.deletions_pending(bit, [(0, 7)])
    for bit in (1, 2):
        holders.acknowledged(bit, 0, [6, 7, 8])
    holders.reach(2, 0, 50, 5)
    held = holders.superseded(0, 7, ALL, there=False)
    assert [held >> bit & 1 for bit in range(3)] == [1, 0, 1]
    holders.reach(2, 0, 50)
    assert holders.superseded(0, 7, ALL, there=False) == 0


@pytest.mark.parametrize("change", [ToldIndex.put, ToldIndex.remove])
def test_what_a_seek_forward_gave_up_is_not_known(change: Callable[..., None]) -> None:
    """It was never handed out: its change is a creation, its end is not told; also after a start of the service."""
    index = ToldIndex()
    index.put(b"/r/a")
    group = Group.new(1, "g", "t", 0.0)
    group.begin(index, 0, 0)
    assert group.seek(index, index.tick)
    index.reopen()
    group.attach(index)
    change(index, b"/r/a")
    found = group.pull(index, 0.0, 10, LeaseTerms(10.0, "w"), 64)
    told = [e.event_type for e in found.events if isinstance(e, Event)] if isinstance(found, GroupBatch) else []
    assert told == (["created"] if change is ToldIndex.put else [])


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_a_deletion_that_was_never_acked_is_told_although_the_file_came_and_went_again(
    tree: Tree, restart: bool, other: bool
) -> None:
    """The worker died with the batch, and the row has another tick since: who had the file before is told that it is gone."""
    group = tree.group()
    groups = [group, tree.group()] if other else [group]
    for one in groups:
        tree.drain(one)
    tree.remove("a")
    assert isinstance(group.pull(tree.index.backlog, 0.0, 10, LeaseTerms(10.0, "w"), 64), GroupBatch)  # a lease that nobody acks
    for one in groups[1:]:
        assert tree.drain(one) == [("deleted", "a")]
    if restart:
        group.attach(tree.index.backlog)
    tree.write("a")
    tree.remove("a")
    group.batches.expire(tree.index.backlog, 20.0)
    while isinstance(batch := group.pull(tree.index.backlog, 100.0, 10, LeaseTerms(110.0, "w"), 64), str) and group.unfinished:
        pass
    assert isinstance(batch, GroupBatch)
    assert [(e.event_type, e.path) for e in batch.events if isinstance(e, Event)] == [("deleted", "/r/a")]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("end", ["ack", "release", "expire"])
def test_what_is_on_lease_is_held_although_a_seek_back_comes_to_it_again(tree: Tree, restart: bool, end: str) -> None:
    """The scan meets rows whose path is on lease, and they wait; nevertheless the group was handed them."""
    group = tree.group()
    batch = _leased(tree, group)
    group.seek(tree.index.backlog, 0)
    assert group.pull(tree.index.backlog, 0.0, 1000, LeaseTerms(10.0, "w"), 64) == "empty"
    _attached(tree, group, restart)
    if end == "ack":
        group.ack(tree.index.backlog, batch.number, 0.0)
    elif end == "release":
        group.batches.release(tree.index.backlog, batch.number, 0.0)
    tree.remove("a")
    tree.write("b")
    told = sorted(_told(tree, group))
    assert [(kind, path) for kind, path in told if path in "ab"] == [("deleted", "a"), ("modified", "b")]
    if end == "ack":  # else they are also told once more as they were
        assert told[2:] == [("modified", "c"), ("modified", "d")]


@pytest.mark.parametrize("restart", [False, True])
def test_a_deletion_that_waits_for_a_path_on_lease_is_not_told_yet(tree: Tree, restart: bool) -> None:
    """The file comes back and goes again meanwhile, and the lease ends without an ack: the group still holds it."""
    group = tree.group()
    tree.drain(group)
    tree.write("a")
    _leased(tree, group)
    tree.remove("a")
    tree.write("b")
    assert tree.pull(group) == [("modified", "b")]  # and the scan has passed the deletion
    _attached(tree, group, restart)
    tree.write("a")
    tree.remove("a")
    assert _told(tree, group) == [("deleted", "a")]


@pytest.mark.parametrize("restart", [False, True])
def test_a_deletion_that_a_seek_back_took_from_a_failed_batch(tree: Tree, restart: bool) -> None:
    """It is to be handed out once more; until that is acked the group holds the file."""
    group = tree.group()
    tree.drain(group)
    tree.remove("a")
    group.batches.release(tree.index.backlog, _leased(tree, group).number, 0.0)
    group.seek(tree.index.backlog, 0)
    _attached(tree, group, restart)
    tree.write("a")
    tree.remove("a")
    assert sorted(_told(tree, group)) == [("deleted", "a"), ("modified", "b"), ("modified", "c"), ("modified", "d")]


@pytest.mark.parametrize("restart", [False, True])
def test_a_deletion_that_is_set_aside_is_not_told_yet(tree: Tree, restart: bool) -> None:
    """It failed too often; then the file came back and went again."""
    group = tree.group(attempts_max=1)
    tree.drain(group)
    tree.remove("a")
    group.batches.nack(tree.index.backlog, _leased(tree, group).number, 0.0, Failure("for a test"))
    assert len(group.set_aside) == 1
    _attached(tree, group, restart)
    tree.write("a")
    tree.remove("a")
    assert _told(tree, group) == [("deleted", "a")]


@pytest.mark.parametrize("restart", [False, True])
def test_an_acked_deletion_counts(tree: Tree, restart: bool) -> None:
    """Of a file that came and went since then nothing is told."""
    group = tree.group()
    tree.drain(group)
    tree.remove("a")
    assert tree.pull(group) == [("deleted", "a")]
    _attached(tree, group, restart)
    tree.write("a")
    tree.remove("a")
    assert _told(tree, group) == []


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_given_up_is_held_once_it_is_handed_out(tree: Tree, restart: bool) -> None:
    """A group goes forward, past a to d, and back later: of these it holds what it has come to since then."""
    group = tree.group()
    group.seek(tree.index.backlog, 4)
    tree.write("e")
    assert tree.drain(group) == [("created", "e")]
    group.seek(tree.index.backlog, 0)
    _attached(tree, group, restart)
    tree.remove("a")
    assert tree.pull(group, 2) == [("created", "b"), ("created", "c")]
    _attached(tree, group, restart)
    tree.remove("b", "d")
    assert sorted(tree.drain(group)) == [("deleted", "b"), ("modified", "e")]


@pytest.mark.parametrize("restart", [False, True])
def test_a_seek_back_into_the_middle_of_what_was_given_up(tree: Tree, restart: bool) -> None:
    """What it is handed there is held from then on, what lies before it is not."""
    group = tree.group()
    group.seek(tree.index.backlog, 4)
    group.seek(tree.index.backlog, 2)
    assert tree.pull(group, 1) == [("created", "c")]
    _attached(tree, group, restart)
    tree.remove("a", "c")
    assert tree.drain(group) == [("created", "d"), ("deleted", "c")]


def test_a_priority_that_a_seek_forward_gave_up_unmet() -> None:
    """The group had not met a single row of it: it holds none of them."""
    index = ToldIndex()
    index.put(b"/r/a")
    group = Group.new(1, "g", "t", 0.0)
    group.begin(index, 0, 0)
    index.put(b"/r/b", lane=5)
    assert group.seek(index, index.tick)
    index.remove(b"/r/b")
    index.put(b"/r/c", lane=5)
    found = group.pull(index, 0.0, 10, LeaseTerms(10.0, "w"), 64)
    assert isinstance(found, GroupBatch)
    assert [(e.event_type, e.path) for e in found.events if isinstance(e, Event)] == [("created", "/r/c")]
