"""The directories between the beginning of a scan and its present position. A scan goes depth first, from descriptor to
descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from ..disk.calls import ABSENT, identity
from ..tree.nodes import Node

#: How many directories of one scan are open at a time: the deepest ones. Those above are opened again when the scan returns to
#: them.
DESCRIPTORS_MAX: Final = 32


class Level:
    """A directory that was listed, with the names in it that are to be entered."""

    __slots__ = ("alone", "fd", "identity", "names", "node", "outdated", "path")

    def __init__(self, fd: int, node: Node, path: bytes, names: list[bytes]) -> None:
        self.fd = fd
        self.node = node
        self.path = path
        self.names = names
        #: How many of them, from the end, are to be entered one by one (`siblings`).
        self.alone = 0
        #: (dev, ino) of the directory, if it was closed for the time being.
        self.identity = (0, 0)
        #: Whether something else may have been reported since of the names that are to be entered (`OpenLevels`).
        self.outdated = False


class OpenLevels:
    """The levels of all scans that are under way, by their directories. Owned by one thread.

    A name may be looked at after it was listed, and before a scan comes to it. If it was gone then, and there is a directory of
    this name again, nobody has reported that one yet.
    """

    def __init__(self) -> None:
        self._levels: dict[Node, list[Level]] = {}

    def add(self, level: Level) -> None:
        """Its directory was listed just now."""
        self._levels.setdefault(level.node, []).append(level)

    def remove(self, level: Level) -> None:
        """The scan has left it."""
        levels = self._levels[level.node]
        levels.remove(level)
        if not levels:
            del self._levels[level.node]

    def reported(self, node: Node) -> None:
        """Names of a directory may have been reported as gone."""
        for level in self._levels.get(node, ()):
            level.outdated = True


class Descent:
    """The descent of one scan, which closes it in the end. It owns the descriptors that are passed to it.

    Args:
        opens: gives the descriptor of a directory; raises OSError.
        doubt: takes a directory that could not be opened again, or not be told from others, and why.
        open_levels: of all scans.
    """

    def __init__(
        self, opens: Callable[[bytes], int], doubt: Callable[[Level, OSError], None], open_levels: OpenLevels
    ) -> None:
        self._opens = opens
        self._doubt = doubt
        self._open_levels = open_levels
        self._levels: list[Level] = []
        #: How many of them are closed, counted from the top.
        self._closed = 0

    def push(self, level: Level) -> None:
        """Enters a directory. Directories above it that have nothing left to enter are finished."""
        if self._levels and not self._levels[-1].names:
            self._pop()
        self._levels.append(level)
        self._open_levels.add(level)
        if len(self._levels) - self._closed > DESCRIPTORS_MAX:
            self._close_for_now(self._levels[self._closed])

    def _close_for_now(self, level: Level) -> None:
        """It is opened again when the scan returns to it. What is in it is in doubt if it could not be told from another then."""
        try:
            level.identity = identity(level.fd)
        except OSError as error:  # the server of its filesystem is gone, say
            self._doubt(level, error)
            level.names = []
        os.close(level.fd)
        level.fd = -1
        self._closed += 1

    def nearest(self) -> Level | None:
        """The deepest directory that has something left to enter, opened. None at the end of the scan.

        A directory that was removed from the tree in the meantime, or is another one by now, is skipped, because that change
        has its own hint.
        """
        while self._levels:
            level = self._levels[-1]
            if level.names and level.node.alive and (level.fd >= 0 or self._reopen(level)):
                return level
            self._pop()
        return None

    def _reopen(self, level: Level) -> bool:
        try:
            fd = self._opens(level.path)
        except OSError as error:
            if error.errno not in ABSENT:
                self._doubt(level, error)
            return False
        try:
            is_same = identity(fd) == level.identity
        except OSError as error:
            self._doubt(level, error)
            is_same = False
        if not is_same:
            os.close(fd)
            return False
        level.fd = fd
        self._closed -= 1
        return True

    def _pop(self) -> None:
        level = self._levels.pop()
        self._open_levels.remove(level)
        if level.fd >= 0:
            os.close(level.fd)
        else:
            self._closed -= 1

    def close(self) -> None:
        while self._levels:
            self._pop()
