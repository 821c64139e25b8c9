"""Scans: lists a directory, and everything below it."""

from __future__ import annotations

import os

from ..contract.files.packed import A_DIRECTORY, Seen
from ..contract.files.paths import join
from ..contract.state.directory import is_state_directory
from ..tree.nodes import Node
from .descent import Descent, Level
from .doubts import Subject
from .place import Place
from .recall import stamp_of
from .siblings import enter_siblings
from .territory import Steps, Territory

#: The links that a scan has found: (directory, name).
Found = list[tuple[Node, bytes]]


def list_directory(
    territory: Territory, place: Place, node: Node, fd: int, path: bytes, *, renamed: bool = False, recalls: bool = False
) -> list[bytes]:
    """Lists the directory open at `fd`, reports its contents, and removes children that are gone.

    `renamed`: it came there by a rename. `recalls`: if nothing was added to it or removed from it since its last listing, the
    names of that listing are looked at (`recall`). Returns the names that have to be entered. Raises OSError if it cannot be
    read.
    """
    at = territory.wall_ns()
    stamp = _stamp(territory, fd) if recalls else 0
    known = territory.directories.recall.names(node, stamp) if stamp else None
    relative = place.relative(path)
    barred = territory.follow and territory.links.is_barred(node, fd, path)
    if territory.follow and not barred:
        territory.links.meet(node, fd, relative)
    # Of a file on which one is mounted whose filesystem does not answer, not even an lstat ends.
    demand = None if territory.slow.none else territory.slow.demand
    seen, subdirectories = (Seen([], b""), []) if barred else territory.reader.directory(path, fd, relative, demand, known)
    if stamp and known is None:
        territory.directories.recall.keep(node, stamp, seen, subdirectories)
    if territory.ignores is not None and territory.ignores.has_changed and not territory.knows_below(node, path):
        territory.ignores.settle(path)
    territory.doubts.too_long(node, territory.reader.take_too_long())
    directories = territory.directories
    if territory.follow:
        territory.links.unbar_others(node, subdirectories)
    if node.children:
        directories.cut_others(node, subdirectories)
    if not seen.names and node.parent is not None and (barred or is_state_directory(fd)):
        directories.cut(node)  # whichever service it belongs to: its files are no events, and must not wake the shard
    below = [name for name in subdirectories if join(path, name) not in territory.stops] if subdirectories else []
    if node.wd < 0 and node in directories.swept and not directories.swept.report(node, seen, at):
        return below
    renames = territory.renames
    born = renames.all_births(fd, seen) if renamed else renames.births(node, fd, seen)
    territory.reports.listing(node, path, at, seen, born)
    return below


def _stamp(territory: Territory, fd: int) -> int:
    """`recall.stamp_of` the directory open at `fd`, or 0 where its stat does not tell what is added to it or removed from it, or
    more than its names has to be read. Raises OSError.
    """
    if territory.follow or territory.ignores is not None:
        return 0
    coarse = territory.disk.coarse_ns()
    st = territory.disk.stat_open(fd)
    return stamp_of(st, coarse) if territory.reader.filesystems.keeps_times(st.st_dev, fd) else 0


def unsure(territory: Territory, node: Node, names: list[bytes]) -> list[bytes]:
    """Those of the subdirectories just seen that are not known yet, or may have been replaced: links may lead elsewhere now."""
    found = [n for n in names if node.child(n) is None or (territory.follow and territory.links.has(node, n))]
    return territory.virtual.unsaid(node.path(), found) if found and not territory.virtual.none else found


def passes_over(territory: Territory, node: Node, name: bytes, path: bytes) -> bool:
    """Whether nobody looks into a directory, of that name in the one of a node, because a filesystem is mounted there that the
    kernel makes up. It is reported to be empty then, whatever was known of it.
    """
    if not territory.virtual.at(path):
        return False
    child = node.child(name)
    if child is not None:
        territory.directories.cut(child)
    territory.reports.nothing_in(path, territory.wall_ns())
    territory.virtual.passed(path)
    return True


def scan_below(territory: Territory, place: Place, top: Level, links: Found, *, again: bool, renamed: bool) -> Steps:
    """Scans everything below a directory that was just listed, except for the targets of links: those are added to `links`.

    Depth first, through descriptors: a directory is entered through its parent's descriptor, so that no path is trusted. If a
    node was removed in the meantime, its part of the scan ends, because that change has its own hint. `again`, `renamed`: see
    `looking.scan`.
    """
    reports = territory.reports
    descent = Descent(
        territory.slow.open, lambda level, error: territory.doubts.add(_subject(place, level), error), reports.open_levels
    )
    stops = territory.stops
    try:
        descent.push(top)
        yield
        while (level := descent.nearest()) is not None:
            if territory.stops is not stops and not _is_still_ours(territory, level):
                continue
            if level.alone == 0 and not renamed and not level.outdated:
                enter_siblings(territory, place, level, descent, again=again)
                if level.alone == 0:
                    yield
                    continue
            level.alone = max(0, level.alone - 1)
            name = level.names.pop()
            if territory.ignores is not None and not territory.ignores.directories(level.path, (name,)):
                continue  # it was left out after the directory was listed, which has been reported
            if territory.follow and territory.links.has(level.node, name):
                links.append((level.node, name))
                continue
            path, at = join(level.path, name), territory.wall_ns()
            try:
                fd = territory.opener.child(path, name, level.fd)
            except OSError as error:
                territory.opener.refused(Subject(path, place, level.node, name), error)
                continue
            if level.outdated:  # it may have been reported as gone, and rows below it are forgotten with its own row only
                reports.names(level.node, level.path, at, Seen([name], A_DIRECTORY), [])
            if not territory.virtual.none and passes_over(territory, level.node, name, path):
                os.close(fd)
                yield
                continue
            try:
                below = _scan_child(territory, place, level, name, fd, path, again=again, renamed=renamed)
            except OSError as error:
                territory.doubts.add(Subject(path, place, level.node, name), error)
            else:
                if below is not None:
                    descent.push(below)
                if territory.doubts:
                    territory.doubts.remove(path)
            yield
    finally:
        descent.close()


def _is_still_ours(territory: Territory, level: Level) -> bool:
    """Takes out what was given to another shard since the directory was listed. Returns whether anything is left."""
    level.names = [name for name in level.names if join(level.path, name) not in territory.stops]
    level.alone = min(level.alone, len(level.names))
    return bool(level.names)


def _scan_child(
    territory: Territory, place: Place, above: Level, name: bytes, fd: int, path: bytes, *, again: bool, renamed: bool
) -> Level | None:
    """Enters the directory open at `fd`, which has that name in the one above, and lists it if that is due. Returns its level if
    there are names in it that are to be entered. Its descriptor is taken over. Raises OSError.
    """
    try:
        child, known = _enter(territory, above.node, name, fd)
        if known and not again:
            return None
        names = list_directory(territory, place, child, fd, path, renamed=renamed)
        if not names:
            return None
        level = Level(fd, child, path, names)
        fd = -1
        return level
    finally:
        if fd >= 0:
            os.close(fd)


def _enter(territory: Territory, parent: Node, name: bytes, fd: int) -> tuple[Node, bool]:
    """Returns the node of a directory, and whether it was known and watched before. Raises OSError."""
    before = parent.child(name)
    watched = before is not None and before.wd >= 0
    child = territory.directories.enter(parent, name, fd)
    return child, watched and child is before


def _subject(place: Place, level: Level) -> Subject:
    return Subject(level.path, place, level.node.parent, level.node.name)
