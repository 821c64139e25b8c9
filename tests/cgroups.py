"""Control groups that tests make, below what the kernel offers here: version 1 or 2. Needs root. Each is removed at the end, also
if the run is killed: its guard knows of it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import guard
import session

#: Enters the group that is its first argument, and becomes the rest of them.
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


def _place() -> tuple[Path, int]:
    """Where a group with a limit of memory can be made, and the version. Raises AssertionError where that is nowhere."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]
    for before, after in mounts:
        if after.startswith("cgroup ") and "memory" in after.split()[2].split(","):
            (own,) = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if "memory" in line.split(":")[1]]
            inside = os.path.relpath(own.split(":", 2)[2], before.split()[3])
            return Path(before.split()[4], inside), 1
    for before, after in mounts:
        top = Path(before.split()[4])
        if after.startswith("cgroup2 ") and "memory" in (top / "cgroup.subtree_control").read_text().split():
            return top, 2
    raise AssertionError("no control group with a limit of memory can be made here; run it where one can, as root")


@contextlib.contextmanager
def limited_memory(limit: int) -> Iterator[tuple[Path, str]]:
    """A group that may have so many bytes: its directory, and the name of the file that says so."""
    place, version = _place()
    group = place / f"swt-{uuid.uuid4().hex[:8]}"
    guard.note(guard.home() / f"{session.mark()}.run", "cgroup", group)
    group.mkdir()
    try:
        name = "memory.limit_in_bytes" if version == 1 else "memory.max"
        (group / name).write_text(str(limit))
        yield group, name
    finally:
        group.rmdir()


def inside(group: Path, *command: str | bytes | Path) -> list[str | bytes | Path]:
    """The command line of a program that begins in a group."""
    return ["sh", "-c", _ENTER, group, *command]
