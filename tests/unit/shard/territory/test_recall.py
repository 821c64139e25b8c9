"""Names of directories without a watch are kept while nothing was added or removed; a stat that may lie is not relied on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from faulty_disk import FaultyDisk
from shard_scene import ShardScene
from waiting import eventually, next_tick

from shardwatch.shard.contract.files.packed import A_DIRECTORY, FILE, LINK, Seen, pack
from shardwatch.shard.territory.recall import RELIED_ON_MAX, Recall, stamp_of
from shardwatch.shard.tree.nodes import Top

SEEN = Seen([b"d", b"f", b"l"], A_DIRECTORY + pack(1, 1, 0, 0, 0, 1, FILE, 0) + pack(2, 1, 0, 0, 0, 1, LINK, 0))


def test_names_are_kept_for_one_stamp_and_a_number_of_looks() -> None:
    """Then the directory is listed, whatever its stat says."""
    recall, node = Recall(), Top(b"/r", 0)
    assert recall.names(node, 7) is None
    recall.keep(node, 7, SEEN, [b"d"])
    assert recall.names(node, 8) is None and recall.names(node, 0) is None
    assert [recall.names(node, 7) for _ in range(RELIED_ON_MAX)] == [([b"f", b"l"], [b"d"])] * RELIED_ON_MAX
    assert recall.names(node, 7) is None
    recall.keep(node, 9, Seen([], b""), [])
    assert recall.names(node, 9) == ([], [])
    recall.keep(node, 0, SEEN, [b"d"])
    assert recall.names(node, 0) is None and recall.names(node, 9) is None


def test_what_is_kept_is_bounded() -> None:
    """Whoever comes later is listed; when another one is forgotten there is room again."""
    recall, one, two = Recall(bytes_max=4), Top(b"/1", 0), Top(b"/2", 1)
    recall.keep(one, 1, SEEN, [b"d"])
    recall.keep(two, 1, SEEN, [b"d"])
    assert recall.names(one, 1) is not None and recall.names(two, 1) is None
    recall.forget(one)
    recall.keep(two, 1, SEEN, [b"d"])
    assert recall.names(two, 1) is not None


def test_the_stamp_changes_with_the_names(tmp_path: Path) -> None:
    """And there is none so soon after a change that another one may leave the same stat."""
    now = os.stat(tmp_path).st_ctime_ns
    assert stamp_of(os.stat(tmp_path), now) == 0
    stamp = stamp_of(os.stat(tmp_path), now + 10**10)
    assert stamp
    (tmp_path / "f").touch()
    assert stamp_of(os.stat(tmp_path), now + 10**10) != stamp


def test_an_unchanged_directory_is_not_listed_again_and_its_files_are_looked_at(
    make: Callable[..., ShardScene], denied: FaultyDisk
) -> None:
    """On a local filesystem. A file that is written is found all the same, and so is one that comes."""
    scene = make(watches_max=1)
    scene.put("a/f.json", "a/b/g.json")
    next_tick()
    scene.rests()

    def listed_in(turns: int) -> int:
        denied.listed.clear()
        for _ in range(turns):
            scene.engine.turn(1100)
        return len(denied.listed)

    eventually(lambda: listed_in(5) == 0)
    scene.put("a/f.json", text="longer")
    scene.rests()
    scene.put("a/new.json")
    scene.rests()
    assert "a/new.json" in scene.paths()
    eventually(lambda: listed_in(3) == 0)
    assert 2 <= listed_in(RELIED_ON_MAX + 2) <= 4  # each of the two once, or once more at the edges
    denied.listed.clear()
    scene.engine.sync()
    assert len(denied.listed) >= 2  # a sync lists
