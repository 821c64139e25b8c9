"""One shard, a few, and their tree: the engine of one process (tests/engine.py), and the demands on it.

The fixtures that make them are in tests/unit/shard/conftest.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from engine import Engine, Shard, rows
from index_rows import racy
from waiting import eventually

from shardwatch.shard.contract.limits import ANCHOR_CHECK_S
from shardwatch.shard.disk.mounts import Mounts
from shardwatch.shard.tree.nodes import Node

MS = 10**6
#: Long enough for the anchors to be looked at.
CHECK_MS = int(ANCHOR_CHECK_S * 2000)


class ShardScene:
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
            return racy(self.engine.index) == 0

        eventually(proven)

    def paths(self) -> list[str]:
        root = len(self.engine.root) + 1
        return sorted(os.fsdecode(path[root:]) for path, _ in rows(self.engine.index))

    def node(self, path: str = "", shard: str = "s0") -> Node:
        full = os.path.join(self.engine.root, os.fsencode(path)) if path else self.engine.root
        found = [node for place in self.engine.shards[shard].territory.places if (node := place.find(full)) is not None]
        assert len(found) == 1, path
        return found[0]


class Table(Mounts):
    """What /proc/self/mountinfo would say."""

    def __init__(self) -> None:
        super().__init__(table="/nonexistent")
        self.points: set[bytes] = set()
        self.off = False
        self.departed = False
        self.there: list[tuple[bytes, str]] = []

    def mount(self, point: bytes, kind: str) -> None:
        """Something is mounted there, on top of what is."""
        self.there = [*self.there, (point, kind)]
        self._changed_at(point)

    def unmount(self, point: bytes) -> None:
        self.there = [mount for mount in self.there if mount[0] != point]
        self._changed_at(point)

    def _changed_at(self, point: bytes) -> None:
        self.points = {*self.points, point}
        self.version += 1

    def all(self) -> list[tuple[bytes, str]]:
        return self.there

    def take_changes(self) -> set[bytes]:
        found, self.points = self.points, set()
        return found

    def mounted(self) -> set[bytes]:
        return {point for point, _ in self.there}

    def gone(self, root: bytes) -> bool:
        return self.off

    def left(self, root: bytes) -> bool:
        return self.departed

    def stay(self, root: bytes) -> None:
        self.departed = False


def unreadable(scene: ShardScene, *paths: str) -> None:
    """A sync names just these."""
    result = scene.engine.sync()
    assert result["ok"] is False
    assert sorted(result["subtrees"]) == sorted(os.fsencode(scene.tree / p) for p in paths)  # type: ignore[call-overload]
