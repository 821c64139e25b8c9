"""What a container or a unit allows a process: the limits of its control groups (cgroups(7), of both versions) and of open files.

Reads only /proc and what is mounted for control groups, and changes nothing. The limits of all groups above a process count,
and the tightest one is named. In a container the groups above it are not to be seen, but its own one has the limits that the
container was given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from shardwatch.shard.contract.kernel.mounts import unescaped

#: Who has set the limits, as far as that shows. "": nobody who is known here.
DOCKER: Final = "Docker"
KUBERNETES: Final = "Kubernetes"
SYSTEMD: Final = "systemd"
#: Version 1 says "no limit" with a number of bytes near 2^63.
_UNLIMITED: Final = 1 << 60
#: Groups that are looked through at most, where the name of a group is hidden.
_HIDDEN_MAX: Final = 4096


class Limit(Struct, frozen=True):
    """One limit of a control group."""

    #: Bytes, processors, or processes and threads.
    value: float
    #: What of it is used, in the same unit; of processors this is not known.
    used: float | None
    #: The file that says so, such as `memory.max`, and the directory that it lies in.
    file: str
    directory: str


class Confinement(Struct, frozen=True):
    """What one process is allowed. None: there is no such limit, or it can't be seen."""

    #: DOCKER, KUBERNETES, SYSTEMD or "".
    by: str = ""
    memory: Limit | None = None
    processors: Limit | None = None
    processes: Limit | None = None
    #: The hard limit of open files, which a service makes its soft one; None: as many as it likes.
    open_files: int | None = None
    #: Processes of the group that the kernel has killed for their memory, since the group was made; 0 where it has no limit.
    killed: int = 0

    @property
    def is_container(self) -> bool:
        """Whether the sysctls of the machine are out of reach."""
        return self.by in (DOCKER, KUBERNETES)


class _Group(NamedTuple):
    """The control group of a process for one kind of limits: a directory, and the top of the mount that it lies in."""

    directory: Path
    top: Path
    version: int


#: Reads the limits of one kind from a group of one version.
_Read = Callable[[Path, int], list[Limit]]


def read_confinement(
    pid: int | str = "self",
    *,
    proc: Path = Path("/proc"),
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
) -> Confinement:
    """The limits of a process, of ours if none is named. Never raises: what can't be read counts as no limit.

    `root`: below it lies what is mounted, and what containers leave there. `environ`: of this process.
    """
    lines = _lines(proc / str(pid) / "cgroup")
    groups = _groups(lines, _lines(proc / "self/mountinfo"), root, str(os.getpid() if pid == "self" else pid))
    memory = _tightest(groups.get("memory"), _memory)
    return Confinement(
        by=_by_whom(lines, root, environ),
        memory=memory,
        processors=_tightest(groups.get("cpu"), _processors),
        processes=_tightest(groups.get("pids"), _processes),
        open_files=_open_files(_lines(proc / str(pid) / "limits")),
        killed=_killed(groups["memory"]) if memory is not None else 0,
    )


def _groups(lines: list[str], mountinfo: list[str], root: Path, pid: str) -> dict[str, _Group]:
    """The groups of a process, by kind of limits. A controller that version 1 has is not there in version 2."""
    mounts = [fields for fields in (_mount(line) for line in mountinfo) if fields is not None]
    found: dict[str, _Group] = {}
    for line in reversed(lines):  # version 2 is the last one in mixed systems, and is overwritten by what version 1 has
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not path.startswith("/"):
            continue
        version = 1 if controllers else 2
        for name in controllers.split(",") if controllers else ("memory", "cpu", "pids"):
            tops = [
                (above, root / point.lstrip("/"))
                for kind, options, above, point in mounts
                if (kind == "cgroup2" if version == 2 else kind == "cgroup" and name in options)
            ]
            if tops:
                found[name] = _Group(*_shown(path, tops, pid), version)
    return found


def _shown(path: str, tops: list[tuple[str, Path]], pid: str) -> tuple[Path, Path]:
    """(directory of a group, top of the mount that it lies in), by the mount that shows the most groups above it. Where the group
    lies outside of all that is mounted, the top of the first one stands for it.

    `tops`: root within the filesystem, and mount point, of each mount.
    """
    found = [(directory, top) for above, top in tops if (directory := _inside(path, above, top, pid)) is not None]
    return max(found, key=lambda one: len(one[0].relative_to(one[1]).parts), default=(tops[0][1], tops[0][1]))


def _inside(path: str, above: str, top: Path, pid: str) -> Path | None:
    """Where a mount shows a group; None: nowhere.

    In a name space of control groups, both paths begin at the group that it was made in, and what is above that has no name but
    "..": the group is then found by the processes in it.
    """
    (outer, inner), (hidden, below) = _steps(path), _steps(above)
    if outer > hidden:
        return None
    if outer == hidden:
        return top.joinpath(*inner[len(below) :]) if inner[: len(below)] == below else None
    if below:
        return None
    level = [top]
    for _ in range(hidden - outer):
        level = [child for directory in level for child in _directories(directory)][:_HIDDEN_MAX]
    groups = (directory.joinpath(*inner) for directory in level)
    return next((group for group in groups if pid in _text(group / "cgroup.procs").split()), None)


def _steps(path: str) -> tuple[int, list[str]]:
    """How often a path goes up first, and the names after that."""
    names = [name for name in path.split("/") if name]
    up = next((at for at, name in enumerate(names) if name != ".."), len(names))
    return up, names[up:]


def _directories(path: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _mount(line: str) -> tuple[str, list[str], str, str] | None:
    """(type, options, root within the filesystem, mount point) of a mount of control groups; None for any other."""
    before, _, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if len(fields) < 5 or len(rest) < 3 or rest[0] not in ("cgroup", "cgroup2"):
        return None
    above, point = (os.fsdecode(unescaped(os.fsencode(field))) for field in fields[3:5])
    return rest[0], rest[2].split(","), above, point


def _tightest(group: _Group | None, read: _Read) -> Limit | None:
    """The least limit of a group and of those above it."""
    if group is None:
        return None
    found: Limit | None = None
    directory = group.directory
    while True:
        for limit in read(directory, group.version):
            if found is None or limit.value < found.value:
                found = limit
        if directory == group.top or directory == directory.parent:
            return found
        directory = directory.parent


def _memory(directory: Path, version: int) -> list[Limit]:
    files = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    used = _number(directory / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    values = [(file, _number(directory / file)) for file in files]
    return [Limit(value, used, file, str(directory)) for file, value in values if value is not None and value < _UNLIMITED]


def _killed(group: _Group) -> int:
    text = _text(group.directory / ("memory.events" if group.version == 2 else "memory.oom_control"))
    counts = dict(line.partition(" ")[::2] for line in text.splitlines())
    count = counts.get("oom_kill", "")
    return int(count) if count.isdigit() else 0


def _processors(directory: Path, version: int) -> list[Limit]:
    if version == 2:
        file, fields = "cpu.max", _text(directory / "cpu.max").split()
        quota, period = fields if len(fields) == 2 else ("max", "")
    else:
        file, quota, period = "cpu.cfs_quota_us", _text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or not int(period):
        return []  # "max", and -1 in version 1
    return [Limit(int(quota) / int(period), None, file, str(directory))]


def _processes(directory: Path, version: int) -> list[Limit]:
    most = _number(directory / "pids.max")
    return [] if most is None else [Limit(most, _number(directory / "pids.current"), "pids.max", str(directory))]


def _by_whom(lines: list[str], root: Path, environ: Mapping[str, str]) -> str:
    paths = "\n".join(lines)
    if "kubepods" in paths or "KUBERNETES_SERVICE_HOST" in environ:
        return KUBERNETES
    if "docker" in paths or "libpod" in paths or (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return DOCKER
    return SYSTEMD if ".service" in paths or ".scope" in paths or ".slice" in paths else ""


def _open_files(lines: list[str]) -> int | None:
    for line in lines:
        if line.startswith("Max open files"):
            hard = line.split()[4]
            return int(hard) if hard.isdigit() else None
    return None


def _number(path: Path) -> float | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _lines(path: Path) -> list[str]:
    try:
        return os.fsdecode(path.read_bytes()).splitlines()
    except OSError:
        return []
