"""What is mounted and unmounted while a shard runs. Mounting raises no inotify event; the kernel's table tells of it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from shardwatch.shard.contract.mounts import parse_mounts

_READ_BYTES = 1 << 20


class Mounts:
    """/proc/self/mountinfo, read again only when poll(2) says that it is another. Where there is none, nothing ever changes."""

    def __init__(self, homes: Iterable[tuple[bytes, bytes]] = (), table: str = "/proc/self/mountinfo") -> None:
        """`homes`: root -> the mount point that it lay on when it was planned."""
        self._homes = dict(homes)
        self._poll = select.poll()
        self._lines: set[bytes] = set()
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

    def changed(self) -> set[bytes]:
        """Points at which something was mounted or unmounted since the last call."""
        self._refresh()
        found, self._changed = self._changed, set()
        return found

    def gone(self, root: bytes) -> bool:
        """Whether nothing is mounted any more where this root's filesystem was."""
        home = self._homes.get(root, b"/")
        if self._fd < 0 or home in (b"", b"/"):
            return False
        self._refresh()
        return home not in self._points

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
        self._points = {point for point, _ in parse_mounts(table)}

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
