"""Which backend there can be, and what helps when it has no room for all directories."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..contract.causes import WATCH, cause
from ..contract.kernel.allowance import INSTANCES, WATCHES, allowance
from ..contract.limits import LIMIT_RESERVE
from .base import Backend
from .patience import Patience

if TYPE_CHECKING:
    from .beside import Counting
    from .fanotify import FanotifyBackend
    from .inotify import InotifyBackend

log = logging.getLogger("shardwatch.shard")

_ANOTHER_BACKEND: Final = "use `backend = \"auto\"`, which watches everything else there, or make that mount no part of a root"


def open_backend(name: str, watches_max: int, patience: Patience | None = None) -> tuple[Backend, Callable[[int], str]]:
    """The backend of this name (`auto` is Linux's), and what helps when it has no room for n directories.

    `patience`: until when names need not be taken, as far as the backend can leave them; None: they are to be taken at once.

    Where not one inotify instance is left, everything is swept until there is one, unless fanotify can take it.
    """
    if name == "native":
        from .native import NativeBackend

        native = NativeBackend()
        return native, lambda directories: _ANOTHER_BACKEND if native.refuses else _more_watches(directories)
    if name == "polling":
        from .sweeping import SweepingBackend

        return SweepingBackend("polling"), _more_watches
    if not os.path.exists("/proc/self/fd"):  # what is open is watched by its path there
        from .sweeping import SweepingBackend

        reason = cause(OSError(errno.ENOENT, ""), WATCH).what
        log.error("%s: sweeping instead", reason)
        return SweepingBackend(reason), _mount_proc
    if name in ("auto", "fanotify"):
        return _beside(watches_max, patience, _fanotify, fanotify_first=name == "fanotify")
    try:
        return _inotify(watches_max, patience), _more_watches
    except OSError:  # it is told when the first directory is to be watched, and tried again
        return _beside(watches_max, patience, None)


def _beside(
    watches_max: int, patience: Patience | None, fanotify: Callable[[], Counting] | None, *, fanotify_first: bool = False
) -> tuple[Backend, Callable[[int], str]]:
    from .beside import INOTIFY, BesideBackend

    backend = BesideBackend(lambda: _inotify(watches_max, patience), fanotify, fanotify_first=fanotify_first)

    def remedy(directories: int) -> str:
        return _more_instances() if backend.is_impossible(INOTIFY) else _more_watches(directories)

    return backend, remedy


def _inotify(watches_max: int, patience: Patience | None) -> InotifyBackend:
    from .inotify import InotifyBackend

    return InotifyBackend(watches_max=watches_max, patience=patience)


def _fanotify() -> FanotifyBackend:
    from .fanotify import FanotifyBackend

    return FanotifyBackend()


def _more_watches(directories: int) -> str:
    """Room for these directories, for others' growth and for the reserve that the plan leaves. It is taken as soon as it is there
    (`share`)."""
    return _raise(WATCHES, lambda allowed: int((allowed + directories) / (1 - LIMIT_RESERVE)), 65_536)


def _more_instances() -> str:
    return _raise(INSTANCES, lambda allowed: allowed * 2, 128)


def _raise(what: str, wanted: Callable[[int], int], step: int) -> str:
    allowed = allowance(what)
    if not allowed.known:
        return ""
    value = -(-max(wanted(allowed.value), allowed.value + 1) // step) * step
    keep = "and in /etc/sysctl.d to keep it" if allowed.sysctl.startswith("fs.") else "in this container's user namespace"
    return f"sudo sysctl -w {allowed.sysctl}={value} ({keep})"


def _mount_proc(directories: int) -> str:
    return cause(OSError(errno.ENOENT, ""), WATCH).remedy
