"""watchdog's observer behind our interface: hints by path, found in the tree of directories that is known."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually
from watchdog.events import DirCreatedEvent, FileModifiedEvent, FileMovedEvent

from shardwatch.shard.backend.base import Arrival, Hints
from shardwatch.shard.backend.native import NativeBackend
from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.tree.nodes import Top


class Watched:
    """A backend with one anchor; the directories of a tree are known as far as a test says."""

    def __init__(self, base: Path, **options: Any) -> None:
        self.base = base
        self.backend = NativeBackend(**options)
        self.anchor = Top(os.fsencode(base), 0)
        self.backend.watch(-1, self.anchor)

    def path(self, *names: str) -> str:
        return str(self.base.joinpath(*names))

    def until(self, wanted: object, what: str) -> Hints:
        """Hints as they come in, until one of that kind holds what is wanted."""
        seen: list[Hints] = []

        def there() -> bool:
            hints = self.backend.take()
            seen.append(hints)
            found = getattr(hints, what)
            return all(found.get(k) == v for k, v in wanted.items()) if isinstance(wanted, dict) else wanted in found

        eventually(there)
        return seen[-1]


@pytest.fixture
def options() -> dict[str, Any]:
    """Of the backend of `watched`; a test may set some."""
    return {}


@pytest.fixture
def watched(tmp_path: Path, options: dict[str, Any]) -> Iterator[Watched]:
    """The temporary directory is the anchor."""
    watched = Watched(tmp_path, **options)
    yield watched
    watched.backend.close()


def test_real_changes_become_hints(watched: Watched) -> None:
    """Through the observer of this platform, whichever it is."""
    assert watched.backend.name.startswith("native:")
    assert watched.backend.lossy
    assert watched.backend.watches() == 1
    (watched.base / "f").write_text("x")
    watched.until({watched.anchor: {b"f"}}, "names")
    (watched.base / "d").mkdir()
    watched.until((watched.anchor, b"d"), "directories")
    watched.backend.drain()


def test_a_path_is_looked_up_from_its_anchor(watched: Watched) -> None:
    """Down to the last directory that is known; the first that is not is to be scanned."""
    d = watched.anchor.adopt(b"d")
    watched.backend.on_any_event(FileModifiedEvent(watched.path("d", "f")))
    watched.backend.on_any_event(FileModifiedEvent(watched.path("d", "new", "deep", "f")))
    watched.backend.on_any_event(DirCreatedEvent(watched.path("d", "sub")))
    watched.backend.on_any_event(FileMovedEvent(watched.path("a"), watched.path("b")))
    watched.backend.on_any_event(FileModifiedEvent("/somewhere/else"))
    hints = watched.backend.take()
    assert hints.names == {d: {b"f"}, watched.anchor: {b"a", b"b"}}
    assert hints.directories == {(d, b"new"): Arrival.CAME, (d, b"sub"): Arrival.CAME}
    assert hints.count == 5
    assert not watched.backend.take()


@pytest.mark.parametrize("options", [{"paths_max": 2}])
def test_too_many_hints_put_everything_in_doubt(watched: Watched) -> None:
    """Rule 15: memory is bounded, and nothing is lost without a word."""
    for name in "abc":
        watched.backend.on_any_event(FileModifiedEvent(watched.path(name)))
    assert watched.backend.take().overflow
    assert not watched.backend.take().overflow


def test_an_anchor_that_is_deleted_and_made_again_is_watched_again(
    watched: Watched, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """watchdog goes on watching what is gone: so the anchor is to be registered anew."""
    inner = tmp_path_factory.mktemp("inner")
    node = Top(os.fsencode(inner), 1)
    watched.backend.watch(-1, node)
    watched.backend.forget([watched.anchor])
    inner.rmdir()
    watched.until(node, "selves")
    assert node.wd == -1
    assert not watched.backend.same(-1, node)
    inner.mkdir()
    watched.backend.watch(-1, node)
    assert watched.backend.same(-1, node)
    (inner / "f").write_text("x")
    watched.until({node: {b"f"}}, "names")


def test_an_anchor_that_is_given_up_hints_no_more(
    watched: Watched, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The others do, save for one that is gone meanwhile."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    kept, gone = elsewhere / "kept", elsewhere / "gone"
    nodes = []
    for path in (kept, gone):
        path.mkdir()
        nodes.append(Top(os.fsencode(path), 1))
        watched.backend.watch(-1, nodes[-1])
    gone.rmdir()
    watched.backend.forget([watched.anchor, watched.anchor, nodes[0].adopt(b"below")])
    assert nodes[1].wd == -1
    assert watched.backend.watches() == 1
    (tmp_path / "f").write_text("x")
    (kept / "g").write_text("x")
    hints = watched.until({nodes[0]: {b"g"}}, "names")
    assert watched.anchor not in hints.names


def test_directories_below_an_anchor_need_nothing(watched: Watched) -> None:
    """The observer watches the whole of it; an anchor that is registered twice is watched once."""
    child = watched.anchor.adopt(b"d")
    assert not watched.backend.same(-1, child)
    assert watched.backend.watch(-1, child) is None
    assert watched.backend.same(-1, child)
    watched.backend.watch(-1, watched.anchor)
    assert watched.backend.watches() == 1


@pytest.mark.parametrize(
    ("place", "kind"), [("", "fuse.sshfs"), ("below/net", "fuse.sshfs"), ("..", "fuse.sshfs"), ("below/made up", "proc")]
)
def test_an_anchor_at_what_can_hang_is_refused_with_all_below_it(tmp_path: Path, place: str, kind: str) -> None:
    """watchdog would walk into it, as into what the kernel makes up. Without that filesystem the anchor is watched."""
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    net = os.path.normpath(os.fsencode(root / place))
    table = [(b"/", "ext4"), (net, kind), (os.fsencode(tmp_path / "root-2"), "ext4")]
    backend = NativeBackend(mounts=lambda: table)
    try:
        anchor = Top(os.fsencode(root), 0)
        d = anchor.adopt(b"d")
        for node in (anchor, d):
            with pytest.raises(OSError, match=f"walk into {kind}") as refused:
                backend.watch(-1, node)
            assert (refused.value.errno, os.fsdecode(net) in str(refused.value)) == (errno.ENOSPC, True)
            assert not backend.same(-1, node)
        assert (backend.watches(), backend.refuses) == (0, True)
        table.append((net, "ext4"))  # mounted over it: it can't be reached any more
        for node in (anchor, d):
            assert backend.watch(-1, node) is None
            assert backend.same(-1, node)
        assert (backend.watches(), backend.refuses) == (1, False)
    finally:
        backend.close()


def test_what_comes_later_counts_when_watchdog_would_walk_again(tmp_path: Path) -> None:
    """It walks through all anchors again when one is given up. Those above what can hang by then are refused, and nothing below
    them counts as watched; a sibling of such a name is no matter."""
    table = [(b"/", "ext4"), (os.fsencode(tmp_path / "b-2"), "nfs")]
    backend = NativeBackend(mounts=lambda: table)
    try:
        anchors = [Top(os.fsencode(tmp_path / name), index) for index, name in enumerate("abc")]
        for anchor in anchors:
            os.mkdir(anchor.name)
            backend.watch(-1, anchor)
        child, kept = anchors[1].adopt(b"d"), anchors[2].adopt(b"d")
        backend.watch(-1, child)
        backend.watch(-1, kept)
        table.append((os.fsencode(tmp_path / "b" / "net"), "nfs"))
        assert backend.same(-1, child)
        backend.forget([anchors[0]])
        assert (anchors[1].wd, backend.same(-1, child), backend.same(-1, kept)) == (-1, False, True)
        assert backend.watches() == 1
    finally:
        backend.close()


def test_nothing_is_left_behind(tmp_path: Path, no_leaks: None) -> None:
    """Neither threads nor descriptors."""
    Watched(tmp_path).backend.close()


def test_sweeping_watches_nothing(tmp_path: Path, no_leaks: None) -> None:
    """The backend for where nothing can be watched: it says why, and the territory sweeps."""
    backend = SweepingBackend("because")
    node = Top(os.fsencode(tmp_path), 0)
    with pytest.raises(OSError, match="because"):
        backend.watch(-1, node)
    assert not backend.same(-1, node)
    backend.forget([node])
    backend.drain()
    assert not backend.take()
    assert (backend.watches(), backend.fileno() >= 0) == (0, True)
    backend.close()
