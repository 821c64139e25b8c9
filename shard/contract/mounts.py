"""The table of mounts, /proc/self/mountinfo: what is mounted where. Empty where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_PROC = Path("/proc")


def read_mounts(proc: Path = _PROC) -> Iterator[tuple[bytes, str]]:
    """(mount point, type of the filesystem), in the order of mounting: of several on one point the last is on top."""
    try:
        table = (proc / "self/mountinfo").read_bytes()
    except OSError:
        return
    yield from parse_mounts(table)


def parse_mounts(table: bytes) -> Iterator[tuple[bytes, str]]:
    """Lines that can't be understood are left out. See proc_pid_mountinfo(5)."""
    for line in table.splitlines():
        mount, separator, source = line.partition(b" - ")
        fields = mount.split(b" ")
        if separator and len(fields) >= 5:
            yield _unescape(fields[4]), source.split(b" ")[0].decode("ascii", "replace")


def holder(path: bytes, mounts: Iterable[tuple[bytes, str]]) -> tuple[bytes, str]:
    """The mount that an absolute, resolved path lies on: its point and type; (b"", "unknown") where none is known."""
    found, longest = (b"", "unknown"), -1
    for point, kind in mounts:
        inside = point == b"/" or path == point or path.startswith(point + b"/")
        if inside and len(point) >= longest:
            found, longest = (point, kind), len(point)
    return found


def deeper(root: bytes, points: Iterable[bytes], known: bytes) -> bytes | None:
    """The mount point that a root lies on, if it is below `known`, one that it lay on before; else None. Pure."""
    point = holder(root, ((point, "") for point in points))[0]
    return point if len(point) > len(known or b"/") else None


def _unescape(field: bytes) -> bytes:
    """Undoes the kernel's octal escapes of space, tab, newline and backslash."""
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)
