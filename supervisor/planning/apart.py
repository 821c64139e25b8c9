"""Plans subtrees that may hang into shards of their own. Does no input or output.

A shard makes its looks in one thread. If a system call waits for a server that hangs, everything that this shard owns
waits too. So a subtree on a filesystem that can hang shares its shard with nothing else. Only the table of mounts is
used, and no filesystem is accessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shardwatch.shard.contract.kernel.mounts import can_hang, holder, is_remote
from shardwatch.shard.contract.state.planfile import Anchor, Owners

Mounted = Sequence[tuple[bytes, str]]


class Apart:
    """The mounts that concern some roots.

    Args:
        prunes: whether nothing in a directory, relative to its root, can be in scope.
    """

    def __init__(self, roots: Sequence[bytes], mounts: Mounted, prunes: Callable[[bytes], bool]) -> None:
        self._mounts = list(mounts)
        owners = Owners([Anchor(path=root, shard="", root=root) for root in roots])
        self._slow = [point for point, kind in self._mounts if can_hang(kind)]
        found = []
        for point in dict.fromkeys(self._slow):
            above = owners.of(point)
            if above is None or above.path == point or self.mount(point) != point:
                continue
            names = point[len(above.path) :].strip(b"/").split(b"/")
            if not any(prunes(b"/".join(names[: n + 1])) for n in range(len(names))):
                found.append(point)
        #: Mount points below the roots, where another subtree begins.
        self.cuts = tuple(sorted(found))

    def mount(self, path: bytes) -> bytes:
        """The mount point of the filesystem that can hang and on which a path lies; b"" if it lies on no such filesystem."""
        if not any(point in (b"/", path) or path.startswith(point + b"/") for point in self._slow):
            return b""
        point, kind = holder(path, self._mounts)
        return point if can_hang(kind) else b""

    def is_remote(self, path: bytes) -> bool:
        """Whether a path lies on a filesystem that does not report changes made on other machines."""
        return bool(self.mount(path)) and is_remote(holder(path, self._mounts)[1])

    def groups(self, anchors: Sequence[Anchor]) -> dict[bytes, set[str]]:
        """The shards of each mount that can hang, and (b"") of all else."""
        found: dict[bytes, set[str]] = {}
        for anchor in anchors:
            found.setdefault(self.mount(anchor.path), set()).add(anchor.shard)
        return found

    def holds_for(self, anchors: Sequence[Anchor]) -> bool:
        """Whether these anchors separate what has to be separated now."""
        groups = list(self.groups(anchors).values())
        shared = sum(map(len, groups)) != len(set().union(*groups))
        return not shared and set(self.cuts) <= {anchor.path for anchor in anchors}
