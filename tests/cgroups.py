"""Control groups that tests make, below what the kernel offers here: of version 1 or 2, for each kind of limits. Needs root. Each
is removed at the end, also if the run is killed: its guard knows of it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import guard
import session

#: Enters the groups that are its first arguments, up to "--", and becomes the rest of them.
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
#: The file that says a limit, by controller and version.
_FILES: Final = {
    ("memory", 1): "memory.limit_in_bytes", ("memory", 2): "memory.max",
    ("cpu", 1): "cpu.cfs_quota_us", ("cpu", 2): "cpu.max",
    ("pids", 1): "pids.max", ("pids", 2): "pids.max",
}  # fmt: skip


class Group(NamedTuple):
    """One that a test has made: its directory, the file in it that says the limit, and the version."""

    directory: Path
    file: str
    version: int


def _mounts() -> list[list[str]]:
    """Of control groups: [what comes before " - ", what comes after]."""
    return [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]


def _place(controller: str) -> tuple[Path, int]:
    """Where a group with such a limit can be made, and the version. Raises AssertionError where that is nowhere."""
    for before, after in _mounts():
        if after.startswith("cgroup ") and controller in after.split()[2].split(","):
            own = next(
                line for line in Path("/proc/self/cgroup").read_text().splitlines() if controller in line.split(":")[1].split(",")
            )
            inside = os.path.relpath(own.split(":", 2)[2], before.split()[3])
            return Path(before.split()[4], inside), 1
    for before, after in _mounts():
        top = Path(before.split()[4])
        if after.startswith("cgroup2 ") and controller in (top / "cgroup.subtree_control").read_text().split():
            return top, 2
    raise AssertionError(f"no control group with a limit of {controller} can be made here; run it where one can, as root")


def offered() -> str:
    """Which version has each controller here, for the head of a run: what is tested on real groups is that, and nothing else."""
    said = []
    for controller in ("memory", "cpu", "pids"):
        try:
            said.append(f"{controller} of version {_place(controller)[1]}")
        except (AssertionError, OSError):
            said.append(f"no {controller}")
    return ", ".join(said)


@contextlib.contextmanager
def made(place: Path) -> Iterator[Path]:
    """A new group in a place."""
    group = place / f"swt-{uuid.uuid4().hex[:8]}"
    guard.note(guard.home() / f"{session.mark()}.run", "cgroup", group)
    group.mkdir()
    try:
        yield group
    finally:
        group.rmdir()


@contextlib.contextmanager
def limited(limits: Mapping[str, str]) -> Iterator[dict[str, Group]]:
    """Groups with these limits, by controller: bytes of `memory`, microseconds in 100,000 of `cpu`, tasks of `pids`. In version 2
    it is one group for all of them, as far as they are there."""
    with contextlib.ExitStack() as stack:
        directories: dict[Path, Path] = {}
        groups: dict[str, Group] = {}
        for controller, limit in limits.items():
            place, version = _place(controller)
            if place not in directories:
                directories[place] = stack.enter_context(made(place))
            group = groups[controller] = Group(directories[place], _FILES[controller, version], version)
            (group.directory / group.file).write_text(f"{limit} 100000" if group.file == "cpu.max" else limit)
            for file, value in (("memory.memsw.limit_in_bytes", limit), ("memory.swap.max", "0")):  # and nothing is swapped out
                if controller == "memory" and (group.directory / file).exists():
                    (group.directory / file).write_text(value)
        yield groups


def inside(groups: Mapping[str, Group] | Path, *command: str | bytes | Path) -> list[str | bytes | Path]:
    """The command line of a program that begins in these groups, or in this one."""
    directories = [groups] if isinstance(groups, Path) else sorted({group.directory for group in groups.values()})
    return ["sh", "-c", _ENTER, "sh", *directories, "--", *command]
