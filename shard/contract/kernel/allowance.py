"""The limits of inotify that apply to this process: those of the machine, or tighter ones of its user namespace.

The kernel counts watches and instances per user in each user namespace, and a container may be allowed less than the
sysctl of the machine says (namespaces(7), /proc/sys/user). The lower limit is the one that applies, and the one to
raise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

#: What is counted.
WATCHES: Final = "watches"
INSTANCES: Final = "instances"


class Allowance(NamedTuple):
    """How many a user may have, and the sysctl that says so. 0: there is no inotify, or no /proc."""

    value: int
    sysctl: str


def allowance(what: str, proc: Path = Path("/proc")) -> Allowance:
    """Of WATCHES or INSTANCES. Never raises."""
    machine = Allowance(_number(proc / f"sys/fs/inotify/max_user_{what}"), f"fs.inotify.max_user_{what}")
    namespace = Allowance(_number(proc / f"sys/user/max_inotify_{what}"), f"user.max_inotify_{what}")
    return namespace if 0 < namespace.value < machine.value else machine


def _number(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0
