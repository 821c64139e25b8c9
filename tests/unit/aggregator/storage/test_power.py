"""Durability `power`: what was acked is there after the machine lost its power. And do these tests notice when it is not?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import rows
from entries import Entry, seen
from harness_serve import Bench
from power import Disk

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index import file
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.server.serve import Server
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Listing

MakeDisk = Callable[..., Disk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Disks, each in a directory of its own, closed at the end."""
    made: list[Disk] = []

    def make(**options: Callable[[str], bool]) -> Disk:
        directory = tmp_path / f"disk{len(made)}"
        directory.mkdir()
        made.append(Disk(directory, **options))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


def _entry(name: int, size: int) -> Entry:
    return (b"%06d.json" % name, FILE, 1, 1000 + name, 1, size, size, size, False)


def _frames_through_power_cuts(disk: Disk, durability: str, seed: int) -> int:
    """Commits random frames; after each power cut everything that was committed, hence acked to a shard, must be there. Returns
    how many commits of the database were deferred."""
    dice = random.Random(seed)
    seq = deferred = 0
    expected: dict[tuple[bytes, int], tuple[int, ...]] = {}
    for _ in range(6):
        index = Index(disk.directory / "index.db", durability=durability, connect=disk.connect, sync=disk.sync_descriptor)
        assert index.streams.known().get("s0", (1, 0, 0))[1] == seq
        assert rows(index) == expected
        for _ in range(dice.randrange(1, 20)):
            index.begin()
            directory = b"/r/%d" % dice.randrange(8)
            entries = [_entry(n, dice.randrange(1000)) for n in range(dice.randrange(400))]
            index.records.listing(Listing(directory, 1, *seen(entries)), ())
            seq += 1
            index.streams.save("s0", 1, seq, 1)
            index.commit(may_defer=dice.random() < 0.7)
            deferred += index.deferring
            index.backlog.note_handed(0, index.tick)
        expected = rows(index)
        last = index.tick
        disk.cut()
        again = Index(disk.directory / "index.db", durability=durability, connect=disk.connect, sync=disk.sync_descriptor)
        assert again.tick >= last, "a tick could be given twice"
        disk.cut()
    return deferred


@pytest.mark.parametrize("seed", range(5))
def test_what_was_acked_to_a_shard_outlives_the_power(make_disk: MakeDisk, seed: int) -> None:
    """With `power`, an ack says: these rows and this number are on the disk."""
    disk = make_disk()
    assert _frames_through_power_cuts(disk, "power", seed) > 5
    assert disk.synced > 20


def _ticks_through_a_power_cut(disk: Disk) -> tuple[int, int]:
    """(last tick that was given before the power cut, and after it) of some commits of 35 ticks each."""
    index = Index(disk.directory / "index.db", durability="process", connect=disk.connect)
    for n in range(3):
        index.begin()
        index.records.listing(Listing(b"/r/%d" % n, 1, *seen([_entry(name, 1) for name in range(35)])), ())
        index.commit()
    last = index.tick
    disk.cut()
    again = Index(disk.directory / "index.db", durability="process", connect=disk.connect)
    found = again.tick
    again.abandon()
    return last, found


@pytest.mark.parametrize("reserved", [10, 50, 1_000])
def test_no_tick_is_given_twice_whatever_the_power_takes(
    make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch, reserved: int
) -> None:
    """Rule 17: with `process` the last commits may be lost, but not up to where ticks were reserved; whether each commit needs
    more than that, some do, or none."""
    monkeypatch.setattr(file, "TICKS_RESERVED", reserved)
    last, found = _ticks_through_a_power_cut(make_disk())
    assert found >= last


def test_ticks_that_are_not_reserved_on_the_disk_are_noticed(make_disk: MakeDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same test fails where the disk does not sync the log."""
    monkeypatch.setattr(file, "TICKS_RESERVED", 10)
    last, found = _ticks_through_a_power_cut(make_disk(syncs=lambda path: not path.endswith("-wal")))
    assert found < last


@pytest.mark.parametrize(
    ("durability", "syncs"),
    [
        ("process", lambda path: True),
        ("power", lambda path: not path.endswith("-wal")),
        ("power", lambda path: not path.endswith("-redo")),
    ],
    ids=["not-asked-for", "left-out", "left-out-of-redo"],
)
def test_a_sync_that_is_missing_is_noticed(make_disk: MakeDisk, durability: str, syncs: Callable[[str], bool]) -> None:
    """The same test fails where the code does not sync each commit (`process`), and where the disk lies."""
    with pytest.raises(AssertionError):
        _frames_through_power_cuts(make_disk(syncs=syncs), durability, 0)


class _Bench(Bench):
    """A server whose groups lie on a disk with a power switch."""

    def __init__(self, disk: Disk, **settings: Any) -> None:
        self.disk = disk
        super().__init__(disk.directory / "groups.db", **settings)

    def open(self) -> None:
        self.index.reopen()
        self.store = GroupStore(self.path, durability=self.settings.durability, boot=self.boot, connect=self.disk.connect)
        clocks = (lambda: self.now, lambda: self.wall + self.now)
        registry = Registry(self.index, self.store, self.settings, self.now, clocks[1])
        self.server = Server(self.index, registry, self.engine, self.settings, *clocks)

    def cut(self) -> None:
        self.disk.cut()
        self.boot += "+"
        self.open()


def _groups_through_power_cuts(disk: Disk, durability: str, seed: int) -> tuple[list[str], list[str]]:
    """Pulls and acks at random; returns the paths acked, in order, and those handed out again though they were acked."""
    dice = random.Random(seed)
    bench = _Bench(disk, durability=durability)
    acked: list[str] = []
    repeated: list[str] = []
    bench.pull(max=1)
    for n in range(60):
        bench.index.put(b"/r/%d" % n)
        if dice.random() < 0.2:
            bench.cut()
        if dice.random() < 0.7:
            batch = bench.pull(max=dice.randrange(1, 10))
            if batch is None:
                continue
            paths = [e["path"] for e in batch["events"] if e["type"] == "event"]
            repeated += [p for p in paths if p in acked]
            if dice.random() < 0.7 and bench.ack(batch)["ok"]:
                acked += paths
    bench.cut()
    left = [str(e["path"]) for e in bench.drain() if e["type"] == "event"]
    repeated += [p for p in left if p in acked]
    assert {*acked, *left} == {f"/r/{n}" for n in range(60)}, "a change was lost"
    bench.store.abandon()
    return acked, repeated


@pytest.mark.parametrize("seed", range(5))
def test_what_a_worker_acked_outlives_the_power(make_disk: MakeDisk, seed: int) -> None:
    """With `power`, the reply to an ack says: it never comes again. What was not acked does."""
    acked, repeated = _groups_through_power_cuts(make_disk(), "power", seed)
    assert acked
    assert repeated == []


def test_an_ack_that_is_not_synced_is_noticed(make_disk: MakeDisk) -> None:
    """The same test sees acked paths again where the disk does not sync the log, as the test above would."""
    repeated = []
    for seed in range(5):
        try:
            repeated += _groups_through_power_cuts(make_disk(syncs=lambda path: not path.endswith("-wal")), "power", seed)[1]
        except AssertionError:
            return
    assert repeated


@pytest.mark.parametrize("seed", range(5))
def test_without_power_durability_a_group_begins_afresh(make_disk: MakeDisk, seed: int) -> None:
    """With `process`, a power cut may take acks with it: groups are told `fresh`, and no change is lost."""
    _groups_through_power_cuts(make_disk(), "process", seed)
