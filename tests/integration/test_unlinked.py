"""A file is written by a descriptor whose name was removed: it may have another name, of which no event tells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from entries import seen

from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.tree.nodes import Top
from shardwatch.shard.tree.renames import NAMES_MAX as renames_max
from shardwatch.shard.tree.renames import Renames
from shardwatch.shard.tree.unlinked import NAMES_MAX as unlinked_max
from shardwatch.shard.tree.unlinked import Unlinked


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    for name in ("tree/d/e", "tree/other"):
        (tmp_path / name).mkdir(parents=True)
    with contextlib.closing(Engine(tmp_path, {"": "s0"}, settle_ms=50)) as made:
        made.until_quiet()
        yield made


def assert_synced(engine: Engine) -> None:
    assert engine.sync() == {"ok": True}
    assert engine.difference() == ({}, {})


@pytest.mark.parametrize("seen", [False, True], ids=["its first name was never looked at", "its first name was known"])
@pytest.mark.parametrize("synced", [False, True], ids=["at once", "after a sync"])
def test_a_file_is_written_when_its_first_name_is_gone(engine: Engine, tmp_path: Path, seen: bool, synced: bool) -> None:
    """`link` and `unlink` in the place of a rename, as some programs do, with the file still open."""
    new, current = tmp_path / "tree/d/new.json", tmp_path / "tree/d/cur.json"
    with new.open("w") as f:
        if seen:
            engine.until_quiet()
        current.hardlink_to(new)
        new.unlink()
        if synced:
            assert_synced(engine)
        f.write("written by the descriptor")
        f.flush()
        assert_synced(engine)
        f.write(", and once more")
    assert_synced(engine)


def test_without_a_sync(engine: Engine, tmp_path: Path) -> None:
    """The hint alone leads to it."""
    new, current = tmp_path / "tree/d/new.json", tmp_path / "tree/d/cur.json"
    with new.open("w") as f:
        current.hardlink_to(new)
        new.unlink()
        engine.until_quiet()
        f.write("written by the descriptor")
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_its_other_name_is_in_another_directory(engine: Engine, tmp_path: Path) -> None:
    """It was known to have two: the one that is gone tells of the other."""
    new, current = tmp_path / "tree/d/new.json", tmp_path / "tree/other/cur.json"
    with new.open("w") as f:
        current.hardlink_to(new)
        engine.until_quiet()
        engine.index.backlog.note_handed(0, engine.index.tick)
        new.unlink()
        engine.until_quiet()
        f.write("written by the descriptor")
        f.flush()
        engine.until_quiet()
        assert engine.difference() == ({}, {})


def test_who_writes_to_what_is_gone_for_good_costs_little(engine: Engine, tmp_path: Path) -> None:
    """A log that was removed while it is written to: its directory is listed now and then, not with every write."""
    for number in range(50):
        (tmp_path / "tree/d" / f"{number}.json").touch()
    gone = tmp_path / "tree/d/gone.json"
    with gone.open("w") as f:
        gone.unlink()
        engine.until_quiet()
        reader = engine.shards["s0"].territory.reader
        before, begun = reader.looks, engine.now
        for number in range(300):
            f.write(str(number))
            f.flush()
            engine.turn(60)
        listings = (reader.looks - before) / 50
        assert 1 <= listings <= (engine.now - begun) / 10**9 + 8  # and a look at the name itself each time, which are six more
    assert_synced(engine)


def test_what_is_removed_in_the_usual_way_is_not_listed_for(engine: Engine, tmp_path: Path) -> None:
    """Written, renamed, removed: each name that left was said to leave."""
    directory = tmp_path / "tree/d"
    for number in range(40):
        (directory / f"{number}.json").write_text("x")
    engine.until_quiet()
    reader = engine.shards["s0"].territory.reader
    before = reader.looks
    for number in range(0, 40, 2):
        (directory / f"{number}.json").unlink()
        os.rename(directory / f"{number + 1}.json", directory / f"{number}.moved.json")
        (directory / "short-lived.json").write_text("x")
        (directory / "short-lived.json").unlink()
        engine.turn(60)
    engine.until_quiet()
    assert reader.looks - before <= 4 * 40
    assert not engine.shards["s0"].territory.unlinked
    assert engine.difference() == ({}, {})


def test_what_is_forgotten_costs_precision_only() -> None:
    """More names came and left than are kept: nothing is said to have moved, and directories are listed for once too often."""
    top = Top(b"/", 0)
    renames, unlinked = Renames(), Unlinked(told=True)
    many = {b"%d" % number for number in range(renames_max + 1)}
    renames.add({top: set(many)})
    assert renames.births(top, -1, seen([(b"1", FILE, 1, 1, 1, 1, 1, 1, False)])) == {}
    unlinked.left({top: {b"a"}})
    unlinked.looked(top, [b"a"], [b"a"])
    assert not unlinked
    unlinked.left({top: {b"%d" % number for number in range(unlinked_max + 1)}})
    unlinked.looked(top, [b"1"], [b"1"])
    assert unlinked.take() == [top]
    assert not unlinked
