"""How many inotify instances and watches the processes of a user hold. Reads only /proc; never raises.

Names of /proc are strings here: a first start waits for this, and as paths the descriptors of all processes take twice as long.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class InotifyUsage(NamedTuple):
    """What some processes hold."""

    instances: int
    watches: int
    #: Processes whose descriptors can't be read: what they hold is not in the sums.
    unreadable: int = 0


def held_by_user(uid: int, proc: Path = Path("/proc"), *, but: int = 0) -> InotifyUsage:
    """What all processes of a user hold, apart from the process `but`. A process that ends meanwhile is left out.

    An instance that a process inherited from its parent counts twice, once in each: the sum errs on the safe side.
    """
    watches = instances = unreadable = 0
    for process in _processes(proc):
        if (but and process.endswith(f"/{but}")) or _uid(process) != uid:
            continue
        held = _held(process)
        if held is None:
            unreadable += 1
        else:
            instances, watches = instances + held[0], watches + held[1]
    return InotifyUsage(instances, watches, unreadable)


def held_by(pid: int, proc: Path = Path("/proc")) -> tuple[int, int]:
    """(instances, watches) of one process; (0, 0) for one that is gone or that can't be read."""
    return _held(f"{proc}/{pid}") or (0, 0)


def _processes(proc: Path) -> list[str]:
    try:
        return [f"{proc}/{name}" for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return []


def _uid(process: str) -> int | None:
    """The effective user: the one whose inotify limits a process draws on."""
    try:
        status = _content(f"{process}/status")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(b"Uid:"):
            return int(line.split()[2])
    return None


def _held(process: str) -> tuple[int, int] | None:
    """(instances, watches), or None if the process can't be read. One that is gone holds nothing."""
    instances = watches = 0
    try:
        descriptors = os.listdir(f"{process}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    except OSError:
        return None
    for descriptor in descriptors:
        try:
            if "inotify" not in os.readlink(f"{process}/fd/{descriptor}"):
                continue
            info = _content(f"{process}/fdinfo/{descriptor}")
        except OSError:
            continue
        instances += 1
        watches += info.count(b"inotify wd:")  # once in the line of each, of which there may be a million
    return instances, watches


def _content(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see above
        return file.read()
