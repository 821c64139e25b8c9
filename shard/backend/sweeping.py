"""The backend without watches: every directory is swept. For network filesystems, and if no inotify instance is left.
"""

from __future__ import annotations

import errno
import os

from ..tree.nodes import Node
from .base import Hints, Second, WithoutInotify


class SweepingBackend(WithoutInotify):
    """See `Backend`. Refuses every watch, so that the territory sweeps all it owns."""

    lossy = False

    def __init__(self, reason: str) -> None:
        self.name = "polling"
        self._reason = reason
        self._never = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._never

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        raise OSError(errno.ENOSPC, self._reason)

    def same(self, fd: int, node: Node) -> bool:
        return False

    def forget(self, nodes: list[Node]) -> None:
        pass

    def take(self) -> Hints:
        return Hints()

    def drain(self) -> None:
        pass

    def directories(self) -> tuple[int, Node | None]:
        """How many directories are watched, and one of them."""
        return 0, None

    def watches(self) -> int:
        return 0

    def second(self) -> Second | None:
        return None

    def close(self) -> None:
        os.close(self._never)
