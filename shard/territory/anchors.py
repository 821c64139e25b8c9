"""Looks at a whole anchor: whether it has to be scanned, and the scan."""

from __future__ import annotations

from .descent import Level
from .doubts import Subject
from .looking import scan
from .place import Place
from .scanning import list_directory
from .territory import Steps, Territory


def is_to_be_scanned(territory: Territory, place: Place) -> bool:
    """Whether the directory at the anchor is not the one that was last scanned or reported there."""
    if territory.is_away(place):
        return not place.unmounted
    path = place.anchor.path
    if territory.hides(place) or territory.is_virtual(place):
        return not place.missing
    with territory.opener.quietly(path) as opened:
        if opened.absent:
            return not place.missing
        if opened.fd >= 0:
            return _is_other(territory, place, territory.reader.filesystems.identity(opened.fd))
    return not territory.doubts.holds(path)  # it can't be read, which the scan reports once


def _is_other(territory: Territory, place: Place, identity: tuple[int, int]) -> bool:
    """Whether the directory with this identity is not the one that was scanned, or is not observed. A root that was made
    again may have the inode number of its predecessor, but not its watch.
    """
    node = place.node
    return identity != place.identity or node is None or (node.wd < 0 and node not in territory.directories.swept)


def scan_anchor(territory: Territory, place: Place) -> Steps:
    """Scans a whole anchor, for a baseline or a rescan. One that was let go meanwhile is not looked at."""
    if place not in territory.places:
        return
    at = territory.wall_ns()
    subject = Subject(place.anchor.path, place)
    territory.doubts.remove(subject.path)
    level: Level | None = None
    _descend(territory, subject.path)
    if territory.hides(place) and not territory.is_away(place):
        _leave(territory, place, unmounted=False)
        territory.reports.gone(subject.path, at)
        return
    if territory.is_virtual(place) and not territory.is_away(place):
        _leave(territory, place, unmounted=False)
        territory.reports.nothing_in(subject.path, at)
        territory.virtual.passed(subject.path)
        return
    with territory.opener.open(subject) as opened:
        if opened.error is not None and not opened.absent:
            return
        if territory.is_away(place):
            _leave(territory, place, unmounted=True)  # its rows stay
        elif opened.absent:
            _leave(territory, place, unmounted=False)
            territory.reports.gone(subject.path, at)
        else:
            level = _begin(territory, place, opened.fd)
            opened.take()
    if level is not None:
        yield from scan(territory, place, level)


def _descend(territory: Territory, path: bytes) -> None:
    """Reads the ignore files above an anchor. What is known below them by now was looked at with other rules."""
    ignores = territory.ignores
    if ignores is None:
        return
    for above in ignores.descend(path):
        if all(place.find(above) is None for place in territory.places):
            ignores.settle(above)


def _begin(territory: Territory, place: Place, fd: int) -> Level:
    """Watches the anchor, which is open at `fd`, and lists it. Raises OSError."""
    territory.accept(place)
    directories, node = territory.directories, place.node
    identity = territory.reader.filesystems.identity(fd)
    if node is not None and (identity != place.identity or not node.alive or directories.is_other(fd, node)):
        directories.uproot(place)
    node = directories.plant(place)
    directories.register(fd, node)
    place.begin_scan(identity)
    path = place.anchor.path
    return Level(fd, node, path, list_directory(territory, place, node, fd, path))


def _leave(territory: Territory, place: Place, *, unmounted: bool) -> None:
    """There is nothing to watch. Whatever appears there will be scanned."""
    territory.directories.uproot(place)
    place.leave(unmounted=unmounted)
    territory.doubts.remove(place.anchor.path)
    if unmounted:
        territory.doubts.add_unmounted(place)
