"""Which roots lie on filesystems that can't be watched as a whole, by fanotify, and why. It is found out by trying."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from typing import Final

from shardwatch.shard.contract.causes import FANOTIFY, Cause, cause
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.kernel.fanotify import obstacle
from shardwatch.shard.contract.state.settings import Settings

from ..host.scouting import Scouts
from .named import shown_path

#: These are about this process or this kernel, and the same for every filesystem.
_EVERYWHERE: Final = frozenset({errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EMFILE})
#: The directory itself can't be opened, which is told elsewhere.
_NOT_ASKED: Final = frozenset({errno.EACCES, errno.ENOENT, errno.ENOTDIR})


def obstacles(roots: Iterable[bytes], scouts: Scouts) -> dict[bytes, tuple[Cause, bool]]:
    """Root -> (cause, whether it is the same everywhere) for each that fanotify can't watch. What may hang is polled anyway, and
    is not asked; nor is what can't be opened. Changes nothing."""
    found: dict[bytes, tuple[Cause, bool]] = {}
    for root in roots:
        if scouts.mount(root) is not None:
            continue
        error = obstacle(root if os.path.isdir(root) else os.path.dirname(root))
        if error is not None and error.errno not in _NOT_ASKED:
            found[root] = cause(error, FANOTIFY), error.errno in _EVERYWHERE
    return found


def rest_by(settings: Settings, roots: Sequence[bytes]) -> str:
    """The backend that watches the directories for which no watch is left: `fanotify` with `auto`, if it can in all of these
    roots, or `polling`."""
    if settings.backend != "auto" or settings.local_backend != "inotify":
        return "polling"
    with Scouts() as scouts:
        return "polling" if obstacles(roots, scouts) else "fanotify"


def check_fanotify(roots: Iterable[bytes], scouts: Scouts) -> list[str]:
    """What fanotify can't watch, in words. Raises UsageError if it can't be used at all."""
    notes: list[str] = []
    for root, (why, everywhere) in obstacles(roots, scouts).items():
        if everywhere:
            raise UsageError(why.what, hint=why.remedy)
        notes.append(f"root {shown_path(root)} can't be watched with fanotify: {why.what}; inotify watches it instead")
    return notes
