"""No kind of work starves another: a turn ends in time, and what comes in later has its share of the next one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine, rows
from faulty_disk import FaultyDisk

from shardwatch.shard.contract.wire.frames import Synced
from shardwatch.shard.schedule.watcher import Bounds

#: Each kind of work does one step in a turn.
ONE_STEP = Bounds(slice_ns=0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Each kind of work does one step a turn."""
    engine = Engine(tmp_path, {"": "s0"}, bounds=ONE_STEP)
    engine.until_quiet()
    yield engine
    engine.close()


def tree(at: Path, width: int) -> None:
    for i in range(width):
        (at / f"d{i}").mkdir(parents=True)
        (at / f"d{i}" / "f.json").write_text("x")


def turns_until(engine: Engine, path: Path) -> int:
    for turn in range(2_000):
        if (os.fsencode(path), 0) in rows(engine.index):
            return turn
        engine.turn()
    raise AssertionError(f"{path} is never told")


def test_a_large_tree_that_is_moved_in_holds_up_no_other_file(engine: Engine) -> None:
    """Nor a small directory that is made meanwhile: each is there long before the large one."""
    top = engine.base / "tree"
    tree(engine.base / "large", 300)
    (engine.base / "large").rename(top / "large")
    engine.turn()
    (top / "other.json").write_text("x")
    (top / "small").mkdir()
    (top / "small" / "f.json").write_text("x")
    assert turns_until(engine, top / "other.json") < 10
    assert turns_until(engine, top / "small/f.json") < 20
    assert len(rows(engine.index)) < 400, "of 600"
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_a_storm_of_directories_holds_up_no_scan_and_no_sync(engine: Engine) -> None:
    """A directory is renamed back and forth in every turn, and another rewritten: a sync is answered all the same."""
    top = engine.base / "tree"
    tree(top / "a", 20)
    (top / "hot.json").write_text("x")
    token = engine.receiver.begin_sync(10_000)
    names = ["a", "b"]
    for turn in range(500):
        (top / names[turn % 2]).rename(top / names[1 - turn % 2])
        (top / "hot.json").write_text(str(turn))
        engine.turn()
        if (result := engine.receiver.sync_result(token)) is not None:
            assert result == {"ok": True}
            break
    else:
        raise AssertionError("the sync is not answered")
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_a_directory_that_is_renamed_all_the_time_waits_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many hints there are of it, it is one thing to do, and one that is done with its former places."""
    top = engine.base / "tree"
    tree(top / "a", 50)
    engine.until_quiet()
    shard = engine.shards["s0"]
    for n in range(400):
        (top / ("a" if n % 2 == 0 else "b")).rename(top / ("b" if n % 2 == 0 else "a"))
        shard.backend.drain()
        shard.watcher.absorb(shard.backend.take())
        shard.watcher.work()
        assert shard.watcher.pending < 100
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def sweeping(tmp_path: Path) -> tuple[Engine, list[bytes]]:
    """An engine with one watch, of 40 directories; and the list of those that are listed from now on."""
    disk = FaultyDisk()
    engine = Engine(tmp_path, {"": "s0"}, watches_max=1, disk=disk, bounds=ONE_STEP)
    tree(engine.base / "tree", 40)
    engine.until_quiet()
    disk.listed.clear()
    engine.shards["s0"].watcher.times.sweep.put_off(1 << 62)
    return engine, disk.listed


def test_many_syncs_are_one_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come while one is under way are the next one: 60 callers are two sweeps of what is polled."""
    engine, listed = sweeping(tmp_path)
    shard = engine.shards["s0"]
    answered: list[int] = []
    add = shard.stream.add
    monkeypatch.setattr(shard.stream, "add", lambda r: (answered.append(r.token) if isinstance(r, Synced) else None, add(r)))
    for token in range(20):
        shard.watcher.syncs.ask(token)
    for _ in range(5):
        shard.step()
    for token in range(20, 60):
        shard.watcher.syncs.ask(token)
    for _ in range(1_000):
        shard.step()
    assert sorted(answered) == list(range(60))
    assert max(map(listed.count, listed)) == 2
    engine.close()


def test_a_sync_that_nobody_waits_for_is_not_done(tmp_path: Path) -> None:
    """Neither the one that waits nor what is left of the sweep under way; one that is asked for later is."""
    engine, listed = sweeping(tmp_path)
    shard = engine.shards["s0"]
    shard.watcher.syncs.ask(1)
    for _ in range(5):
        shard.step()
    shard.watcher.syncs.ask(2)
    shard.watcher.syncs.keep([])
    for _ in range(200):
        shard.step()
    assert len(listed) < 10
    assert not shard.watcher.syncs
    assert engine.sync() == {"ok": True}
    engine.close()
    shutil.rmtree(tmp_path / "tree")
