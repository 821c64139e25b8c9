"""How a shard looks: every schedule here once missed a change, or could. Real files and inotify; the clock is ours.

Most tests change a tree while the engine of one process (tests/engine.py) stands still at a chosen point, and then demand that
the index equals the tree.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, Shard, rows, walk
from faulty_disk import FaultyDisk
from waiting import eventually

from shardwatch.shard.backend.base import Arrival, Hints
from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.contract.files.packed import DIRECTORY, kinds
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.limits import ANCHOR_CHECK_S
from shardwatch.shard.contract.state.directory import TAG, TAG_TEXT
from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.contract.wire.frames import Gone, Listing, Looks, Record
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.disk.mounts import Mounts
from shardwatch.shard.schedule import rota, watcher
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.watcher import Watcher
from shardwatch.shard.stream import send
from shardwatch.shard.stream.send import Stream
from shardwatch.shard.territory import looking
from shardwatch.shard.territory.anchors import scan_anchor
from shardwatch.shard.territory.doubts import Doubts, Subject
from shardwatch.shard.territory.looking import look, reconcile
from shardwatch.shard.territory.sweep import retry_doubts, sweep
from shardwatch.shard.territory.territory import Territory
from shardwatch.shard.tree.nodes import Node

MS = 10**6
#: Long enough for the anchors to be looked at.
CHECK_MS = int(ANCHOR_CHECK_S * 2000)


class Scene:
    """An engine with one tree, and the demands on it."""

    def __init__(self, base: Path, **options: Any) -> None:
        self.base = base
        self.engine = Engine(base, options.pop("anchors", {"": "s0"}), **options)
        self.tree = base / "tree"

    @property
    def shard(self) -> Shard:
        return self.engine.shards["s0"]

    def put(self, *files: str, text: str = "x") -> None:
        for file in files:
            path = self.tree / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def equal(self) -> None:
        """The index is the tree, after a sync and after a rest."""
        assert self.engine.sync() == {"ok": True}
        assert self.engine.difference() == ({}, {})
        self.engine.until_quiet()
        assert self.engine.difference() == ({}, {})

    def rests(self) -> None:
        """The index is the tree without anybody asking for it."""
        self.engine.until_quiet()
        assert self.engine.difference() == ({}, {})

    def settle_clock(self) -> None:
        """Rescans until nothing is racy any more: a tick of the coarse clock after the last write."""

        def proven() -> bool:
            self.shard.lose_hints()
            self.rests()
            found: tuple[int] = self.engine.index.file.db.execute("SELECT total(racy) FROM entry").fetchone()
            return found == (0,)

        eventually(proven)

    def paths(self) -> list[str]:
        root = len(self.engine.root) + 1
        return sorted(os.fsdecode(path[root:]) for path, _ in rows(self.engine.index))

    def node(self, path: str = "", shard: str = "s0") -> Node:
        full = os.path.join(self.engine.root, os.fsencode(path)) if path else self.engine.root
        found = [node for place in self.engine.shards[shard].territory.places if (node := place.find(full)) is not None]
        assert len(found) == 1, path
        return found[0]


@pytest.fixture
def make(tmp_path: Path, denied: FaultyDisk) -> Iterator[Callable[..., Scene]]:
    """Makes one scene; its engine is closed in the end."""
    made: list[Scene] = []

    def scene(**options: Any) -> Scene:
        made.append(Scene(tmp_path, disk=denied, **options))
        return made[-1]

    yield scene
    for one in made:
        one.engine.close()


@pytest.fixture
def scene(make: Callable[..., Scene]) -> Scene:
    """One shard, and f.json in the root, in a and in a/b."""
    scene = make()
    scene.put("f.json", "a/f.json", "a/b/f.json")
    scene.equal()
    return scene


@pytest.fixture
def denied() -> FaultyDisk:
    """The disk of every scene; nothing is denied yet."""
    return FaultyDisk()


# -- looking


def test_a_file_made_while_its_directory_is_listed_is_found(make: Callable[..., Scene], denied: FaultyDisk) -> None:
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


def test_what_happened_while_a_shard_was_dead_is_found_by_its_successor(scene: Scene) -> None:
    """Rules 2 and 16: a new life begins with a baseline, watched first."""
    scene.engine.kill("s0")
    scene.put("a/f.json", text="changed")
    scene.put("new/deep/g.json")
    shutil.rmtree(scene.tree / "a/b")
    scene.engine.start("s0")
    scene.put("after/h.json")
    scene.rests()


def test_a_scan_that_was_not_finished_is_begun_again(make: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 2: killed between any two directories, by the shard's end or the aggregator's."""
    monkeypatch.setattr(watcher, "_SLICE_NS", 0)
    scene = make()
    scene.put(*[f"d{i}/e{j}/f.json" for i in range(4) for j in range(3)])
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


def test_jobs_that_are_dropped_leave_no_descriptor_open(make: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan holds one for each level in which something is left to enter; a new epoch drops it half run."""
    monkeypatch.setattr(watcher, "_SLICE_NS", 0)
    scene = make()
    scene.put(*["/".join(names) + "/f.json" for names in itertools.product("xy", repeat=6)])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        scene.shard.step()
        if len(os.listdir("/proc/self/fd")) > before + 3:
            break
    assert len(os.listdir("/proc/self/fd")) > before + 3
    scene.shard.new_epoch(0)
    assert len(os.listdir("/proc/self/fd")) == before
    scene.rests()


def test_names_are_any_bytes(scene: Scene) -> None:
    """Newlines and invalid UTF-8, of files and of directories."""
    odd = os.fsencode(scene.tree) + b"/new\nline \xff\xfe"
    os.mkdir(odd)
    scene.engine.turn()
    Path(os.fsdecode(odd + b"/\n\xe2\x82.json")).write_text("x")
    scene.rests()
    os.rename(odd, odd + b"\x01")
    scene.equal()


def test_a_path_may_be_longer_than_the_system_allows(make: Callable[..., Scene]) -> None:
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


def test_a_large_directory_comes_in_ranges(make: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_directory_that_gives_a_name_twice_is_read_all_the_same(scene: Scene, denied: FaultyDisk) -> None:
    """readdir(3) may, while the directory changes. Two rows of one name would be an error that no restart gets over."""
    (scene.tree / "d.json").mkdir()
    denied.twice = "d.json"
    scene.shard.lose_hints()
    scene.equal()


def test_only_the_rows_that_differ_are_written(scene: Scene) -> None:
    """Rule 2: a rescan of everything writes nothing."""
    scene.settle_clock()
    written, tick = scene.engine.index.written, scene.engine.index.tick
    scene.shard.lose_hints()
    scene.rests()
    assert scene.shard.watcher.overflows >= 2
    assert (scene.engine.index.written, scene.engine.index.tick) == (written, tick)


def test_a_file_that_becomes_a_directory_and_back(scene: Scene) -> None:
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


def test_what_is_no_file_is_not_there(scene: Scene) -> None:
    """A FIFO in a file's place, seen by a hint and by a listing, and counted."""
    (scene.tree / "f.json").unlink()
    os.mkfifo(scene.tree / "f.json")
    scene.engine.until_quiet()
    assert "f.json" not in scene.paths()
    assert scene.shard.territory.reader.others > 0
    scene.shard.lose_hints()
    scene.engine.until_quiet()
    assert "f.json" not in scene.paths()


def test_a_name_that_is_kept_as_a_file_and_pruned_as_a_directory(make: Callable[..., Scene]) -> None:
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


def test_directories_move_within_the_tree(scene: Scene) -> None:
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


# -- paths are walked, not trusted


def test_a_late_look_resurrects_nothing(scene: Scene) -> None:
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


def test_a_link_is_never_entered(scene: Scene, tmp_path: Path) -> None:
    """Rule 9: neither by a scan nor by a hint; nor is what a directory became when it was replaced by one."""
    scene.put("../outside/f.json")
    (scene.tree / "l").symlink_to("../outside")
    (scene.tree / "l.json").symlink_to("a")
    shutil.rmtree(scene.tree / "a/b")
    (scene.tree / "a/b").symlink_to("../../outside")
    scene.equal()
    assert scene.paths() == ["a", "a/f.json", "f.json", "l.json"]


def test_a_directory_in_place_of_another_is_not_taken_for_it(scene: Scene) -> None:
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


# -- anchors


@pytest.fixture
def nested(make: Callable[..., Scene]) -> Scene:
    """s1 owns a/x/y, s0 the rest."""
    scene = make(anchors={"": "s0", "a/x/y": "s1"})
    scene.put("f.json", "a/x/f.json", "a/x/y/f.json", "a/x/y/d/f.json")
    scene.equal()
    return scene


def test_another_shards_anchor_is_not_entered(nested: Scene) -> None:
    """Rule 10: its parent's owner says that it is there, and holds no watch on it."""
    shutil.rmtree(nested.tree / "a/x/y")
    nested.put("a/x/y/f.json")
    nested.equal()
    os.utime(nested.tree / "a/x/y")
    nested.equal()
    path = nested.engine.root + b"/a/x/y"
    assert [place.find(path) for place in nested.shard.territory.places] == [None]
    assert nested.shard.backend.watches() == 3


@pytest.mark.parametrize("again", [False, True])
def test_an_anchors_ancestor_is_renamed(nested: Scene, again: bool) -> None:
    """Rule 10: the anchor's shard gets no event, and would watch the old directory for ever."""
    (nested.tree / "a/x").rename(nested.tree / "a/z")
    if again:
        nested.put("a/x/y/new.json")
    nested.equal()
    nested.put("a/z/y/f.json", text="in the old one")
    if again:
        nested.put("a/x/y/d/f.json", text="in the new one")
    nested.equal()
    if not again:
        (nested.tree / "a/z").rename(nested.tree / "a/x")
        nested.equal()


def test_an_anchor_that_was_away_for_a_moment_lost_nothing(nested: Scene) -> None:
    """Rule 10: changed while it was away, looked at in vain, and back before anyone compares: the same directory."""
    nested.engine.turn(CHECK_MS)
    (nested.tree / "a/x").rename(nested.tree / "a/z")
    nested.put("a/z/y/d/f.json", text="changed")
    nested.put("a/z/y/d/new/g.json")
    (nested.tree / "a/z/y/d/gone").mkdir()
    nested.engine.shards["s1"].step()
    (nested.tree / "a/z").rename(nested.tree / "a/x")
    nested.rests()
    nested.put("a/x/y/d/new/g.json", text="watched again")
    nested.rests()


@pytest.mark.parametrize("moment", ["root", "below"])
def test_a_root_that_was_away_for_a_moment_lost_nothing(scene: Scene, moment: str) -> None:
    """Rule 10: its own move is an event, but it may be read when all is over."""
    scene.engine.turn(CHECK_MS)
    shard = scene.shard
    scene.tree.rename(scene.base / "away")
    where = scene.base / "away" / ("a" if moment == "below" else "")
    (where / "f.json").write_text("changed")
    (where / "new").mkdir()
    (where / "new/g.json").write_text("x")
    shard.backend.drain()
    hints = shard.backend.take()
    hints.selves.clear()  # of its move nothing is known yet
    shard.watcher.absorb(hints)
    shard.watcher.work()
    shard.stream.flush(0)
    (scene.base / "away").rename(scene.tree)
    scene.rests()
    (scene.tree / where.name / "new/g.json" if moment == "below" else scene.tree / "new/g.json").write_text("watched")
    scene.rests()


def test_a_sync_covers_an_anchor_that_went_away_during_it(scene: Scene) -> None:
    """Rule 24: what was changed before the sync is in the index when it is answered."""
    scene.put("a/f.json", text="changed before the sync")
    shard = scene.shard
    shard.watcher.sync(77)
    scene.tree.rename(scene.base / "away")
    shard.watcher.work()
    (scene.base / "away").rename(scene.tree)
    scene.engine.receiver.finish_syncs(0)
    scene.equal()


@pytest.mark.parametrize("path", ["", "a"])
def test_a_root_that_is_back_before_anybody_asks(scene: Scene, denied: FaultyDisk, path: str) -> None:
    """Rule 10: a look was in vain, and a moment later everything is where it was. Only a scan makes it certain."""
    scene.put(os.path.join(path, "f.json"), text="changed")
    denied.once[os.fsencode(scene.tree / path)] = errno.ENOENT
    scene.shard.step()
    assert denied.once == {}
    scene.rests()


def test_an_anchor_in_place_of_another_is_not_taken_for_it(scene: Scene) -> None:
    """Rules 9 and 10: a look in the impostor of a root says nothing; the root is scanned."""
    scene.put("f.json", text="changed")
    shard = scene.shard
    shard.backend.drain()
    hints = shard.backend.take()
    scene.tree.rename(scene.base / "kept")
    scene.put("f.json", text="an impostor's")
    shard.watcher.absorb(hints)
    shard.watcher.work()
    shard.stream.flush(0)
    shutil.rmtree(scene.tree)
    (scene.base / "kept").rename(scene.tree)
    scene.rests()


@pytest.mark.parametrize("lost", [False, True])
def test_a_root_that_is_made_again_is_watched_again(scene: Scene, lost: bool) -> None:
    """Rule 10: ext4 gives it the inode number of its predecessor; also where the kernel's queue ran over."""
    for turn in range(3):
        shutil.rmtree(scene.tree)
        scene.tree.mkdir()
        if lost:
            scene.shard.lose_hints()
        scene.put(f"{turn}.json")
        scene.rests()
        scene.put(f"later{turn}.json", f"d{turn}/f.json")
        scene.rests()


def test_a_directory_that_is_made_again_is_watched_again(scene: Scene) -> None:
    """The same, below the root, with and without the kernel's word for it."""
    for turn in range(4):
        shutil.rmtree(scene.tree / "a")
        scene.put("a/b/g.json")
        if turn % 2:
            scene.shard.lose_hints()
        scene.equal()
        scene.put("a/b/h.json", text=str(turn))
        scene.equal()


def test_a_root_that_is_missing_is_gone_and_told(scene: Scene) -> None:
    """Rule 12: deletions, and a status; said once."""
    scene.tree.rename(scene.base / "away")
    scene.equal()
    assert scene.paths() == []
    shard = scene.shard
    report = shard.territory.report()
    assert [(d.path, d.state) for d in report] == [(scene.engine.root, "missing")]
    seq = shard.stream._seq
    for _ in range(5):
        scene.engine.turn(CHECK_MS)
    assert shard.stream._seq == seq
    (scene.base / "away").rename(scene.tree)
    scene.equal()
    assert len(scene.paths()) == 5


def test_an_anchor_that_becomes_a_file_is_gone(nested: Scene) -> None:
    """Its owner says so; what is there now belongs to the parent's."""
    shutil.rmtree(nested.tree / "a/x/y")
    (nested.tree / "a/x/y").write_text("x")
    nested.equal()
    (nested.tree / "a/x/y").unlink()
    nested.put("a/x/y/f.json")
    nested.equal()


def test_a_plan_moves_a_subtree(nested: Scene) -> None:
    """Rule 16: its new owner watches and lists it, whatever its old one had not said yet."""
    nested.put("a/x/y/f.json", "a/x/f.json", text="not said yet")
    nested.engine.replan({"": "s1", "a": "s0"})
    nested.put("a/x/y/d/f.json", text="after the plan")
    nested.equal()
    nested.engine.replan({"": "s0"})
    shutil.rmtree(nested.tree / "a/x")
    nested.equal()


def test_many_anchors_take_their_turns(make: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 10: each is compared within four rounds; a sync compares them all."""
    monkeypatch.setattr(rota, "_ANCHORS_A_TURN", 2)
    scene = make(anchors={"": "s0"} | {f"d{i}/e": "s0" for i in range(12)})
    scene.put(*[f"d{i}/e/f.json" for i in range(12)])
    scene.equal()
    for i in range(12):
        (scene.tree / f"d{i}").rename(scene.tree / f"old{i}")
        scene.put(f"d{i}/e/g.json")
    for _ in range(4):
        scene.engine.turn(CHECK_MS)
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})
    (scene.tree / "d7").rename(scene.tree / "older7")
    scene.equal()


# -- several names of a file


@pytest.mark.parametrize("anchors", [{"": "s0"}, {"": "s0", "a": "s1"}])
def test_a_write_by_one_name_is_seen_at_the_other(make: Callable[..., Scene], anchors: dict[str, str]) -> None:
    """Rule 11: of one shard, or of two. The second name may be the younger one."""
    scene = make(anchors=anchors)
    scene.put("f.json", "a/x.json")
    scene.equal()
    (scene.tree / "a/g.json").hardlink_to(scene.tree / "f.json")
    scene.equal()
    (scene.tree / "a/g.json").write_text("by the new name")
    scene.equal()
    (scene.tree / "f.json").write_text("by the old one")
    scene.rests()
    (scene.tree / "a/h.json").hardlink_to(scene.tree / "f.json")
    (scene.tree / "f.json").unlink()
    scene.equal()
    shutil.rmtree(scene.tree / "a")
    scene.equal()


def test_a_copy_by_hard_links_comes_to_rest(make: Callable[..., Scene]) -> None:
    """Rule 11: `cp -al`, in directories with more names than one reply asks for."""
    scene = make(anchors={"": "s0", "copy": "s1"})
    scene.put(*[f"d/{i:03}.json" for i in range(150)])
    scene.equal()
    (scene.tree / "copy").mkdir()
    for i in range(150):
        (scene.tree / f"copy/{i:03}.json").hardlink_to(scene.tree / f"d/{i:03}.json")
    scene.equal()
    assert scene.engine.index.owed == {}


def test_names_that_nobody_knows_are_answered_too(scene: Scene) -> None:
    """A look that is owed is paid, or no sync would ever end: what is gone, is pruned, is no file, or is not known yet."""
    watching = scene.shard.watcher
    root = scene.engine.root
    scene.put(".git/f.json", "new/deep/f.json", "t.tmp")
    scene.shard.backend.take()
    scene.engine.index.begin()
    owed = [
        (root, b"f.json"), (root, b"nothing.json"), (root, b"t.tmp"), (root, b".git"), (root, b"a"), (root, b"gone"),
        (root + b"/.git", b"f.json"), (root + b"/gone/deep", b"f.json"), (root + b"/new/deep", b"f.json"),
    ]  # fmt: skip
    for directory, name in owed:
        scene.engine.index.debts.owe(directory, name)
    for i in range(150):
        scene.engine.index.debts.owe(root + b"/gone", b"%d" % i)
        scene.engine.index.debts.owe(root + b"/a", b"%d" % i)
    scene.engine.index.commit()
    watching.look_again(b"/elsewhere", [b"f"])
    scene.equal()
    assert scene.engine.index.owed == {}


def test_what_is_asked_for_is_bounded_while_there_is_no_credit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: the aggregator asks again with each beat."""
    monkeypatch.setattr(watcher, "_ASKED_MAX", 5)
    for _ in range(50):
        scene.shard.watcher.look_again(scene.engine.root, [b"f.json"])
    assert scene.shard.watcher.pending == 5


# -- mounts


class Table(Mounts):
    """What /proc/self/mountinfo would say."""

    def __init__(self) -> None:
        super().__init__(table="/nonexistent")
        self.points: set[bytes] = set()
        self.off = False
        self.departed = False

    def take_changes(self) -> set[bytes]:
        found, self.points = self.points, set()
        return found

    def mounted(self) -> set[bytes]:
        return set()

    def gone(self, root: bytes) -> bool:
        return self.off

    def left(self, root: bytes) -> bool:
        return self.departed

    def stay(self, root: bytes) -> None:
        self.departed = False


@pytest.fixture
def table() -> Table:
    """Read by the shard of `mounted`."""
    return Table()


@pytest.fixture
def mounted(make: Callable[..., Scene], table: Table) -> Scene:
    """As `scene`, with that table of mounts."""
    scene = make(mounts=table)
    scene.put("f.json", "a/f.json", "a/b/f.json")
    scene.equal()
    return scene


@pytest.mark.parametrize("synced", [False, True])
def test_what_is_mounted_over_a_directory_is_seen(mounted: Scene, table: Table, synced: bool) -> None:
    """Rule 12: mounting gives no event at all: here, one directory takes another's place unheard."""
    shard = mounted.shard
    (mounted.tree / "a").rename(mounted.base / "below")
    mounted.put("a/over.json", "a/deep/er.json")
    shard.backend.drain()
    shard.backend.take()
    table.points = {mounted.engine.root + b"/a", mounted.engine.root + b"/nothing/known", b"/elsewhere"}
    if not synced:
        mounted.engine.turn(CHECK_MS)
        mounted.rests()
    mounted.equal()
    mounted.put("a/over.json", text="and it is watched")
    mounted.equal()


def test_an_unmounted_directory_is_seen(scene: Scene) -> None:
    """Rule 12: the kernel takes the watches back, and what is below the mount point shows."""
    node = scene.node("a")
    (scene.tree / "a").rename(scene.base / "unmounted")
    scene.put("a/below.json")
    scene.shard.backend.drain()
    scene.shard.backend.take()
    hints = Hints()
    for one in (node, node.children[b"b"]):  # type: ignore[index]
        scene.shard.backend.forget([one])
        hints.selves.append(one)
    scene.shard.watcher.absorb(hints)
    scene.rests()
    scene.put("a/below.json", text="and it is watched")
    scene.equal()


def test_an_unmounted_root_is_in_doubt(mounted: Scene, table: Table) -> None:
    """Rule 12: its rows stay; whatever lies in its place, by a hint, a sweep or a scan, is none of them."""
    before = rows(mounted.engine.index)
    table.off = True
    mounted.put("a/f.json", "impostor.json", text="on the disk below")
    (mounted.tree / "a/b").rename(mounted.tree / "c")
    mounted.shard.lose_hints()
    mounted.engine.turn(CHECK_MS)
    result = mounted.engine.sync()
    assert (result["ok"], result["subtrees"]) == (False, [mounted.engine.root])
    mounted.shard.watcher.look_again(mounted.engine.root + b"/a", [b"f.json"])
    mounted.shard.watcher.look_again(mounted.engine.root + b"/gone", [b"f.json"])
    mounted.engine.turn()
    assert rows(mounted.engine.index) == before
    shard = mounted.shard
    report = shard.territory.report()
    assert [d.state for d in report] == ["unmounted"]
    table.off = False
    mounted.equal()


@pytest.mark.parametrize("absent", [False, True])
def test_what_was_mounted_after_planning_is_waited_for(mounted: Scene, table: Table, absent: bool) -> None:
    """An empty place, or none at all, says nothing of what was mounted there; what lies in it is the root."""
    before = rows(mounted.engine.index)
    mounted.tree.rename(mounted.base / "away")
    if not absent:
        mounted.tree.mkdir()
    table.departed = True
    mounted.engine.turn(CHECK_MS)
    assert mounted.engine.sync()["ok"] is False
    assert rows(mounted.engine.index) == before
    assert mounted.shard.territory.places[0].unmounted
    mounted.put("below.json")
    mounted.engine.turn(CHECK_MS)
    mounted.equal()
    assert mounted.paths() == ["below.json"]
    (mounted.tree / "below.json").unlink()
    mounted.equal()
    assert mounted.paths() == []


def test_a_root_that_is_unmounted_between_two_steps_is_left_alone(mounted: Scene, table: Table) -> None:
    """Rule 12: jobs that were begun before find nothing to say."""
    before = rows(mounted.engine.index)
    node = mounted.node("a")
    mounted.shard.territory.directories.swept.add(node)
    table.off = True
    shutil.rmtree(mounted.tree / "a")
    mounted.put("a/c/impostor.json")
    for job in (
        look(mounted.shard.territory, node, {b"f.json"}),
        sweep(mounted.shard.territory),
        reconcile(mounted.shard.territory, node, b"b", arrived=False),
        reconcile(mounted.shard.territory, node, b"c", arrived=True),
    ):
        for _ in job:
            pass
    mounted.shard.stream.flush(0)
    assert not mounted.shard.line
    assert rows(mounted.engine.index) == before


# -- what can't be read


def unreadable(scene: Scene, *paths: str) -> None:
    """A sync names just these."""
    result = scene.engine.sync()
    assert result["ok"] is False
    assert sorted(result["subtrees"]) == sorted(os.fsencode(scene.tree / p) for p in paths)  # type: ignore[call-overload]


@pytest.mark.parametrize("scan", [False, True])
def test_an_unreadable_directory_keeps_its_rows(scene: Scene, denied: FaultyDisk, scan: bool) -> None:
    """Rule 6: EACCES is no fact. Found by its hint, by a look inside, or by a scan; looked at when it can be."""
    denied.deny(scene.tree / "a")
    before = scene.paths()
    scene.put("a/f.json", "a/new/g.json", text="changed unseen")
    (scene.tree / "a/b/f.json").unlink()
    os.utime(scene.tree / "a")
    if scan:
        scene.shard.lose_hints()
    unreadable(scene, *(("a",) if scan else ("a", "a/b", "a/new")))
    assert scene.paths() == before if scan else set(scene.paths()) >= set(before)
    denied.denied.clear()
    scene.equal()


@pytest.mark.parametrize("follow", [False, True])
def test_a_listing_that_breaks_off_deletes_nothing(make: Callable[..., Scene], denied: FaultyDisk, follow: bool) -> None:
    """Rule 6: names after the error are not absent. In a scan, and where a directory is listed because of hints."""
    scene = make(follow=follow)
    scene.put("a/1.json", "a/2.json", "a/b/f.json")
    scene.equal()
    before = scene.paths()
    denied.breaks_off.add(os.fsencode(scene.tree / "a"))
    scene.put("a/3.json")
    (scene.tree / "a/1.json").unlink()
    scene.shard.lose_hints()
    unreadable(scene, "a")
    assert scene.paths() == before
    denied.breaks_off.clear()
    scene.equal()
    assert "a/3.json" in scene.paths() and "a/1.json" not in scene.paths()


def test_a_directory_that_becomes_readable_is_scanned(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: it is the directory that was known, but hints about what is in it were looked at in vain."""
    denied.deny(scene.tree / "a")
    scene.put("a/f.json", text="changed unseen")
    scene.engine.turn()
    denied.denied.clear()
    scene.shard.watcher.times.doubts.put_off(2**62)
    os.utime(scene.tree / "a")  # chmod(2), say
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})


def test_a_doubt_ends_with_its_directory(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: deleted, replaced by a file, or moved away, there is nothing left to doubt."""
    for end in ("deleted", "file", "moved"):
        scene.put("u/f.json")
        scene.equal()
        denied.deny(scene.tree / "u")
        os.utime(scene.tree / "u")
        unreadable(scene, "u")
        denied.denied.clear()
        if end == "moved":
            (scene.tree / "u").rename(scene.base / "u")
        else:
            shutil.rmtree(scene.tree / "u")
        if end == "file":
            (scene.tree / "u").write_text("x")
        scene.equal()
        assert not scene.shard.territory.doubts
        if end == "file":
            (scene.tree / "u").unlink()


def test_another_shards_anchor_is_no_lasting_doubt_of_ours(nested: Scene, denied: FaultyDisk) -> None:
    """Rule 6: its parent's owner sees it become readable, and does not go in."""
    denied.deny(nested.tree / "a/x/y")
    os.utime(nested.tree / "a/x/y")
    unreadable(nested, "a/x/y", "a/x/y")
    denied.denied.clear()
    nested.equal()
    assert not nested.engine.shards["s0"].territory.doubts


def test_an_unreadable_directory_is_not_invented(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: who may not look whether a name is there says nothing of it."""
    (scene.tree / "a/c").mkdir()
    (scene.tree / "a/c").rmdir()
    denied.deny(scene.tree / "a")
    scene.shard.step()
    denied.denied.clear()
    assert "a/c" not in scene.paths()
    scene.equal()


def test_a_name_that_can_not_be_looked_at_puts_its_directory_in_doubt(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: EIO is no absence. By a look, by a listing, and where a directory was."""
    denied.broken[b"f.json"] = errno.EIO
    scene.put("a/f.json", text="changed")
    unreadable(scene, "a")
    assert "a/f.json" in scene.paths()
    scene.shard.lose_hints()
    assert scene.engine.sync()["ok"] is False
    assert "f.json" in scene.paths()
    denied.broken.clear()
    scene.equal()
    denied.broken[b"b"] = errno.EIO
    shutil.rmtree(scene.tree / "a/b")
    unreadable(scene, "a/b")
    assert "a/b" in scene.paths()
    denied.broken.clear()
    scene.equal()


def test_a_directory_below_that_can_not_be_listed_is_in_doubt(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: a scan goes on with its neighbours; the next one that succeeds ends the doubt."""
    scene.put("a/b/deep.json", "z/f.json")
    denied.broken[b"deep.json"] = errno.EIO
    scene.shard.lose_hints()
    unreadable(scene, "a/b")
    assert "z/f.json" in scene.paths()
    denied.broken.clear()
    scene.shard.watcher.times.doubts.put_off(2**62)
    scene.shard.watcher.rescan()
    scene.engine.turn()
    assert not scene.shard.territory.doubts
    scene.equal()


def test_a_swept_directory_that_can_not_be_read_is_in_doubt(
    make: Callable[..., Scene], denied: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 6: opened or listed; one that is gone is its parent's to say."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    denied.deny(scene.tree / "a/b")
    unreadable(scene, "a/b")
    denied.denied.clear()
    denied.broken[b"f.json"] = errno.EIO
    unreadable(scene, "a")
    denied.broken.clear()
    scene.equal()
    assert set(scene.shard.territory.directories.swept) == {scene.node("a"), scene.node("a/b")}
    shutil.rmtree(scene.tree / "a/b")
    scene.equal()


def test_an_unreadable_root_is_in_doubt(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: at its scan, and when it is compared; one try at a time, however long it lasts."""
    denied.deny(scene.tree)
    scene.put("f.json", text="changed")
    scene.shard.lose_hints()
    unreadable(scene, "")
    before = scene.paths()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(send, "WINDOW_FRAMES_MAX", 0)
        for _ in range(10):
            scene.engine.turn(3000)
    assert len(scene.shard.watcher._scans) == 1
    assert scene.paths() == before
    denied.denied.clear()
    scene.equal()


def test_a_root_that_can_not_be_watched_is_in_doubt(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6: any refusal but want of room. So is a directory."""
    add = scene.shard.backend._add

    def refuse(fd: int, *mask: int) -> int:
        raise PermissionError(errno.EPERM, "not this one")

    scene.put("new/f.json")
    monkeypatch.setattr(scene.shard.backend, "_add", refuse)
    unreadable(scene, "new")
    shutil.rmtree(scene.tree)
    scene.tree.mkdir()
    result = scene.engine.sync()
    assert result["ok"] is False
    monkeypatch.setattr(scene.shard.backend, "_add", add)
    scene.equal()


def test_want_of_descriptors_is_no_absence(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 6: EMFILE, where a directory is gone and its parent is to be asked."""
    shutil.rmtree(scene.tree / "a/b")
    denied.once[os.fsencode(scene.tree / "a")] = errno.EMFILE
    scene.shard.step()
    assert denied.once == {}
    scene.equal()


def test_two_places_of_a_directory_survive_a_look_that_fails(scene: Scene, denied: FaultyDisk) -> None:
    """Rule 9: who can't tell whether a directory was moved away, or is mounted twice, keeps both."""
    node = scene.node("a")
    other = scene.node().adopt(b"twin")
    denied.deny(scene.tree / "a")
    denied.code = errno.EMFILE
    fd = os.open(scene.tree / "a", os.O_RDONLY)
    scene.shard.territory.directories.register(fd, other)
    os.close(fd)
    assert node.alive
    denied.denied.clear()
    scene.put("a/f.json", text="still watched")
    scene.rests()


# -- what can't be watched


@pytest.mark.parametrize("watches_max", [1, 2, 3])
def test_directories_without_a_watch_are_swept(make: Callable[..., Scene], watches_max: int) -> None:
    """Rule 15: when the watches are used up. Everything is found all the same, by each sync and by the clock."""
    scene = make(watches_max=watches_max)
    scene.put("f.json", "a/f.json", "a/b/f.json", "c/f.json")
    scene.rests()
    assert scene.shard.backend.watches() == watches_max
    scene.put("a/f.json", "c/new/g.json", text="changed")
    (scene.tree / "a/b/f.json").unlink()
    scene.equal()
    shutil.rmtree(scene.tree / "c")
    scene.put("c")
    (scene.tree / "a/b").rename(scene.tree / "a/moved")
    scene.put("a/moved/x.json")
    scene.rests()
    shard = scene.shard
    report = shard.territory.report()
    assert [d.state for d in report] == (["polled"] if shard.territory.directories.swept else [])


def test_a_swept_directory_gets_a_watch_when_there_is_room(make: Callable[..., Scene]) -> None:
    """From then on it is hinted at, and not swept."""
    scene = make(watches_max=2)
    scene.put("a/f.json", "b/f.json")
    scene.rests()
    (swept,) = scene.shard.territory.directories.swept
    other = "b" if swept.name == b"a" else "a"
    shutil.rmtree(scene.tree / other)
    scene.rests()
    assert not scene.shard.territory.directories.swept
    scene.put(os.fsdecode(swept.name) + "/g.json")
    scene.engine.turn()
    assert scene.engine.difference() == ({}, {})


def seq_while(scene: Scene, turns: int = 10) -> int:
    """Frames sent while nothing happens and the clock goes on."""
    before = scene.shard.stream._seq
    for _ in range(turns):
        scene.engine.turn(5000)
    return scene.shard.stream._seq - before


def test_a_sweep_says_only_what_is_new(make: Callable[..., Scene]) -> None:
    """Else a polled tree would be sent again each second."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    eventually(lambda: seq_while(scene) == 0)  # once nothing is racy any more


def test_a_sweep_says_what_differs_from_the_last_word(make: Callable[..., Scene]) -> None:
    """A look came in between: the listing is as before, and still it is news."""
    scene = make(watches_max=1)
    scene.put("a/f.json")
    scene.rests()
    eventually(lambda: seq_while(scene) == 0)
    scene.put("a/x.json")
    scene.shard.watcher.look_again(scene.engine.root + b"/a", [b"x.json"])
    scene.engine.turn()
    assert "a/x.json" in scene.paths()
    (scene.tree / "a/x.json").unlink()
    scene.rests()


def test_a_sweep_says_what_was_looked_at_too_early_once_more(make: Callable[..., Scene], denied: FaultyDisk) -> None:
    """Rule 7: one rule for hints, rescans and sweeps: an equal stat proves nothing if it is racy."""
    scene = make(watches_max=1)
    scene.put("a/f.json")
    denied.behind_ns = 10**9
    scene.rests()
    tick = scene.engine.index.tick
    assert scene.engine.index.file.db.execute("SELECT total(racy) FROM entry").fetchone() == (1,)
    denied.behind_ns = 0
    scene.engine.index.backlog.note_handed(0, tick)

    def said() -> bool:
        scene.rests()
        return scene.engine.index.tick == tick + 1

    eventually(said)  # once the coarse clock is past the file's time of change
    assert scene.engine.index.file.db.execute("SELECT total(racy) FROM entry").fetchone() == (0,)
    scene.rests()
    assert scene.engine.index.tick == tick + 1


def test_a_new_epoch_says_everything_of_what_is_swept(make: Callable[..., Scene]) -> None:
    """Rule 2: whatever the last listing was, it was another stream's."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    scene.rests()
    scene.engine.restart_aggregator(commit=True, lose_index=True)
    scene.rests()


@pytest.mark.parametrize("again", ["made again", "moved in", "file"])
def test_a_watched_directory_in_a_swept_one_is_replaced(make: Callable[..., Scene], again: str) -> None:
    """No hint of its parent's tells; the directory's own end does."""
    scene = make(watches_max=3)
    scene.put("q/z/f.json")
    scene.rests()
    scene.put("p/c/f.json")
    (scene.base / "other").mkdir()
    (scene.base / "other/h.json").write_text("x")
    scene.rests()
    q, p = scene.node("q"), scene.node("p")
    directories = scene.shard.territory.directories
    directories.cut(q.children[b"z"])  # type: ignore[index]  # room, after p had its try
    for _ in reconcile(scene.shard.territory, p, b"c", arrived=True):
        pass
    assert p.wd < 0 <= scene.node("p/c").wd
    fd = os.open(scene.tree / "q/z", os.O_RDONLY)
    assert directories.enter(q, b"z", fd) in directories.swept
    os.close(fd)
    shutil.rmtree(scene.tree / "p/c")
    if again == "made again":
        scene.put("p/c/g.json")
    elif again == "file":
        scene.put("p/c")
    else:
        (scene.base / "other").rename(scene.tree / "p/c")
    scene.rests()
    scene.put("p/c/i.json") if again != "file" else None
    scene.equal()


def test_a_directory_is_replaced_while_the_kernel_has_no_room(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: the watch of the old one makes room for the new one, or it is swept; it is never only in doubt."""
    limit = len(list(scene.node().subtree()))
    add, held = scene.shard.backend._add, scene.shard.backend._nodes

    def full(fd: int, *mask: int) -> int:
        wd = add(fd, *mask)
        if wd not in held and len(held) >= limit:
            from shardwatch.shard.backend import calls

            calls.rm_watch(scene.shard.backend._fd, wd)
            raise OSError(errno.ENOSPC, "No space left on device")
        return wd

    monkeypatch.setattr(scene.shard.backend, "_add", full)
    for turn in range(3):
        (scene.tree / "a").rename(scene.base / f"old{turn}")
        scene.put("a/b/f.json", f"a/new{turn}.json")
        scene.shard.step()
        scene.equal()
        scene.put("a/b/g.json", text=str(turn))
        scene.equal()


def test_an_anchor_that_is_planned_to_be_polled_has_no_watch(make: Callable[..., Scene]) -> None:
    """Its filesystem tells nothing of remote changes. Another anchor of the same shard has its watches."""
    scene = make(anchors={"": "s0", "net": "s0"})
    scene.engine.plan = scene.engine.plan.__class__(
        2, tuple(Anchor(a.path, a.shard, a.root, backend="polling" if a.path.endswith(b"net") else "inotify")
                 for a in scene.engine.plan.anchors),
    )  # fmt: skip
    scene.engine.kill("s0")
    scene.engine.start("s0")
    scene.put("net/a/f.json", "b/f.json")
    scene.rests()
    shard = scene.shard
    assert {n.path()[len(scene.engine.root) :] for n in shard.territory.directories.swept} == {b"/net", b"/net/a"}
    assert shard.backend.watches() == 2
    report = shard.territory.report()
    assert [(d.path, d.state) for d in report] == [(scene.engine.root + b"/net", "polled")]
    doubts = Doubts(lambda missing: "", standing_in=("its watcher crashes", "see its log"))
    (doubt,) = doubts.report(shard.territory.places, shard.territory.directories.swept)
    assert (doubt.state, doubt.reason, doubt.remedy) == ("stand-in", "its watcher crashes", "see its log")
    scene.put("net/a/g.json", "b/g.json")
    scene.equal()


# -- credit, load and syncs


def test_without_credit_nothing_is_looked_at(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: what is pending stays hints, names become directories, those a rescan; nothing grows, nothing is lost."""
    monkeypatch.setattr(send, "WINDOW_FRAMES_MAX", 2)
    monkeypatch.setattr(watcher, "PENDING_NAMES_MAX", 10)
    monkeypatch.setattr(watcher, "_DIRECTORIES_MAX", 3)
    shard = scene.shard
    for turn in range(20):
        scene.put(*[f"a/{turn}-{i}.json" for i in range(10)], f"new{turn}/f.json")
        shard.step()
        scene.engine.now += 10 * MS
    assert shard.stream.unacked <= 3
    assert len(shard.watcher.debounce) <= 20
    assert shard.watcher.rescans > 0
    assert shard.watcher.arrivals.hinted <= 3
    scene.equal()


@pytest.mark.parametrize("listed", [False, True])
def test_a_name_that_turns_out_to_be_a_directory_is_entered(scene: Scene, monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    """And one that was a directory, and is none, is left; whatever the hint was about."""
    if listed:
        monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 0)
    scene.put("x.json/deep/f.json", "a/y.json/f.json")
    shutil.rmtree(scene.tree / "a/b")
    scene.put("a/b")
    scene.shard.backend.drain()
    scene.shard.backend.take()
    hints = Hints()
    hints.names = {scene.node(): {b"x.json"}, scene.node("a"): {b"y.json", b"b"}}
    scene.shard.watcher.absorb(hints)
    scene.rests()
    scene.put("x.json/deep/g.json", "a/y.json/g.json")
    scene.rests()


def test_more_names_than_are_looked_at_one_by_one_are_listed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No less exact: new directories are entered, deletions seen."""
    monkeypatch.setattr(looking, "LOOKS_PER_DIRECTORY_MAX", 2)
    scene.put("a/1.json", "a/2.json", "a/3.json", "a/new/f.json")
    (scene.tree / "a/f.json").unlink()
    scene.equal()


def test_a_sync_does_not_wait_for_quiet(make: Callable[..., Scene]) -> None:
    """Rule 24: paths that are settling are looked at for it."""
    scene = make(settle_ms=10_000)
    scene.put("f.json")
    assert scene.engine.sync() == {"ok": True}
    scene.put("f.json", "g.json", text="changed")
    scene.engine.turn(1)
    assert "g.json" not in scene.paths()
    assert scene.engine.sync() == {"ok": True}
    assert scene.engine.difference() == ({}, {})


def test_a_sync_is_not_held_up_by_what_comes_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 24: a tree that never rests is synced too, and up to the moment of asking."""
    monkeypatch.setattr(watcher, "_SLICE_NS", 0)
    scene.put("a/b/f.json", text="before")
    token = scene.engine.receiver.begin_sync(1000)
    scene.engine.commit()
    for turn in range(200):
        scene.put(f"load/{turn}/f.json", "hot.json", text=str(turn))
        scene.engine.turn(1)
        result = scene.engine.receiver.sync_result(token)
        if result is not None:
            break
    assert result == {"ok": True}
    wanted = walk(scene.engine.root)[scene.engine.root + b"/a/b/f.json", 0]
    assert rows(scene.engine.index)[scene.engine.root + b"/a/b/f.json", 0] == wanted
    scene.equal()


def test_a_sync_is_answered_once_in_an_epoch(scene: Scene) -> None:
    """However often it is asked for; a new epoch answers anew, for its predecessor's answer may be lost."""
    shard = scene.shard
    for _ in range(3):
        shard.watcher.sync(5)
    shard.watcher.work()
    shard.watcher.sync(5)
    shard.watcher.work()
    shard.stream.flush(0)
    assert len(shard.line) == 1
    shard.new_epoch(0)
    assert not shard.watcher.syncing
    shard.watcher.sync(5)
    assert shard.watcher.syncing
    shard.line.clear()
    scene.equal()


def test_a_lost_last_frame_is_sent_again(scene: Scene) -> None:
    """Rule 14: nothing comes after it that would show the gap."""
    scene.put("f.json", text="lost on the line")
    scene.shard.step()
    assert scene.engine.lines["s0"]
    scene.engine.lines["s0"].clear()
    scene.rests()


def test_an_overflow_in_the_middle_of_a_rescan_is_another_rescan(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost may be where the first has been already."""
    monkeypatch.setattr(watcher, "_SLICE_NS", 0)
    scene.put(*[f"d{i}/f.json" for i in range(5)])
    scene.equal()
    scene.shard.lose_hints()
    for _ in range(4):
        scene.shard.step()
    for i in range(5):
        scene.put(f"d{i}/f.json", text="lost again")
    scene.shard.lose_hints()
    scene.rests()


# -- the watcher by itself


class Backend(SweepingBackend):
    """Registers nothing and loses hints without a word."""

    lossy = True

    def watch(self, fd: int, node: Node, *, names: bool = True) -> None:
        node.wd = 0

    def same(self, fd: int, node: Node) -> bool:
        return True


def test_a_lossy_backend_is_rescanned(tmp_path: Path) -> None:
    """At every sync, and once a minute."""
    (tmp_path / "f.json").write_text("x")
    said: list[Record] = []
    now = [0]
    backend = Backend("lossy")
    anchors = [Anchor(os.fsencode(tmp_path), "s0", os.fsencode(tmp_path))]
    own = Territory(
        anchors, frozenset([anchors[0].path]), reader=Reader(Filter(("*.json",), ()), state_dir=b"/n"), backend=backend,
        doubts=Doubts(lambda missing: ""), emit=said.append,
    )  # fmt: skip
    stream = Stream("s0", 1, 1, lambda body: True)
    watching = Watcher(own, backend, stream, Debounce(0, 0), poll_ns=10**9, clock=lambda: now[0])
    watching.begin()
    assert not watching.idle
    while not watching.idle:
        watching.work()
    assert watching.baseline_done
    del said[:]
    watching.sync(1)
    while not watching.idle:
        watching.work()
    assert [type(r) for r in said] == [Listing]
    now[0] += 61 * 10**9
    assert watching.next_due() <= now[0]
    watching.work()
    assert watching.rescans == 2
    assert watching.next_due() > now[0]
    backend.close()


def test_the_next_thing_to_do_is_known(scene: Scene, denied: FaultyDisk) -> None:
    """The main loop sleeps until then: never for ever, and never not at all."""
    watching = scene.shard.watcher
    now = scene.engine.now
    assert now < watching.next_due() <= now + ANCHOR_CHECK_S * 10**9
    scene.shard.territory.doubts.add(Subject(b"/x", scene.shard.territory.places[0]), OSError(1, "no"))
    watching.times.doubts.put_off(now + 5)
    assert watching.next_due() == now + 5
    scene.shard.territory.doubts.remove(b"/x")
    watching.debounce.add(now, {scene.node(): {b"f.json"}})
    assert watching.next_due() == now
    assert watching.pending == 1


def test_hints_about_what_is_gone_do_nothing(scene: Scene) -> None:
    """Rule 9: they die with their directory."""
    own, node = scene.shard.territory, scene.node("a/b")
    shutil.rmtree(scene.tree / "a")
    scene.equal()
    assert not node.alive
    assert list(look(own, node, {b"f.json"})) == []
    assert list(reconcile(own, node, b"x", arrived=True)) == []
    own.directories.swept.add(node)
    assert list(sweep(own)) == []
    assert node not in own.directories.swept
    own.doubts.add(Subject(b"/x", own.places[0], node, b"x"), OSError(1, "no"))
    assert list(retry_doubts(own)) == [None]
    assert not own.doubts


# -- options


def looked(tmp_path: Path, **options: Any) -> tuple[list[str], Territory]:
    """What one baseline says of a directory, as relative paths."""
    said: list[Record] = []
    backend = SweepingBackend("none")
    base = os.fsencode(tmp_path / "tree")
    anchor = Anchor(base, "s0", base)
    reader = Reader(Filter(("*.json",), ()), **({"state_dir": b"/nowhere"} | options))
    doubts = Doubts(lambda missing: "")
    own = Territory([anchor], frozenset([base]), reader=reader, backend=backend, doubts=doubts, emit=said.append)
    for _ in scan_anchor(own, own.places[0]):
        pass
    backend.close()
    found = []
    for record in said:
        assert isinstance(record, Listing | Looks | Gone)
        for name, kind in () if isinstance(record, Gone) else zip(record.names, kinds(record.stats), strict=True):
            path = os.path.join(record.path, name)[len(base) + 1 :]
            found.append(os.fsdecode(path) + ("/" if kind == DIRECTORY else ""))
    return sorted(found), own


def test_the_services_own_directory_is_not_looked_into(tmp_path: Path) -> None:
    """Else it would feed itself. Another of that name is as good as any."""
    for name in ("state/f.json", "sub/state/f.json"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_text("x")
    found, _ = looked(tmp_path, state_dir=os.fsencode(tmp_path / "tree/state"))
    assert found == ["sub/", "sub/state/", "sub/state/f.json"]


def test_no_state_directory_is_looked_into(tmp_path: Path) -> None:
    """Whosever it is, and by whatever path it is reached: it has a mark. A file of the mark's name that says nothing is none."""
    marks = {"theirs": TAG_TEXT, "sub/theirs": TAG_TEXT, "no": b"Signature: another", "neither": b""}
    for name, mark in marks.items():
        directory = tmp_path / "tree" / name
        (directory / "below").mkdir(parents=True)
        (directory / "below/f.json").write_text("x")
        (directory / "f.json").write_text("x")
        (directory / TAG).write_bytes(mark)
    (tmp_path / "tree/link").mkdir()
    (tmp_path / "tree/link" / TAG).symlink_to("../theirs/" + TAG)
    (tmp_path / "tree/link/f.json").write_text("x")
    found, own = looked(tmp_path)
    assert [path for path in found if path.endswith("f.json")] == [
        "link/f.json", "neither/below/f.json", "neither/f.json", "no/below/f.json", "no/f.json"
    ]  # fmt: skip
    assert len(own.directories) == 7, "nor watched: the root, sub, link, and two with one below"


def test_a_state_directory_that_is_made_in_the_tree(scene: Scene) -> None:
    """From then on it is left alone, unwatched; what was known in it is gone."""
    scene.put("st/f.json")
    scene.rests()
    watched = len(scene.shard.territory.directories)
    (scene.tree / "st" / TAG).write_bytes(TAG_TEXT)
    scene.engine.until_quiet()
    assert "st/f.json" not in scene.paths()
    assert len(scene.shard.territory.directories) == watched - 1
    hints = scene.shard.watcher.hints
    scene.put(*(f"st/{n}.json" for n in range(10)))
    scene.engine.until_quiet()
    assert scene.shard.watcher.hints == hints, "it hears nothing of it"
    assert scene.engine.sync() == {"ok": True}
    assert "st/1.json" not in scene.paths()


def test_a_flat_tree_has_no_directories(tmp_path: Path) -> None:
    """`recursive` is off."""
    (tmp_path / "tree/d").mkdir(parents=True)
    (tmp_path / "tree/d/f.json").write_text("x")
    (tmp_path / "tree/f.json").write_text("x")
    assert looked(tmp_path, recursive=False)[0] == ["f.json"]


def test_links_are_followed_on_demand(tmp_path: Path) -> None:
    """In circles, to nowhere, or to where nobody may look, they are links; none of them makes its directory unreadable."""
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "b").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/o.json").write_text("x")
    for link, to in (
        ("self.json", "self.json"), ("nowhere.json", "nothing"), ("out", "../out"), ("a/up", ".."), ("a/b", "../b"),
        ("b/a", "../a"), ("file.json", "../out/o.json"),
    ):  # fmt: skip
        (tree / link).symlink_to(to)
    found, own = looked(tmp_path, follow=True)
    assert not own.doubts
    assert {"self.json", "nowhere.json", "file.json", "out/", "out/o.json", "a/", "b/", "a/b/", "b/a/"} <= set(found)
    assert max(path.count("/") for path in found) < 5
    assert looked(tmp_path)[0] == ["a/", "b/", "file.json", "nowhere.json", "self.json"]


def test_links_that_are_followed_come_and_go(make: Callable[..., Scene]) -> None:
    """By their hints: to directories, to files, round in a circle, and back to nothing."""
    scene = make(follow=True)
    scene.put("f.json", "a/f.json", "a/b/f.json")
    outside = scene.base / "outside"
    (outside / "d").mkdir(parents=True)
    (outside / "d/f.json").write_text("x")

    def found() -> set[str]:
        assert scene.engine.sync() == {"ok": True}
        return set(scene.paths()) - {"a", "a/b", "a/b/f.json", "a/f.json", "f.json"}

    (scene.tree / "l").symlink_to(outside)
    (scene.tree / "l.json").symlink_to(outside / "d/f.json")
    assert found() == {"l", "l/d", "l/d/f.json", "l.json"}
    (outside / "d/g.json").write_text("x")
    assert "l/d/g.json" in found()
    (scene.tree / "l").unlink()
    (scene.tree / "l.json").unlink()
    assert found() == set()
    (scene.tree / "a/c.json").symlink_to(scene.tree)
    (scene.tree / "a/up").symlink_to("..")
    assert found() == {"a/c.json"}
    scene.shard.lose_hints()
    assert found() == {"a/c.json"}
    hints = Hints()
    hints.directories = dict.fromkeys([(scene.node("a"), b"up"), (scene.node("a"), b"c.json")], Arrival.MADE)
    scene.shard.watcher.absorb(hints)
    assert found() == {"a/c.json"}


def test_a_link_to_where_nobody_may_look_is_a_link(tmp_path: Path) -> None:
    """Rule 6: what it leads to is in doubt, not the directory that it lies in."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/l.json").symlink_to("../secret/f.json")
    (tmp_path / "tree/f.json").write_text("x")
    disk = FaultyDisk()
    disk.leads_nowhere.add(b"l.json")
    found, own = looked(tmp_path, follow=True, disk=disk)
    assert found == ["f.json", "l.json"]
    assert not own.doubts
