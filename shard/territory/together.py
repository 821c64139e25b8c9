"""Looks at names of many directories with one call, where nothing but files is expected there: nearly all hints are of that kind.

A look at one name costs mostly what is done once for each directory. In a burst in random order each look is at another
directory, so as many as possible share it. What needs more than to look at files is left to `looking`, with the same result.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from ..contract.files.packed import ABSENT, FILE, LINK, Seen, kinds
from ..contract.state.directory import TAG_NAME
from ..tree.nodes import Node
from .looking import look
from .place import Place
from .territory import Steps, Territory

#: Directories, and names, of one call: a step of at most a few milliseconds, and well below the time of silence that counts as a
#: hang if each name has to be read from a slow disk.
_DIRECTORIES_MAX: Final = 64
_NAMES_MAX: Final = 128
_EXPECTED: Final = bytes((FILE, LINK, ABSENT))

#: A directory, and the names in it that are to be looked at; None: all.
Waiting = tuple[Node, set[bytes] | None]


class _Asked(NamedTuple):
    """A directory in which only files are expected."""

    node: Node
    names: set[bytes]
    path: bytes
    place: Place
    #: Those of the names that are ours, sorted.
    ours: list[bytes]


def look_together(territory: Territory, waiting: deque[Waiting]) -> list[Steps]:
    """Takes directories from the front, and looks at their names. Returns the looks that are left to be made, each at one of
    these directories.
    """
    asked: list[_Asked] = []
    left: list[Steps] = []
    room = _NAMES_MAX
    while waiting and room > 0 and len(asked) + len(left) < _DIRECTORIES_MAX:
        node, names = waiting.popleft()
        room -= 1 if names is None else len(names)
        one = None if names is None else _simple(territory, node, names)
        if one is None:
            left.append(look(territory, node, names))
        else:
            asked.append(one)
    return left + _look(territory, asked) if asked else left


def _simple(territory: Territory, node: Node, names: set[bytes]) -> _Asked | None:
    """What is to be looked at, if it is likely that nothing but files is there and that no more is to be found out about them."""
    if not node.alive or node.wd < 0 or len(names) > _NAMES_MAX or TAG_NAME in names or territory.follow:
        return None
    if node.knows_any(names):
        return None
    if not territory.slow.none or node in territory.doubts.deep or territory.renames.awaits(node):
        return None
    if territory.ignores is not None and territory.ignores.notices(names):
        return None
    path, place = node.path(), territory.place_of(node)
    return _Asked(node, names, path, place, sorted(territory.reader.kept(path, place.relative(path), names)))


def _look(territory: Territory, asked: list[_Asked]) -> list[Steps]:
    """Reports the names of all directories in which there are only files; returns looks at the others."""
    instance = territory.directories.instance(asked[0].node)
    at, coarse, version = territory.wall_ns(), territory.disk.coarse_ns(), _are_here(territory, asked)
    if instance < 0 or version is None:
        return [look(territory, one.node, one.names) for one in asked]
    found = territory.reader.look_in_each([(one.path, one.node.wd, one.ours) for one in asked], instance, coarse)
    if _are_here(territory, asked) != version:  # a filesystem was unmounted meanwhile, perhaps
        found = [None] * len(asked)
    left = []
    for one, stats in zip(asked, found, strict=True):
        if isinstance(stats, bytes) and not kinds(stats).strip(_EXPECTED):
            _report(territory, one, at, stats)
            continue
        if isinstance(stats, int):
            territory.directories.give_back(stats)
        left.append(look(territory, one.node, one.names))
    return left


def _are_here(territory: Territory, asked: list[_Asked]) -> int | None:
    """The version of the table of mounts, if no root of these directories is away by it, else None."""
    if any(territory.is_away(place) for place in {one.place for one in asked}):
        return None
    return 0 if territory.mounts is None else territory.mounts.version


def _report(territory: Territory, one: _Asked, at: int, stats: bytes) -> None:
    """Reports what a look at the names of a directory has shown: files, and names that are not there."""
    node, names, path, _, ours = one
    territory.reader.filtered += len(names) - len(ours)
    if not ours:
        return
    found = kinds(stats)
    seen, absent = Seen(ours, stats), []
    if ABSENT in found:
        seen = seen.chosen(found)
        absent = [name for name, kind in zip(ours, found, strict=True) if kind == ABSENT]
    territory.unlinked.looked(node, ours, absent)
    territory.reports.names(node, path, at, seen, absent)
