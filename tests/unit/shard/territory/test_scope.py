"""What a shard leaves out, and what it follows, as the settings say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faulty_disk import FaultyDisk
from shard_scene import ShardScene

from shardwatch.shard.backend.base import Arrival, Hints
from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.contract.files.packed import DIRECTORY, kinds
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.directory import TAG, TAG_TEXT
from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.contract.wire.frames import Gone, Listing, Looks, Record
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.territory.anchors import scan_anchor
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.territory import Territory


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


def test_a_state_directory_that_is_made_in_the_tree(scene: ShardScene) -> None:
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


def test_links_that_are_followed_come_and_go(make: Callable[..., ShardScene]) -> None:
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
