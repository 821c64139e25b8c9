"""The verification finds what left no hint, counts it, tells of it and repairs it; and never what is only on its way."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import mmap
import os
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine import Engine, rows
from index_rows import spread
from running import consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.limits import VERIFY_NAMES_MAX
from shardwatch.shard.territory import verify
from shardwatch.shard.territory.verify import Verifier

#: linux/fs.h
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_NODUMP_FL = 0x40


@pytest.fixture
def verified(tmp_path: Path) -> Iterator[Engine]:
    """Two shards over a small tree, everything is looked at once more in 20 s of the engine's clock."""
    for name in ("a.json", "d/b.json", "d/e/c.json", "d/other.txt", "f/g.json", "one/h.json"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with contextlib.closing(Engine(tmp_path, {"": "s0", "d": "s1"}, settle_ms=50, verify_s=20)) as engine:
        engine.until_quiet()
        yield engine


def findings(engine: Engine) -> set[tuple[str, str]]:
    """(path in the tree, what)."""
    return {(os.fsdecode(path[len(engine.root) + 1 :]), what) for _, path, what, _ in engine.receiver.verification.recent}


def passes(engine: Engine, number: int = 2) -> None:
    """So many passes of every shard, and what follows from them."""
    begun = {name: shard.watcher.rechecks.verifying.passes for name, shard in engine.shards.items()}

    def done() -> bool:
        return all(shard.watcher.rechecks.verifying.passes >= begun[name] + number for name, shard in engine.shards.items())

    for _ in itertools.takewhile(lambda _: not done(), range(4000)):
        engine.turn(200)
    assert done()
    for _ in range(60):
        engine.turn(200)


_ROW = "dir = (SELECT id FROM directory WHERE path = CAST('{0}' AS BLOB)) AND name = CAST('{1}' AS BLOB)"


def spoil(engine: Engine, statement: str, directory: str, name: str) -> None:
    """Changes a row as a bad disk would. Pages know when they are changed, so all become rows before."""
    where = _ROW.format(os.fsdecode(engine.root) + directory, name)
    engine.index.begin()
    spread(engine.index.file.db)
    assert engine.index.file.db.execute(f"{statement} WHERE {where}").rowcount == 1
    engine.index.commit()


SPOILT: dict[str, tuple[str, str, str, tuple[str, str]]] = {
    "another size": ("UPDATE entry SET size = 1", "/d", "b.json", ("d/b.json", "differs")),
    "another time": ("UPDATE entry SET mtime_ns = mtime_ns + 1", "", "a.json", ("a.json", "differs")),
    "another inode": ("UPDATE entry SET ino = ino + 1", "/d/e", "c.json", ("d/e/c.json", "differs")),
    "a lost row": ("DELETE FROM entry", "/f", "g.json", ("f/g.json", "missing")),
    "a lost directory": ("DELETE FROM entry", "/d", "e", ("d/e", "missing")),
    "a tombstone": ("UPDATE entry SET kind = 0", "/one", "h.json", ("one/h.json", "missing")),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_row_that_is_wrong_is_found_and_repaired(verified: Engine, case: str) -> None:
    """Whatever made it so; once, by its owner, and the next passes find nothing."""
    statement, directory, name, found = SPOILT[case]
    passes(verified)
    assert findings(verified) == set()
    spoil(verified, statement, directory, name)
    passes(verified)
    assert findings(verified) == {found}
    assert verified.receiver.verification.findings == {"s1" if found[0].startswith("d/") else "s0": 1}
    assert verified.difference() == ({}, {})
    passes(verified)
    assert verified.receiver.verification.findings.total() == 1


def test_a_row_too_many_is_found(verified: Engine) -> None:
    """A file that is not there goes, like any that was deleted."""
    spoil(verified, "UPDATE entry SET name = CAST('ghost.json' AS BLOB)", "/d/e", "c.json")
    passes(verified)
    assert findings(verified) == {("d/e/ghost.json", "extra"), ("d/e/c.json", "missing")}
    assert verified.difference() == ({}, {})


def _mapped(path: Path) -> Callable[[], None]:
    """Writes through a shared mapping, which stays open: the kernel tells nobody."""
    with path.open("r+b") as f:
        mapping = mmap.mmap(f.fileno(), 0)
    mapping[:1] = b"X"
    mapping.flush()
    return mapping.close


def _linked(path: Path) -> Callable[[], None]:
    """Written by another name, outside of the tree."""
    outside = path.parents[2] / "outside.json"
    outside.hardlink_to(path)
    with outside.open("a") as f:
        f.write("by another name")
    return outside.unlink


def _flagged(path: Path) -> Callable[[], None]:
    """Another flag, as chattr sets it: the kernel changes the time of change, and tells nobody."""
    with path.open("rb") as f:
        flags = struct.unpack("=i", fcntl.ioctl(f, _FS_IOC_GETFLAGS, bytes(4)))[0]
        fcntl.ioctl(f, _FS_IOC_SETFLAGS, struct.pack("=i", flags ^ _FS_NODUMP_FL))
    return lambda: None


@pytest.mark.parametrize("way", [_mapped, _linked, _flagged], ids=["mapped", "linked", "flagged"])
def test_what_leaves_no_hint_is_found(verified: Engine, tmp_path: Path, way: Callable[[Path], Callable[[], None]]) -> None:
    """And is told to groups like any other change."""
    passes(verified, 1)
    verified.index.backlog.note_handed(0, verified.index.tick)
    tick = verified.index.tick
    undo = way(tmp_path / "tree" / "f" / "g.json")
    for _ in range(5):
        verified.turn(20)
    assert verified.index.tick == tick, "a hint came: this is no case for the verification"
    passes(verified)
    assert findings(verified) == {("f/g.json", "differs")}
    assert [row.path for row in verified.index.backlog.pending(0, tick, 10).rows] == [verified.root + b"/f/g.json"]
    assert verified.difference() == ({}, {})
    undo()


def _made(tree: Path) -> None:
    """Directories that nobody knew, one within the other."""
    path = tree / "f" / "new" / "deep" / "n.json"
    path.parent.mkdir(parents=True)
    path.write_text("new")


def _replaced(tree: Path) -> None:
    """Another directory takes the place of a known one."""
    (tree / "f").rename(tree.parent / "gone")
    _made(tree)


def _replaced_by_the_like(tree: Path) -> None:
    """The same, and in what is above it, and in it at first, nothing is as it was but the directory below it."""
    (tree / "f").rename(tree.parent / "gone")
    (tree / "f").mkdir()
    (tree.parent / "gone" / "g.json").rename(tree / "f" / "g.json")
    (tree / "f" / "new").mkdir()


def _removed(tree: Path) -> None:
    """A directory is gone, with all that was in it."""
    shutil.rmtree(tree / "f")


@pytest.mark.parametrize("way", [_made, _replaced, _replaced_by_the_like, _removed])
def test_directories_that_left_no_hint_are_entered_and_left(
    verified: Engine, tmp_path: Path, way: Callable[[Path], None]
) -> None:
    """Not only are they found: what is in them is told of, and they are watched from then on. This is so where a filesystem is
    changed behind the kernel's back, as below an overlay."""
    passes(verified, 1)
    tree, shard = tmp_path / "tree", verified.shards["s0"]
    way(tree)
    shard.backend.drain()
    shard.backend.take()  # these hints never come
    passes(verified)
    assert findings(verified)
    assert verified.difference() == ({}, {})
    found = verified.receiver.verification.findings.total()
    places = [place for place, _, _ in os.walk(tree) if not Path(place).is_relative_to(tree / "d")]
    for place in places:
        Path(place, "late.json").write_text("late")
    for _ in range(20):
        verified.turn(20)
    assert verified.difference() == ({}, {}), "every directory is watched"
    assert shard.known() == len(shard.territory.directories) == len(places)
    assert verified.receiver.verification.findings.total() == found


def test_a_large_directory_is_looked_at_in_parts(tmp_path: Path) -> None:
    """No part is longer than a bound, and what differs in one is found."""
    root = tmp_path / "tree" / "large"
    root.mkdir(parents=True)
    for number in range(2 * VERIFY_NAMES_MAX + 10):
        (root / f"{number:05}.json").touch()
    with contextlib.closing(Engine(tmp_path, {"": "s0"}, settle_ms=50, verify_s=20)) as engine:
        engine.until_quiet()
        passes(engine)
        assert findings(engine) == set()
        for number in (3, VERIFY_NAMES_MAX, 2 * VERIFY_NAMES_MAX + 9):
            spoil(engine, "UPDATE entry SET size = 7", "/large", f"{number:05}.json")
        passes(engine)
        assert {path for path, _ in findings(engine)} == {
            f"large/{n:05}.json" for n in (3, VERIFY_NAMES_MAX, 2 * VERIFY_NAMES_MAX + 9)
        }
        assert engine.difference() == ({}, {})


def test_many_findings_come_in_turns(tmp_path: Path) -> None:
    """More ranges differ than are asked for at once: all are found in the end."""
    for number in range(150):
        path = tmp_path / "tree" / f"{number:03}" / "f.json"
        path.parent.mkdir(parents=True)
        path.touch()
    with contextlib.closing(Engine(tmp_path, {"": "s0"}, settle_ms=50, verify_s=20)) as engine:
        engine.until_quiet()
        engine.index.begin()
        assert engine.index.file.db.execute("UPDATE entry SET size = 7 WHERE directory = 0").rowcount == 150
        engine.index.commit()
        for _ in range(10):
            passes(engine)
            if engine.receiver.verification.findings["s0"] == 150:
                break
        assert engine.receiver.verification.findings["s0"] == 150
        assert engine.difference() == ({}, {})


def test_changes_under_way_are_no_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written, renamed, changed in mode and removed while passes are made: every change has its hint."""
    # Here there is always other work, in the midst of which it is to look, and not half a minute later.
    monkeypatch.setattr("shardwatch.shard.territory.verify._POSTPONED_MAX", 1)
    for name in ("d/e", "f"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    with contextlib.closing(Engine(tmp_path, {"": "s0", "d": "s1"}, settle_ms=50, verify_s=4)) as engine:
        while_everything_changes(engine, tmp_path / "tree")
        engine.until_quiet()
        assert engine.difference() == ({}, {})
        passes(engine)
        assert engine.receiver.verification.findings.total() == 0


def while_everything_changes(verified: Engine, tree: Path) -> None:
    stop = threading.Event()
    # Concurrent with the turns, but only so many writes to a turn: a pass goes on when there is no other work.
    allowed = threading.Semaphore(0)

    def write() -> None:
        for number in itertools.count():
            allowed.acquire()
            if stop.is_set():
                return
            path = tree / ("d", "f", "d/e")[number % 3] / f"{number % 17}.json"
            path.write_text("x" * (number % 100))
            if number % 5 == 0:
                path.unlink()
            elif number % 7 == 0:
                path.rename(path.with_name("moved.json"))
            elif number % 11 == 0:
                path.chmod(0o600 + number % 2)

    writer = threading.Thread(target=write)
    writer.start()
    begun = time.monotonic()
    try:
        # In real time: a stat shows what a system call has done before its event is queued, so also before it has returned.
        while min(shard.watcher.rechecks.verifying.passes for shard in verified.shards.values()) < 4:
            assert time.monotonic() < begun + 120
            elapsed, begun_turn = int((time.monotonic() - begun) * 1000), verified.now // 1_000_000
            allowed.release(20)
            verified.turn(max(1, elapsed - begun_turn))
    finally:
        stop.set()
        allowed.release()
        writer.join()
    assert verified.receiver.verification.findings.total() == 0


def test_an_unchanged_tree_costs_no_row_and_no_look_at_more(verified: Engine) -> None:
    """Passes over what is as it was write nothing, and hand over a number for a directory."""
    passes(verified, 1)
    written, tick = verified.index.written, verified.index.tick
    passes(verified, 3)
    assert (verified.index.written, verified.index.tick) == (written, tick)


def test_it_keeps_to_its_share_of_a_processor(verified: Engine) -> None:
    """Where a pass would cost more than its share, it takes longer than the period, and says so."""
    territory = verified.shards["s0"].territory
    spent = itertools.count(0, 5_000_000)  # each step costs 5 ms
    slow = Verifier(territory, period_ns=10**9, share=0.001, cpu=lambda: next(spent))
    slow.begin(0)
    now = slow.next_due() or 0
    assert slow.due(now)
    slow.step(now)
    assert (slow.next_due() or 0) - now >= 5_000_000 / 0.001
    assert slow.state().period_s > 1


def test_other_work_goes_first_but_not_for_ever(verified: Engine) -> None:
    """It waits for a quiet moment, for half a minute at the most."""
    verifier = Verifier(verified.shards["s0"].territory, period_ns=10**9, cpu=lambda: 0)
    verifier.begin(0)
    put_off = 0
    while verifier.postpone(verifier.next_due() or 0):
        put_off += 1
        assert put_off < 100
    assert put_off > 5


def test_it_is_turned_off_and_on_and_paced_while_it_runs(verified: Engine) -> None:
    """As a reload does it: without a period nothing is due, and with one the next step is as far off as its pace says."""
    verifier = Verifier(verified.shards["s0"].territory, period_ns=0, cpu=lambda: 0)
    verifier.begin(0)
    assert verifier.next_due() is None and not verifier.due(10**18)
    assert verifier.state().period_s == 0
    verifier.take_over(5 * 10**9, period_ns=10**9, share=0.5)
    assert (verifier.next_due() or 0) > 5 * 10**9 and verifier.due(10**12)
    assert verifier.state().period_s == 1
    verifier.take_over(5 * 10**9, period_ns=0, share=0.5)
    assert verifier.next_due() is None and not verifier.due(10**18)


def test_the_service_finds_repairs_and_shows(tree: Path, state_dir: Path, no_leaks: None) -> None:
    """With real processes: a write that no hint tells of reaches the consumer, and `status` names it."""
    with running(state_dir, settings_for(tree, verify_period_s=1.0)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, tree)
        path = tree / "pkg" / "a.ast.json"
        undo = _mapped(path)
        try:
            eventually(lambda: service.client.status()["verification"]["findings"] == 1, 120, every_s=0.2)
            shown = service.client.status()["verification"]
            assert [(found["path"], found["what"]) for found in shown["recent"]] == [(str(path), "differs")]
            assert shown["period_s"] == 1.0
            service.assert_mirrored(consumer, tree)
        finally:
            undo()


def test_what_is_swept_is_verified_too(tmp_path: Path) -> None:
    """A wrong row is found; what changed since the last sweep is the sweep's to tell, and no finding."""
    for name in ("a/f.json", "b/g.json"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True)
        path.write_text("x")
    with contextlib.closing(Engine(tmp_path, {"": "s0"}, watches_max=1, verify_s=20)) as engine:
        engine.until_quiet()
        assert len(engine.shards["s0"].territory.directories.swept) == 2
        for number in range(6):
            (tmp_path / "tree" / "a" / "f.json").write_text("x" * number)
            passes(engine, 1)
        assert findings(engine) == set()
        spoil(engine, "UPDATE entry SET size = 77", "/b", "g.json")
        passes(engine)
        assert findings(engine) == {("b/g.json", "differs")}
        assert engine.difference() == ({}, {})


def test_a_directory_that_has_grown_between_two_looks_loses_nothing(verified: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """More names than are looked at at once have come into a range that differed: of those beyond, nothing is said. They once
    counted as deleted."""
    monkeypatch.setattr(verify, "_WINDOW", 3)
    passes(verified)
    spoil(verified, "UPDATE entry SET size = 1", "/f", "g.json")
    new = {(verified.root + b"/f/n%d.json" % number, 0) for number in range(9)}
    while not verified.receiver.verification.asked("s0", verified.now / 1e9):
        verified.turn(100)
    verified.turn(100)
    for path, _ in new:
        Path(os.fsdecode(path)).write_text("x")
    for _ in range(10):
        verified.turn(100)
    assert new <= rows(verified.index).keys()
    for _ in range(400):
        verified.turn(100)
        assert new <= rows(verified.index).keys()
    passes(verified)
    assert ("f/g.json", "differs") in findings(verified)
    assert verified.difference() == ({}, {})
