"""What stats are worth on each filesystem, measured, beside what docs/filesystems.md says; and that the service knows it.

Of the kinds there, vfat is measured only where the kernel has it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import remount
from engine import Engine, rows, walk
from filesystems import KINDS, Made, filesystem, in_this_kernel
from index_rows import query
from waiting import eventually
from written_tables import WrittenTable

from shardwatch.shard.backend.fanotify import FanotifyBackend
from shardwatch.shard.contract.files.identity import INVENTS_INODES
from shardwatch.shard.contract.kernel.fanotify import obstacle
from shardwatch.shard.contract.kernel.mounts import is_remote, read_mounts
from shardwatch.shard.disk.calls import coarse_ns
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.reading import list_names, sorted_out
from shardwatch.shard.disk.statx import birth_ns, filesystem_type

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("filesystems")]

DOCUMENT = Path(__file__).parents[2] / "docs" / "filesystems.md"
SECOND = 10**9
HERE = [kind for kind in KINDS if in_this_kernel(kind)]


HEADER = ("filesystem", "times")


def documented() -> dict[str, list[str]]:
    """The rows of the document's table, by filesystem."""
    return WrittenTable(DOCUMENT, HEADER).rows()


def measured(made: Made) -> list[str]:
    """The row of one filesystem, in the order of the document's columns."""
    times = []
    for number in range(5):
        path = made.at / f"{number}.json"
        path.write_text(str(number))
        times.append(path.stat().st_ctime_ns)
        time.sleep(0.011)  # no two within one tick of any kernel's clock
    unit = "nanoseconds" if any(t % 1_000_000 for t in times) else "two seconds" if _two_seconds(made.at) else "whole seconds"
    fd = os.open(made.at, os.O_RDONLY)
    try:
        birth = birth_ns(b"0.json", (made.at / "0.json").stat().st_ino, fd)
        invents = filesystem_type(b".", fd) in INVENTS_INODES
    finally:
        os.close(fd)
    try:
        os.link(made.at / "0.json", made.at / "linked.json")
        links = "yes"
    except OSError:
        links = "no"
    type_ = next(kind for point, kind in reversed(list(read_mounts())) if point == os.fsencode(made.at))
    noticed = "swept" if is_remote(type_) else "by the kernel"
    whole = "–" if is_remote(type_) else "no" if obstacle(os.fsencode(made.at)) else "yes"
    kept, device = "gone with it", "gone with it"
    if made.mount_elsewhere is not None:
        before = {name: (made.at / name).stat() for name in ("4.json", "2.json", "0.json")}
        made.mount_elsewhere()
        after = {name: (made.at / name).stat() for name in ("0.json", "4.json", "2.json")}  # in another order
        kept = "kept" if all(before[n].st_ino == after[n].st_ino for n in before) else "invented"
        device = "another" if all(before[n].st_dev != after[n].st_dev for n in before) else "may be the same"
    return [unit, "yes" if birth > 0 else "no", kept, "no" if invents else "yes", device, links, noticed, whole]


def _two_seconds(at: Path) -> bool:
    """Whether a file that is written in an odd second has an even one."""
    path = at / "even.json"

    def written_in_an_odd_second() -> bool:
        begun = coarse_ns() // SECOND  # by the clock of files, which is behind
        path.write_text(str(begun))
        return begun % 2 == 1 and time.time_ns() // SECOND == begun

    eventually(written_in_an_odd_second, every_s=0.05)
    return path.stat().st_ctime_ns // SECOND % 2 == 0


@pytest.mark.parametrize("kind", HERE)
def test_the_document_says_what_is_measured(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each row of the table, on a filesystem made for it."""
    with filesystem(kind, tmp_path / "fs") as made:
        WrittenTable(DOCUMENT, HEADER, request.config).agree(kind, measured(made))


def test_a_remount_has_other_numbers_whatever_others_give_back(tmp_path: Path) -> None:
    """A number that it had may be taken by a program beside the test, and be free again when it is mounted: it is done again."""
    done: list[str] = []
    seen = iter([{1, 2}, {2, 3}, {3, 4}])
    remount(tmp_path / "at", lambda: done.append("unmount"), lambda: done.append("mount"), lambda at: next(seen))
    assert done == ["unmount", "mount"] * 2


def test_the_document_has_every_kind() -> None:
    """Those too that this kernel can't mount."""
    assert list(documented()) == list(KINDS)


@contextlib.contextmanager
def watching(kind: str, base: Path) -> Iterator[tuple[Engine, Path, Made]]:
    """The engine over a tree on a filesystem of its own."""
    with filesystem(kind, base / "tree") as made, contextlib.closing(Engine(base, {"": "s0"}, settle_ms=50)) as engine:
        yield engine, made.at, made


def handed(engine: Engine) -> int:
    """Everything is handed out: a change from now on gets a new tick."""
    engine.until_quiet()
    engine.index.backlog.note_handed(0, engine.index.tick)
    return engine.index.tick


def kinds_with(*without: str) -> list[str]:
    return [kind for kind in HERE if kind not in ("tmpfs", *without)]


@pytest.mark.parametrize("kind", HERE)
def test_two_writes_of_equal_size_are_both_told(kind: str, tmp_path: Path) -> None:
    """Within the unit of the filesystem's times, as an editor that saves twice; and once more, right after a look."""
    with watching(kind, tmp_path) as (engine, at, _):
        path = at / "a.json"
        path.write_text("one")
        tick = handed(engine)
        for text in ("two", "six", "ten"):
            path.write_text(text)
            assert handed(engine) > tick, text
            tick = engine.index.tick


@pytest.mark.parametrize("kind", HERE)
def test_no_change_of_names_in_a_polled_directory_is_missed(kind: str, tmp_path: Path) -> None:
    """Its own stat shows that there was one, where that is relied on: not on FUSE and FAT, which are listed at each look."""
    with filesystem(kind, tmp_path / "tree") as made, contextlib.closing(Engine(tmp_path, {"": "s0"}, watches_max=1)) as engine:
        at = made.at / "d"
        at.mkdir()
        (at / "a.json").write_text("1")
        engine.until_quiet()
        territory = engine.shards["s0"].territory
        (polled,) = [node for node in territory.directories.swept if node.name == b"d"]

        def is_known() -> None:
            engine.until_quiet()
            assert rows(engine.index).keys() == walk(engine.root).keys()

        fd = os.open(at, os.O_RDONLY)
        relied_on = territory.reader.filesystems.keeps_times(os.fstat(fd).st_dev, fd)
        os.close(fd)
        assert relied_on is (not (kind == "vfat" or kind.startswith("FUSE")))
        for number in range(2):
            if number == 1 and relied_on:
                eventually(lambda: engine.until_quiet() or polled in territory.directories.recall, every_s=0.1)
            (at / f"{number}.json").write_text("2")
            is_known()
            (at / f"{number}.json").rename(at / "moved.json")
            (at / "sub").mkdir(exist_ok=True)
            is_known()
            (at / "moved.json").unlink()
            is_known()


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_what_is_made_after_a_directory_was_opened_is_listed(kind: str, tmp_path: Path) -> None:
    """And before it is watched, so that no event tells of it. btrfs would list only what was there when it was opened."""

    def entries(fd: int, on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
        with Disk().entries(fd) as items:
            return sorted_out(items, on_progress)

    with filesystem(kind, tmp_path / "fs") as made:
        for number, lists in enumerate((Disk().list_names, list_names, entries)):
            at = made.at / str(number)
            at.mkdir()
            fd = os.open(at, os.O_RDONLY)
            try:
                for name in ("first", "second"):
                    (at / name).mkdir()
                    (at / f"{name}.json").write_text("1")
                    others, directories = lists(fd, lambda: None)
                    assert (f"{name}.json".encode() in others, name.encode() in directories) == (True, True)
            finally:
                os.close(fd)


def _make(at: Path) -> None:
    (at / "a" / "b").mkdir(parents=True)
    (at / "a" / "b" / "f.json").write_text("1")


def _write(at: Path) -> None:
    (at / "a" / "b" / "f.json").write_text("22")
    (at / "a" / "b" / "g.json").write_text("3")


def _rename_directory(at: Path) -> None:
    (at / "a").rename(at / "c")
    (at / "c" / "b" / "g.json").write_text("44")


def _rename_file(at: Path) -> None:
    (at / "c" / "b" / "g.json").rename(at / "h.json")
    os.truncate(at / "h.json", 0)


def _make_again(at: Path) -> None:
    shutil.rmtree(at / "c")
    (at / "c").mkdir()
    (at / "c" / "i.json").write_text("5")


_STEPS = (_make, _write, _rename_directory, _rename_file, _make_again)


@pytest.mark.parametrize("kind", [kind for kind in HERE if documented()[kind][-1] == "yes"])
def test_fanotify_notices_what_is_done(kind: str, tmp_path: Path) -> None:
    """Files and directories made, written, renamed and removed; each time the index equals the tree, without a rescan."""
    with (
        filesystem(kind, tmp_path / "tree") as made,
        contextlib.closing(Engine(tmp_path, {"": "s0"}, settle_ms=50, backend=FanotifyBackend)) as engine,
    ):
        at = made.at
        for step in _STEPS:
            step(at)
            engine.until_quiet()
            assert engine.difference() == ({}, {}), step
        assert (engine.shards["s0"].backend.watches(), engine.shards["s0"].watcher.scans.rescans) == (1, 0)


@pytest.mark.parametrize("kind", ["ext4", "ext4, inodes of 128 bytes"])
def test_a_look_that_was_too_early_is_made_once_more(kind: str, tmp_path: Path) -> None:
    """By itself, when another change would show: then the row is certain, nobody is told again, and a restart tells nothing."""
    with watching(kind, tmp_path) as (engine, at, _):
        (at / "a.json").write_text("one")
        engine.until_quiet()

        def racy() -> bool:
            found = query(engine.index, "SELECT racy FROM every WHERE name = CAST('a.json' AS BLOB)")
            return found == [(1,)]

        def looked_at_too_early() -> bool:
            (at / "a.json").write_text("one")
            engine.until_quiet()
            return racy()

        def certain() -> bool:
            engine.turn(200)
            return not racy()

        if kind != "ext4":
            eventually(looked_at_too_early, what="a look in the second of the write")
        tick = handed(engine)
        eventually(certain, 30, every_s=0.15)
        engine.kill("s0")
        engine.start("s0")
        assert handed(engine) == tick
        (at / "a.json").write_text("two")
        assert handed(engine) > tick


@pytest.mark.parametrize("kind", kinds_with())
def test_a_remount_tells_nothing(kind: str, tmp_path: Path) -> None:
    """Fifty files, one of them with two names, under another device number: none is told, all are watched as before."""
    times, _, _, trusted, _, hard_links, *_ = documented()[kind]
    links = hard_links == trusted == "yes"
    with watching(kind, tmp_path) as (engine, at, made):
        for number in range(50):
            (at / f"{number}.json").write_text(str(number))
        if links:
            (at / "linked.json").hardlink_to(at / "0.json")
        time.sleep(0.02 if times == "nanoseconds" else 2.1)  # so long a look is racy
        engine.kill("s0")
        engine.start("s0")
        tick = handed(engine)
        engine.kill("s0")
        assert made.mount_elsewhere is not None
        made.mount_elsewhere()
        engine.start("s0")
        assert handed(engine) == tick
        (at / "7.json").write_text("changed")
        if links:
            (at / "linked.json").write_text("by one of its names")
        assert handed(engine) > tick
        changed = {row.path for row in engine.index.backlog.pending(0, tick, 100).rows}
        assert {os.path.basename(path) for path in changed} >= {b"7.json"}
        if links:
            assert {os.path.basename(path) for path in changed} == {b"7.json", b"0.json", b"linked.json"}


@pytest.mark.parametrize("kind", [kind for kind in HERE if kind.startswith("FUSE")])
def test_another_invented_inode_number_is_no_change(kind: str, tmp_path: Path) -> None:
    """The kernel forgets its inodes when it needs the memory, and a FUSE server numbers what it meets anew: nothing is told."""
    with watching(kind, tmp_path) as (engine, at, made):
        for name in "abc":
            (at / f"{name}.json").write_text(name)
        eventually(
            lambda: all((at / f"{name}.json").stat().st_ctime_ns < time.time_ns() - 2 * SECOND for name in "abc"), every_s=0.2
        )
        engine.kill("s0")
        engine.start("s0")
        tick = handed(engine)
        numbers = {name: (at / f"{name}.json").stat().st_ino for name in "abc"}
        assert made.mount_elsewhere is not None
        for _ in range(3):
            engine.kill("s0")
            made.mount_elsewhere()
            order = "cba" if numbers["a"] < numbers["c"] else "abc"
            numbers = {name: (at / f"{name}.json").stat().st_ino for name in order}
            engine.start("s0")
            assert handed(engine) == tick
        assert query(engine.index, "SELECT DISTINCT ino FROM every WHERE directory = 0") == [(0,)]
