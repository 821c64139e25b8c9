"""Looks at names of many directories with one call, where nothing but files is expected there: nearly all hints are of that kind.

A look at one name costs mostly what is done once for each directory. In a burst in random order each look is at another
directory, so as many as possible share it. What needs more than to look at files is left to `looking`, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from ..contract.files.packed import ABSENT, FILE, LINK, Seen, kinds
from ..contract.limits import PATH_BYTES_MAX
from ..contract.state.directory import TAG_NAME
from ..disk.reading import Asked
from ..tree.nodes import WATCHES_END, Node, Top
from .looking import look
from .place import Place
from .territory import Steps, Territory

#: Directories, and names, of one call: a step of at most a few milliseconds, and well below the time of silence that counts as a
#: hang if each name has to be read from a slow disk.
_DIRECTORIES_MAX: Final = 64
_NAMES_MAX: Final = 128
#: Of a directory in which no name is too long for a path that is reported (NAME_MAX is 255).
_PATH_BYTES_MAX: Final = PATH_BYTES_MAX - 1 - 255
_FILES: Final = bytes((FILE, LINK))
_EXPECTED: Final = bytes((FILE, LINK, ABSENT))

#: A directory, and the names in it that are to be looked at; None: all.
Waiting = tuple[Node, set[bytes] | None]


class _Round:
    """One call: the directories in which only files are expected, what is asked of each, and the anchors to which they belong."""

    __slots__ = ("asked", "names", "nodes", "places")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        #: Those that had a hint.
        self.names: list[set[bytes]] = []
        self.asked: list[Asked] = []
        self.places: set[Place] = set()


def look_together(territory: Territory, waiting: deque[Waiting]) -> list[Steps]:
    """Takes directories from the front, and looks at their names. Returns the looks that are left to be made, each at one of
    these directories.
    """
    taken: list[Waiting] = []
    room = _NAMES_MAX
    while waiting and room > 0 and len(taken) < _DIRECTORIES_MAX:
        one = waiting.popleft()
        room -= 1 if one[1] is None else len(one[1])
        taken.append(one)
    if territory.follow or not territory.slow.none:
        return [look(territory, node, names) for node, names in taken]
    asked, left = _Round(), []
    decide = territory.reader.decides_alone()
    for node, names in taken:
        if names is None or not _is_simple(territory, node, names):
            left.append(look(territory, node, names))
            continue
        top, path = node.way()
        assert isinstance(top, Top)
        place = territory.places.numbered(top.index)
        kept = decide(path[place.prefix :]) if decide is not None and len(path) <= _PATH_BYTES_MAX else None
        asked.nodes.append(node)
        asked.names.append(names)
        asked.asked.append((path, node.wd, _ours(territory, place, path, names) if kept is None else names, kept))
        asked.places.add(place)
    return left + _look(territory, asked) if asked.nodes else left


def _is_simple(territory: Territory, node: Node, names: set[bytes]) -> bool:
    """Whether it is likely that nothing but files is there and that no more is to be found out about them."""
    if not 0 <= node.wd < WATCHES_END or not node.alive or len(names) > _NAMES_MAX or TAG_NAME in names:
        return False
    if node.children and node.knows_any(names):
        return False
    if node in territory.doubts.deep or territory.renames.awaits(node):
        return False
    return territory.ignores is None or not territory.ignores.notices(names)


def _ours(territory: Territory, place: Place, path: bytes, names: set[bytes]) -> set[bytes]:
    """Those of the names in a directory that are ours if they are files."""
    return set(territory.reader.kept(path, place.relative(path), names))


def _look(territory: Territory, asked: _Round) -> list[Steps]:
    """Reports the names of all directories in which there are only files; returns looks at the others."""
    instance = territory.directories.instance(asked.nodes[0])
    at, coarse, version = territory.wall_ns(), territory.disk.coarse_ns(), _are_here(territory, asked.places)
    if instance < 0 or version is None:
        return [look(territory, node, names) for node, names in zip(asked.nodes, asked.names, strict=True)]
    found = territory.reader.look_in_each(asked.asked, instance, coarse)
    if _are_here(territory, asked.places) != version:  # a filesystem was unmounted meanwhile, perhaps
        found = [None] * len(found)
    known = [one for one in found if isinstance(one, tuple)]
    if len(known) == len(found) and not kinds(b"".join([stats for _, stats in known])).strip(_FILES):
        _report_files(territory, asked, at, known)  # as nearly always
        return []
    left = []
    for node, names, (path, *_), one in zip(asked.nodes, asked.names, asked.asked, found, strict=True):
        if isinstance(one, tuple) and not kinds(one[1]).strip(_EXPECTED):
            _report(territory, node, path, at, names, Seen(*one))
            continue
        if isinstance(one, int):
            territory.directories.give_back(one)
        left.append(look(territory, node, names))
    return left


def _are_here(territory: Territory, places: Iterable[Place]) -> int | None:
    """The version of the table of mounts, if no root of these anchors is away by it, else None."""
    if any(territory.is_away(place) for place in places):
        return None
    return 0 if territory.mounts is None else territory.mounts.version


def _report_files(territory: Territory, asked: _Round, at: int, known: list[tuple[list[bytes], bytes]]) -> None:
    """Reports what the looks at all directories have shown, where every name that is ours is a file."""
    unlinked, filtered, seen = territory.unlinked, 0, []
    for node, hinted, (path, _, _, _), (names, stats) in zip(asked.nodes, asked.names, asked.asked, known, strict=True):
        filtered += len(hinted) - len(names)
        if names:
            seen.append((node, path, names, stats))
            if unlinked.expects:
                unlinked.looked(node, names, ())
    territory.reader.filtered += filtered
    territory.reports.files(at, seen)


def _report(territory: Territory, node: Node, path: bytes, at: int, names: set[bytes], seen: Seen) -> None:
    """Reports what a look at names of a directory has shown: files, and names that are not there."""
    territory.reader.filtered += len(names) - len(seen.names)
    if not seen.names:
        return
    found = kinds(seen.stats)
    absent = [name for name, kind in zip(seen.names, found, strict=True) if kind == ABSENT]
    territory.unlinked.looked(node, seen.names, absent)
    territory.reports.names(node, path, at, seen.chosen(found), absent)
