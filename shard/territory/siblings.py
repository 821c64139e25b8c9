"""Enters directories that lie side by side with one call, where nothing but usual directories is expected: as in nearly all of a
scan.

What is done in each of them is done by native code, where it is in use (`disk.entering`). What cannot be entered in this way is
left to `scanning`, which enters directories one by one, with the same result.
"""

from __future__ import annotations

import os
from typing import Final

from ..contract.files.paths import join
from ..contract.filter.pattern import Names
from ..contract.limits import PATH_BYTES_MAX
from ..disk.entering import Entered
from ..tree.nodes import Node
from .descent import Descent, Level
from .place import Place
from .territory import Territory

#: After so much time no other directory is begun: a step is as long as those of other work, also where each name has to be read
#: from a slow disk.
_NS_MAX: Final = 5_000_000
#: A name, and the slash before it.
_NAME_BYTES_MAX: Final = 256

#: (node, path, what was seen in it).
_Held = tuple[Node, bytes, Entered]


def enter_siblings(territory: Territory, place: Place, level: Level, descent: Descent, *, again: bool) -> None:
    """Takes names from the end of those that are to be entered in a directory, enters them, and reports what is in them. Where
    there is something to be entered in them, they are pushed to the descent.

    Those that cannot be entered in this way stay, and are counted in `level.alone`. `again`: as of `looking.scan`. Raises
    nothing that a disk says.
    """
    level.alone = min(len(level.names), territory.siblings_max)
    names = _unknown(territory, level, again=again)
    kept = _kept(territory, place, level, names) if names else None
    watch = territory.directories.instance_below(level.node, len(names))
    if kept is None or watch[0] < 0:
        return
    at, coarse = territory.wall_ns(), territory.disk.coarse_ns()
    found = territory.disk.enter_each(level.fd, names, watch, kept, coarse, territory.reader.filesystems.last, _NS_MAX)
    del level.names[-len(found) :]
    held = _hold(territory, level, list(zip(names, found, strict=False)))
    _report(territory, place, at, held, descent)


def _unknown(territory: Territory, level: Level, *, again: bool) -> list[bytes]:
    """The names that are to be entered next, as far as nothing has to be found out about them before they are listed."""
    if territory.virtual.among(level.path):
        return []
    names = level.names[: -territory.siblings_max - 1 : -1]
    for count, name in enumerate(names if level.node.children else ()):
        child = level.node.child(name)
        if child is not None and (not again or child.wd < 0 or territory.renames.awaits(child)):
            return names[:count]
    return names


def _kept(territory: Territory, place: Place, level: Level, names: list[bytes]) -> tuple[Names, Names] | None:
    """What is kept in each of these directories; None where more than that has to be known."""
    reader = territory.reader
    if territory.follow or reader.ignores is not None or reader.filesystems.last[0] < 0:
        return None
    if len(level.path) + 2 * _NAME_BYTES_MAX > PATH_BYTES_MAX:
        return None
    return reader.scope.in_each(place.relative(level.path), names)


def _hold(territory: Territory, level: Level, found: list[tuple[bytes, Entered | int]]) -> list[_Held]:
    """Has the nodes of these directories stand for their watches. Those of which nothing is known are put back."""
    directories, node, path = territory.directories, level.node, level.path
    held: list[_Held] = []
    alone: list[bytes] = []
    for name, one in found:
        watch = one if isinstance(one, int) else one[0]
        if not isinstance(one, int):
            child = directories.hold(node, name, watch)
            if child is not None:
                held.append((child, join(path, name), one))
                continue
            if one[1] >= 0:
                os.close(one[1])
        if watch >= 0:
            directories.give_back(watch)
        alone.append(name)
    level.names += reversed(alone)
    level.alone = len(alone)
    return held


def _report(territory: Territory, place: Place, at: int, held: list[_Held], descent: Descent) -> None:
    """Reports what was seen in these directories, in the order of looking."""
    reader, reports, doubts = territory.reader, territory.reports, territory.doubts
    held.reverse()
    try:
        while held:
            node, path, entered = held[-1]
            seen, below = reader.entered(path, place.relative(path), entered)
            if node.children:
                territory.directories.cut_others(node, below)
            if doubts:
                doubts.remove(path)
            doubts.too_long(node, 0)
            reports.listing(node, path, at, seen, {})
            below = [name for name in below if join(path, name) not in territory.stops] if below else below
            if below:
                held.pop()
                descent.push(Level(entered[1], node, path, below))
            else:
                if entered[1] >= 0:
                    os.close(entered[1])
                held.pop()
    finally:
        for _, _, (_, fd, *_) in held:
            if fd >= 0:
                os.close(fd)
