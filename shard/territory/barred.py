"""Directories that links lead to, and into which nobody looks, because the kernel makes them up (`/proc`, `/sys`). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..contract.files.paths import join
from ..tree.nodes import Node


class Barred:
    """Those of one shard, by the directory in which they are known."""

    def __init__(self) -> None:
        #: Name -> type of the filesystem.
        self._kinds: dict[Node, dict[bytes, str]] = {}

    def listed(self) -> list[tuple[bytes, str]]:
        """(path, type of the filesystem)."""
        return [(join(node.path(), name), kind) for node, names in self._kinds.items() for name, kind in names.items()]

    def add(self, node: Node, name: bytes, kind: str) -> None:
        """`kind`: the type of the filesystem."""
        self._kinds.setdefault(node, {})[name] = kind

    def remove(self, node: Node, name: bytes) -> None:
        """Idempotent."""
        names = self._kinds.get(node)
        if names is not None and names.pop(name, None) is not None and not names:
            del self._kinds[node]

    def others(self, node: Node, names: Iterable[bytes]) -> set[bytes]:
        """The names of those in the directory of a node that are not among these."""
        return self._kinds.get(node, {}).keys() - set(names)

    def forget(self, node: Node) -> None:
        """All in the directory of this node. Idempotent."""
        self._kinds.pop(node, None)
