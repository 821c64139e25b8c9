"""How a shard looks at names and directories: every schedule here once missed a change, or could.

Most of these tests change a tree while the engine stands still at a chosen point, and then demand that the index equals the tree.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from descriptors import descriptors, opened_since
from engine import rows
from faulty_disk import FaultyDisk
from shard_scene import ShardScene

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.schedule.watcher import Bounds
from shardwatch.shard.stream import send
from shardwatch.shard.territory import looking


def test_a_file_made_while_its_directory_is_listed_is_found(make: Callable[..., ShardScene], denied: FaultyDisk) -> None:
    """Rules 4 and 16: watch before list. The listing misses the file; its hint does not."""
    scene = make()
    scene.put("a/f.json")
    late: list[Path] = [scene.tree / "late.json", scene.tree / "a/late.json"]

    def was_read(path: bytes) -> None:
        for file in [f for f in late if os.fsencode(f.parent) == path]:
            file.write_text("made after the directory was read")
            late.remove(file)

    denied.after_listing = was_read
    scene.engine.turn()
    assert late == []
    scene.rests()


def test_what_happened_while_a_shard_was_dead_is_found_by_its_successor(scene: ShardScene) -> None:
    """Rules 2 and 16: a new life begins with a baseline, watched first."""
    scene.engine.kill("s0")
    scene.put("a/f.json", text="changed")
    scene.put("new/deep/g.json")
    shutil.rmtree(scene.tree / "a/b")
    scene.engine.start("s0")
    scene.put("after/h.json")
    scene.rests()


def test_a_scan_that_was_not_finished_is_begun_again(make: Callable[..., ShardScene]) -> None:
    """Rule 2: killed between any two directories, by the shard's end or the aggregator's."""
    scene = make(bounds=Bounds(slice_ns=0))
    scene.put(*[f"d{i}/e{j}/f.json" for i in range(16) for j in range(2)])
    for steps in range(12):
        for _ in range(steps):
            scene.shard.step()
        assert not scene.shard.watcher.baseline_done
        if steps % 2:
            scene.engine.kill("s0")
            scene.engine.start("s0")
        else:
            scene.engine.commit()
            scene.engine.restart_aggregator(commit=False, lose_index=True)
            scene.shard.new_epoch(0)
    scene.rests()


def test_jobs_that_are_dropped_leave_no_descriptor_open(make: Callable[..., ShardScene]) -> None:
    """A scan holds one for each level in which something is left to enter; a new epoch drops it half run."""
    scene = make(bounds=Bounds(slice_ns=0))
    scene.put(*["/".join(names) + "/f.json" for names in itertools.product("xy", repeat=6)])
    before = descriptors()
    for _ in range(20):
        scene.shard.step()
        if len(opened_since(before)) > 3:
            break
    assert len(opened_since(before)) > 3
    scene.shard.new_epoch(0)
    assert opened_since(before) == []
    scene.rests()


def test_names_are_any_bytes(scene: ShardScene) -> None:
    """Newlines and invalid UTF-8, of files and of directories."""
    odd = os.fsencode(scene.tree) + b"/new\nline \xff\xfe"
    os.mkdir(odd)
    scene.engine.turn()
    Path(os.fsdecode(odd + b"/\n\xe2\x82.json")).write_text("x")
    scene.rests()
    os.rename(odd, odd + b"\x01")
    scene.equal()


def test_a_path_may_be_longer_than_the_system_allows(make: Callable[..., ShardScene]) -> None:
    """Rule 9: a directory is entered from its parent's descriptor; 100 levels, 5,000 bytes."""
    scene = make()
    name = b"d" * 50
    fd = os.open(scene.tree, os.O_RDONLY)
    fds = [fd]
    for _ in range(100):
        os.mkdir(name, dir_fd=fds[-1])
        fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))

    def write(text: bytes) -> None:
        file = os.open(b"f.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=fds[-1])
        os.write(file, text)
        os.close(file)

    def size() -> int:
        scene.engine.until_quiet()
        return max((tuple(v)[1] for (p, d), v in rows(scene.engine.index).items() if not d), default=-1)

    write(b"x")
    assert size() == 1
    write(b"xyz")
    assert size() == 3
    os.mkdir(b"more", dir_fd=fds[-1])
    os.unlink(b"f.json", dir_fd=fds[-1])
    assert size() == -1
    assert len(rows(scene.engine.index)) == 101
    for fd in reversed(fds):
        os.close(fd)


def test_a_large_directory_comes_in_ranges(make: Callable[..., ShardScene], monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than frames take, then fewer at both ends and in the middle, listed again and looked at by name."""
    monkeypatch.setattr(send, "FRAME_ENTRIES_MAX", 100)
    monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 400)
    scene = make()
    (scene.tree / "big").mkdir()
    for i in range(1000):
        (scene.tree / f"big/{i:05}.json").touch()
    scene.rests()
    scene.shard.lose_hints()
    for i in (*range(150), *range(400, 450), *range(990, 1000)):
        (scene.tree / f"big/{i:05}.json").unlink()
    scene.rests()
    for i in range(400, 700):
        path = scene.tree / f"big/{i:05}.json"
        path.unlink(missing_ok=True)
    scene.equal()


def test_a_directory_that_gives_a_name_twice_is_read_all_the_same(scene: ShardScene, denied: FaultyDisk) -> None:
    """readdir(3) may, while the directory changes. Two rows of one name would be an error that no restart gets over."""
    (scene.tree / "d.json").mkdir()
    denied.twice = "d.json"
    scene.shard.lose_hints()
    scene.equal()


def test_only_the_rows_that_differ_are_written(scene: ShardScene) -> None:
    """Rule 2: a rescan of everything writes nothing."""
    scene.settle_clock()
    written, tick = scene.engine.index.written, scene.engine.index.tick
    scene.shard.lose_hints()
    scene.rests()
    assert scene.shard.watcher.overflows >= 2
    assert (scene.engine.index.written, scene.engine.index.tick) == (written, tick)


def test_a_file_that_becomes_a_directory_and_back(scene: ShardScene) -> None:
    """Rule 8: in place, by rename, and where nobody saw what was in between."""
    for swap in ("x.json", "y.json"):
        scene.put(swap)
    scene.engine.turn()
    (scene.tree / "x.json").unlink()
    scene.put("x.json/f.json")
    scene.rests()
    shutil.rmtree(scene.tree / "x.json")
    scene.put("x.json")
    (scene.tree / "a").rename(scene.tree / "z")
    (scene.tree / "y.json").rename(scene.tree / "a")
    (scene.tree / "z").rename(scene.tree / "y.json")
    scene.equal()


def test_what_is_no_file_is_not_there(scene: ShardScene) -> None:
    """A FIFO in a file's place, seen by a hint and by a listing, and counted."""
    (scene.tree / "f.json").unlink()
    os.mkfifo(scene.tree / "f.json")
    scene.engine.until_quiet()
    assert "f.json" not in scene.paths()
    assert scene.shard.territory.reader.others > 0
    scene.shard.lose_hints()
    scene.engine.until_quiet()
    assert "f.json" not in scene.paths()


def test_a_name_that_is_kept_as_a_file_and_pruned_as_a_directory(make: Callable[..., ShardScene]) -> None:
    """Hints about directories that are no rows are about files too."""
    scene = make(keep=Filter(("*.json",), ("c.json/",)))
    scene.put("c.json")
    scene.engine.until_quiet()
    assert scene.paths() == ["c.json"]
    (scene.tree / "c.json").unlink()
    scene.put("c.json/f.json")
    scene.engine.until_quiet()
    assert scene.paths() == []
    shutil.rmtree(scene.tree / "c.json")
    scene.put("c.json")
    scene.engine.until_quiet()
    assert scene.paths() == ["c.json"]


def test_directories_move_within_the_tree(scene: ShardScene) -> None:
    """To a new place, onto an empty one, in a circle; the watch goes along with the directory, once."""
    (scene.tree / "a").rename(scene.tree / "moved")
    scene.equal()
    (scene.tree / "moved/b/f.json").write_text("changed after the move")
    scene.equal()
    scene.put("p/f.json", "q/g.json", "r/x.json")
    scene.engine.turn()
    for one, other in (("p", "t"), ("q", "p"), ("r", "q"), ("t", "r")):
        (scene.tree / one).rename(scene.tree / other)
    scene.equal()
    scene.put("p/f.json", "q/f.json", "r/f.json", "moved/g.json")
    scene.equal()
    assert scene.shard.backend.watches() == len(scene.shard.territory.directories) == 6


def test_a_late_look_resurrects_nothing(scene: ShardScene) -> None:
    """Rule 9: `mv foo bar; ln -s bar foo`: foo/b/f.json still exists, through a link, and is no row of ours."""
    (scene.tree / "a/b/f.json").write_text("hinted")
    scene.shard.backend.drain()
    scene.shard.watcher.absorb(scene.shard.backend.take())
    (scene.tree / "a").rename(scene.tree / "c")
    (scene.tree / "a").symlink_to("c")
    scene.shard.watcher.work()  # the look is made before the move is known
    scene.shard.stream.flush(0)
    scene.equal()
    assert "a/b/f.json" not in scene.paths()


def test_a_link_is_never_entered(scene: ShardScene, tmp_path: Path) -> None:
    """Rule 9: neither by a scan nor by a hint; nor is what a directory became when it was replaced by one."""
    scene.put("../outside/f.json")
    (scene.tree / "l").symlink_to("../outside")
    (scene.tree / "l.json").symlink_to("a")
    shutil.rmtree(scene.tree / "a/b")
    (scene.tree / "a/b").symlink_to("../../outside")
    scene.equal()
    assert scene.paths() == ["a", "a/f.json", "f.json", "l.json"]


def test_a_directory_in_place_of_another_is_not_taken_for_it(scene: ShardScene) -> None:
    """Rule 9: what changes in it gives no hint as long as the old one is watched. Back and forth between two looks."""
    (scene.tree / "a/f.json").write_text("hinted")
    shard = scene.shard
    shard.backend.drain()
    hints = shard.backend.take()
    (scene.tree / "a").rename(scene.base / "kept")
    scene.put("a/f.json", text="an impostor's")
    shard.watcher.absorb(hints)
    shard.watcher.arrivals.forget_hints()  # of the move nothing is known yet
    shard.watcher.work()
    shutil.rmtree(scene.tree / "a")
    (scene.base / "kept").rename(scene.tree / "a")
    scene.equal()
    scene.put("a/f.json", text="as before, and watched")
    scene.equal()
