"""Detects what is mounted and unmounted while a shard runs. Mounting produces no inotify event, but the kernel's table
shows it.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from ..contract.kernel.mounts import deeper, may_hold_roots, parse_mounts

_READ_BYTES = 1 << 20


class Mounts:
    """The table in /proc/self/mountinfo. It is read again only when poll(2) says that it has changed. Without /proc, nothing
    ever changes.
    """

    def __init__(
        self,
        homes: Iterable[tuple[bytes, bytes]] = (),
        table: str = "/proc/self/mountinfo",
        *,
        later: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """`homes`: root -> the mount point on which it lay when it was planned; `later`: mount points below those that were
        added since.
        """
        self._homes = dict(homes)
        self._later = dict(later)
        self._poll = select.poll()
        self._lines: set[bytes] = set()
        self._table: list[tuple[bytes, str]] = []
        #: Another number for each other table.
        self.version = 0
        self._points: set[bytes] = set()
        self._changed: set[bytes] = set()
        try:
            self._fd = os.open(table, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
            return
        self._poll.register(self._fd, select.POLLPRI)
        self._read()
        self._changed.clear()

    def know(self, homes: Iterable[tuple[bytes, bytes]], later: Iterable[tuple[bytes, bytes]]) -> None:
        """Adds where the roots of another plan lie, as far as they are new; arguments as at the beginning."""
        new = {root: point for root, point in homes if root not in self._homes}
        self._homes |= new
        self._later |= {root: point for root, point in later if root in new}

    def all(self) -> list[tuple[bytes, str]]:
        """(mount point, type of the filesystem) in the order of mounting."""
        return self._table

    def take_changes(self) -> set[bytes]:
        """Points at which something was mounted or unmounted since the last call."""
        self._refresh()
        found, self._changed = self._changed, set()
        return found

    def mounted(self) -> set[bytes]:
        """Where something is mounted, as of the last `take_changes`."""
        return self._points

    def gone(self, root: bytes) -> bool:
        """Whether nothing is mounted any more where this root's filesystem was."""
        home = self._homes.get(root, b"/")
        if self._fd < 0 or home in (b"", b"/"):
            return False
        self._refresh()
        return home not in self._points

    def left(self, root: bytes) -> bool:
        """Whether nothing is mounted any more where something was mounted for this root after it was planned."""
        self._refresh()
        return self._fd >= 0 and root in self._later and self._later[root] not in self._points

    def stay(self, root: bytes) -> None:
        """From now on, what is there without that filesystem is the root."""
        self._later.pop(root, None)

    def _refresh(self) -> None:
        if self._fd >= 0 and self._poll.poll(0):
            self._read()

    def _read(self) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        table = b""
        while chunk := os.read(self._fd, _READ_BYTES):
            table += chunk
        lines = set(table.splitlines())
        self._changed.update(point for point, _ in parse_mounts(b"\n".join(lines ^ self._lines)))
        self._lines = lines
        self._table = list(parse_mounts(table))
        self._points = {point for point, _ in self._table}
        self.version += 1
        holders = {point for point, _ in may_hold_roots(self._table)}
        for root, home in self._homes.items():
            point = deeper(root, holders, self._later.get(root, home))
            if point is not None:
                self._later[root] = point

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
