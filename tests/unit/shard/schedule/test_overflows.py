"""Overflows in the real engine, with a clock of our own: how many rescans they cost, and what a sync makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from faulty_disk import FaultyDisk
from index_rows import racy
from waiting import eventually

from shardwatch.shard.schedule.pace import PAUSE_NS_MAX
from shardwatch.shard.schedule.watcher import BOUNDS, Bounds


@pytest.fixture
def bounds() -> Bounds:
    """Of the watcher of `engine`; a test may set others."""
    return BOUNDS


@pytest.fixture
def engine(tmp_path: Path, bounds: Bounds) -> Iterator[Engine]:
    """One shard at rest over a tree of a few files."""
    for n in range(3):
        (tmp_path / f"tree/d{n}").mkdir(parents=True)
        (tmp_path / f"tree/d{n}/f.json").write_text("x")
    engine = Engine(tmp_path, {"": "s0"}, settle_ms=50, bounds=bounds)
    try:
        engine.until_quiet()
        yield engine
    finally:
        engine.close()


def storm(engine: Engine, turns: int, ms: int = 100) -> None:
    """An overflow at every turn, with a change that only the rescan can find."""
    shard = engine.shards["s0"]
    for n in range(turns):
        (engine.base / f"tree/d{n % 3}/f.json").write_text("x" * (n % 100))
        shard.lose_hints()
        engine.turn(ms)


def test_one_overflow_is_rescanned_at_once(engine: Engine) -> None:
    """Within the turn, without a pause."""
    shard = engine.shards["s0"]
    storm(engine, 1)
    assert (shard.watcher.overflows, shard.watcher.scans.rescans) == (1, 1)
    assert engine.difference() == ({}, {})
    assert shard.watcher.pace.pause_ns == 0


def test_a_storm_of_overflows_is_no_storm_of_rescans(engine: Engine) -> None:
    """A thousand overflows in a hundred seconds: one rescan at once, four while the pause grows, one each eight seconds then."""
    shard = engine.shards["s0"]
    narrow = shard.watcher.debounce.quiet_ns
    storm(engine, 1000)
    assert shard.watcher.overflows == 1000
    assert 6 + 80 // 8 <= shard.watcher.scans.rescans <= 6 + 100 // 8
    assert shard.watcher.debounce.quiet_ns > 5 * narrow
    assert shard.watcher.pace.pause_ns == PAUSE_NS_MAX
    engine.until_quiet()
    assert engine.difference() == ({}, {})
    rescans = shard.watcher.scans.rescans
    for _ in range(200):
        engine.turn(100)
    assert shard.watcher.scans.rescans == rescans
    assert shard.watcher.debounce.quiet_ns == narrow
    assert shard.watcher.pace.pause_ns == 0
    storm(engine, 1)
    assert shard.watcher.scans.rescans == rescans + 1


def test_a_sync_does_not_wait_for_the_pause(engine: Engine) -> None:
    """It stands for what was lost before it, so it rescans at once; and the storm goes on after it as before."""
    shard = engine.shards["s0"]
    storm(engine, 100)
    assert shard.watcher.pace.owed
    begun, rescans = engine.now, shard.watcher.scans.rescans
    assert engine.sync() == {"ok": True}
    assert engine.difference() == ({}, {})
    due = shard.watcher.pace.next_due()
    assert due is not None
    assert engine.now - begun < shard.watcher.pace.pause_ns / 4
    assert shard.watcher.scans.rescans == rescans + 1
    assert not shard.watcher.pace.owed
    assert engine.sync() == {"ok": True}
    assert shard.watcher.scans.rescans == rescans + 1


def test_an_overflow_while_scans_wait_is_covered_by_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was looked at yet that could have been lost: no further rescan, and no pause."""
    shard = engine.shards["s0"]
    monkeypatch.setattr(type(shard.stream), "full", property(lambda self: True))
    for _ in range(50):
        shard.lose_hints()
        shard.step()
    assert (shard.watcher.overflows, shard.watcher.scans.rescans, shard.watcher.pace.pause_ns) == (50, 1, 0)
    monkeypatch.undo()
    engine.until_quiet()
    assert engine.difference() == ({}, {})


@pytest.mark.parametrize("bounds", [Bounds(directories_max=3)])
def test_directories_are_not_followed_for_want_of_room(engine: Engine) -> None:
    """Too many new directories are an overflow too: they wait for the rescan, and a sync does not."""
    shard = engine.shards["s0"]
    storm(engine, 20)
    for n in range(10):
        (engine.base / f"tree/new{n}").mkdir()
        (engine.base / f"tree/new{n}/f.json").write_text("x")
    rescans = shard.watcher.scans.rescans
    shard.step()
    assert not shard.watcher.arrivals
    assert shard.watcher.pace.owed
    assert shard.watcher.scans.rescans == rescans
    assert engine.sync() == {"ok": True}
    assert engine.difference() == ({}, {})


def test_a_new_epoch_begins_without_debts(engine: Engine) -> None:
    """Its baseline covers what was lost before."""
    shard = engine.shards["s0"]
    storm(engine, 20)
    assert shard.watcher.pace.owed
    shard.new_epoch(0)
    assert not shard.watcher.pace.owed
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_no_racy_look_is_confirmed_before_the_rescan_that_is_owed(tmp_path: Path) -> None:
    """The hint of a change with an equal stat may be among those that were lost: while the rescan waits for its pause to end, an
    equal stat proves nothing."""
    disk = FaultyDisk()
    disk.behind_ns = 50 * 10**9  # whatever was written within that time is racy
    (tmp_path / "tree").mkdir()
    for n in range(3):
        (tmp_path / f"tree/d{n}").mkdir()
    with contextlib.closing(Engine(tmp_path, {"": "s0"}, disk=disk)) as engine:
        pace, scans = engine.shards["s0"].watcher.pace, engine.shards["s0"].watcher.scans
        while pace.pause_ns < PAUSE_NS_MAX:
            storm(engine, 3)
        rescans = scans.rescans
        while scans.rescans == rescans or not pace.owed:
            storm(engine, 1)
        disk.behind_ns = 0
        assert racy(engine.index) == 3
        for _ in range(50):
            engine.turn(100)
        assert pace.owed and racy(engine.index) == 3
        engine.until_quiet()
        assert engine.difference() == ({}, {})

        def confirmed() -> bool:
            """What was looked at within the tick of the clock in which it was written is racy once more, and has another turn."""
            engine.turn(100)
            return racy(engine.index) == 0

        eventually(confirmed)
