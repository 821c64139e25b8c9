"""Files with several names: writing by one name, or taking one away, is no event at the others; found by `make chaos`.

Not seen at once is only what is written by a name that nobody watches (outside all roots, or in what is left out): at a sync.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine
from index_rows import pages
from waiting import eventually

from shardwatch.aggregator.index.pages import Pages
from shardwatch.shard.contract.files.identity import racy
from shardwatch.shard.disk.calls import coarse_ns


@pytest.fixture(params=[{"": "s0"}, {"": "s0", "b": "s1"}], ids=["one_shard", "two_shards"])
def linked(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Path, Path]]:
    """An engine that knows a/f.json by one name, and then b/g.json, which is the same file."""
    engine = Engine(tmp_path, request.param, settle_ms=50)
    old, new = tmp_path / "tree" / "a" / "f.json", tmp_path / "tree" / "b" / "g.json"
    for path in (old, new):
        path.parent.mkdir()
    old.write_text("1")
    engine.until_quiet()
    new.hardlink_to(old)
    engine.until_quiet()
    yield engine, old, new
    engine.close()


def assert_known(engine: Engine) -> None:
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_a_file_seen_by_one_name_gets_another(linked: tuple[Engine, Path, Path]) -> None:
    """Linking is no event at the old name, whose row says that it is the only one."""
    assert_known(linked[0])


def test_written_by_the_new_name(linked: tuple[Engine, Path, Path]) -> None:
    engine, _, new = linked
    new.write_text("22")
    assert_known(engine)


def test_written_by_the_old_name_which_then_goes(linked: tuple[Engine, Path, Path], tmp_path: Path) -> None:
    """Nobody looks at the old name before it is gone, so only its row can tell that there are others."""
    engine, old, _ = linked
    old.write_text("333")
    old.parent.rename(tmp_path / "outside")
    assert_known(engine)


def test_written_before_the_link_was_seen_by_a_name_that_goes(linked: tuple[Engine, Path, Path]) -> None:
    """All at once: another link, a write by the old name, which is replaced by another file."""
    engine, old, new = linked
    third = new.with_name("third.json")
    third.hardlink_to(old)
    old.write_text("4444")
    fresh = old.with_name("fresh.json")
    fresh.write_text("another file")
    os.replace(fresh, old)
    assert_known(engine)


def test_one_name_is_renamed_over_another_file(linked: tuple[Engine, Path, Path]) -> None:
    """The replaced file's row says nothing of the names that the new one has."""
    engine, old, new = linked
    other = old.with_name("other.json")
    other.write_text("other")
    engine.until_quiet()
    third = new.with_name("third.json")
    third.hardlink_to(new)
    third.write_text("55555")
    third.rename(other)
    assert_known(engine)


def test_a_sync_waits_until_the_other_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which lie in pages, of which one is made known by its inodes in a turn: it says so until all are."""
    monkeypatch.setattr(Pages.index_inodes, "__defaults__", (1,))
    engine = Engine(tmp_path, {"": "s0"})
    try:
        for number in range(40):
            directory = tmp_path / "tree" / f"d{number}"
            directory.mkdir()
            for name in "abcd":
                last = directory / f"{name}.json"
                last.write_text("1")
        eventually(lambda: not racy(last.stat().st_ctime_ns, coarse_ns()))  # what a racy look showed is looked at again
        engine.until_quiet()
        assert len(pages(engine.index)) == 40
        new = tmp_path / "tree" / "new.json"
        new.hardlink_to(tmp_path / "tree" / "d39" / "a.json")
        new.write_text("22")
        token = engine.receiver.begin_sync(engine.now / 1e9)
        for _ in range(3):
            engine.turn(1)
        late = engine.receiver.sync_result(token)
        assert late is not None
        assert not late["ok"]
        assert engine.receiver.searching
        assert_synced(engine)
    finally:
        engine.close()


def assert_synced(engine: Engine) -> None:
    assert engine.sync() == {"ok": True}
    assert engine.difference() == ({}, {})


def test_written_by_a_name_outside_the_tree(linked: tuple[Engine, Path, Path], tmp_path: Path) -> None:
    """What has more names than are known is looked at again at each sync, also after a restart; and no longer than that."""
    engine, old, new = linked
    (tmp_path / "outside").mkdir()
    outside = tmp_path / "outside" / "h.json"
    outside.hardlink_to(new)
    new.write_text("seen with three names, of which two are known")
    engine.until_quiet()
    for text in ("written by a name outside", "and again, longer than before"):
        outside.write_text(text)
        assert_synced(engine)
    engine.restart_aggregator(commit=True)
    engine.until_quiet()
    outside.write_text("after a restart")
    assert_synced(engine)
    outside.unlink()
    old.unlink()
    assert_synced(engine)
    assert_synced(engine)
    assert not engine.index.debts.partly


def test_written_by_a_name_that_went_before_it_was_seen(linked: tuple[Engine, Path, Path]) -> None:
    """While nobody looks at its directory a file is made, linked, written and removed: its other name alone was ever seen."""
    engine, old, new = linked
    engine.replan({"": "s0", "b": "s1"})
    engine.until_quiet()
    engine.kill("s0")
    unseen, seen = old.with_name("unseen.json"), new.with_name("seen.json")
    unseen.write_text("1")
    seen.hardlink_to(unseen)
    for _ in range(20):
        engine.turn(50)
    unseen.write_text("22")
    unseen.unlink()
    engine.start("s0")
    assert_synced(engine)
