"""What is at a path, and on the way to it from its root. Waits for no filesystem that does not answer."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from shardwatch.aggregator.index.reading import Stat
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.disk.virtual_mounts import VirtualMounts

from ..audit.bounded_look import BoundedLook, Silent
from ..audit.disk_look import Glance


class OnDisk(NamedTuple):
    """What was found."""

    #: `file`, `directory`, `link`, `special` (a socket, a device, a FIFO), `nothing`, or `unknown` if it can't be found out.
    what: str
    #: As the index keeps it, of a file or link; None of anything else.
    stat: Stat | None = None
    #: The path, or what on the way to it stops those who look: a link that is not followed, a directory that is missing or can't
    #: be read, a state directory. None if nothing does.
    stop: bytes | None = None
    #: What that is: `link`, `missing`, `unreadable`, `state directory`, `made up` (by the kernel), `no directory`, `unanswered`,
    #: or "".
    obstacle: str = ""
    #: The error of the system, where there is one.
    error: str = ""


def found_at(
    look: BoundedLook, root: bytes | None, path: bytes, *, follow: bool, virtual: VirtualMounts | None = None
) -> OnDisk:
    """Looks at each directory from the root (or from the path's own directory, outside of all roots) down to the path.

    `virtual`: where filesystems that the kernel makes up are mounted below the roots; None: nowhere.
    """
    at = root if root is not None else os.path.dirname(path)
    names = path[len(at) :].lstrip(b"/").split(b"/") if path != at else []
    while True:
        try:
            found = look.glance(at)
            if virtual is not None and virtual.at(at):
                return _made_up(at, found, here=not names)
            if not names:
                return _end(look, at, found)
        except OSError as error:
            what = "unanswered" if isinstance(error, Silent) else "unreadable"
            return OnDisk("unknown", stop=at, obstacle=what, error=error.strerror or "")
        obstacle = _obstacle(found, follow=follow)
        if obstacle:
            return OnDisk("unknown" if obstacle == "unreadable" else "nothing", stop=at, obstacle=obstacle)
        at = join(at, names.pop(0))


def _made_up(path: bytes, found: Glance | None, *, here: bool) -> OnDisk:
    """`here`: whether that is mounted at the path that was asked about."""
    if not here or found is None:
        return OnDisk("nothing", stop=path, obstacle="made up")
    return OnDisk("directory" if stat.S_ISDIR(found.mode) else "file", stop=path, obstacle="made up")


def _obstacle(found: Glance | None, *, follow: bool) -> str:
    """Why nothing below is seen, "" if it is."""
    if found is None:
        return "missing"
    if stat.S_ISLNK(found.mode):
        return "" if follow else "link"
    if not stat.S_ISDIR(found.mode):
        return "no directory"
    if found.is_state:
        return "state directory"
    return "" if found.readable else "unreadable"


def _end(look: BoundedLook, path: bytes, found: Glance | None) -> OnDisk:
    if found is None:
        return OnDisk("nothing")
    if stat.S_ISDIR(found.mode):
        if found.is_state:
            return OnDisk("directory", stop=path, obstacle="state directory")
        return OnDisk("directory", stop=None if found.readable else path, obstacle="" if found.readable else "unreadable")
    if not (stat.S_ISREG(found.mode) or stat.S_ISLNK(found.mode)):
        return OnDisk("special")
    entry = look.entry_at(path)
    if entry is None:  # it has just gone
        return OnDisk("nothing")
    if len(entry.stat) == 1:  # a followed link to a directory
        return OnDisk("directory")
    return OnDisk("link" if stat.S_ISLNK(found.mode) else "file", entry.stat)
