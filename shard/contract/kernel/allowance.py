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
    """How many a user may have, and the sysctl that says so: none at all is a limit, too."""

    value: int
    sysctl: str
    #: False: there is no inotify, or no /proc. The value is 0 then.
    known: bool = True


def allowance(what: str, proc: Path = Path("/proc")) -> Allowance:
    """Of WATCHES or INSTANCES. Never raises."""
    names = (f"fs.inotify.max_user_{what}", f"user.max_inotify_{what}")  # of equal ones, the machine's is named
    values = [(_number(proc / "sys" / name.replace(".", "/")), name) for name in names]
    limits = [Allowance(value, name) for value, name in values if value is not None]
    return min(limits, key=lambda limit: limit.value, default=Allowance(0, names[0], known=False))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
