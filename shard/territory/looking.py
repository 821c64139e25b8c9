"""Looks that follow a hint: at names of a directory, or at a name that is or was a directory."""

from __future__ import annotations

from typing import Final

from ..contract.files.packed import A_DIRECTORY, DIRECTORY, FILE, LINK, Seen, kinds
from ..contract.files.paths import join
from ..contract.limits import LOOKS_PER_DIRECTORY_MAX
from ..contract.state.directory import TAG_NAME
from ..disk.calls import identity
from ..disk.slow import Unanswered
from ..tree.nodes import Node
from .descent import Level
from .doubts import Subject
from .opening import Opened
from .place import Place
from .scanning import Found, list_directory, passes_over, scan_below, unsure
from .territory import Steps, Territory

#: What is reported as a file.
_FILES: Final = (FILE, LINK)
_FILE_KINDS: Final = bytes(_FILES)


def look(territory: Territory, node: Node, names: set[bytes] | None) -> Steps:
    """Looks at some names of a directory, or lists it if `names` is None. If new directories turn up, it pauses once and then
    enters them.
    """
    if not node.alive:
        return
    place = territory.place_of(node)
    subject = Subject(node.path(), place, node.parent, node.name)
    replaced = False
    new: list[bytes] = []
    with territory.opener.open(subject) as opened:
        if opened.fd < 0:
            if opened.absent:
                _astray(territory, place, subject.path)
            return
        if territory.is_away(place):
            return
        replaced = territory.directories.is_other(opened.fd, node)
        if not replaced:
            new = _look_inside(territory, place, node, subject.path, opened.fd, names)
    if replaced or new:
        yield
    if replaced and node.parent is None:
        place.distrust()  # another directory is there now than the watched one
    elif replaced and node.parent is not None:
        yield from reconcile(territory, node.parent, node.name, arrived=True)
    for name in new:
        yield from reconcile(territory, node, name, arrived=node.child(name) is None)


def _look_inside(
    territory: Territory, place: Place, node: Node, path: bytes, fd: int, names: set[bytes] | None
) -> list[bytes]:
    """Looks at these names, or at all names if they are many or None. Returns the directories that are to be entered."""
    if names is None or TAG_NAME in names or len(names) > LOOKS_PER_DIRECTORY_MAX or node in territory.doubts.deep:
        return unsure(territory, node, list_directory(territory, place, node, fd, path))
    if territory.ignores is not None and territory.ignores.notices(names):
        return unsure(territory, node, list_directory(territory, place, node, fd, path))
    for name, error in territory.slow.silent(path, names):
        territory.doubts.add(Subject(join(path, name), place, node, name), error)
        names = names - {name}
    return _look_at_names(territory, node, path, place.relative(path), fd, names)


def _look_at_names(territory: Territory, node: Node, path: bytes, relative: bytes, fd: int, names: set[bytes]) -> list[bytes]:
    reader, links = territory.reader, territory.links
    ours = kept = reader.hinted(path, relative, names)
    if node.children:
        kept = kept.union(n for n in names if node.child(n) is not None)
    if territory.virtual.among(path):  # what was a file of ours may be hidden by what nobody looks at
        kept = kept.union(n for n in names if territory.virtual.at(join(path, n)))
    if territory.follow:
        linked = {n for n in names if links.has(node, n)}  # it may have led to a directory that has no node, or lead to one now
        links.meet(node, fd, relative, names)
        kept = kept.union(linked, (n for n in names if links.has(node, n)))
    if not kept:
        return []
    at, coarse = territory.wall_ns(), territory.disk.coarse_ns()
    looked = sorted(kept)
    stats = reader.stats(path, looked, fd, coarse)
    found = kinds(stats)
    if territory.follow:
        for name in [n for n, kind in zip(looked, found, strict=True) if kind != DIRECTORY]:
            links.unbar(node, name)
    if len(kept) == len(ours) and not found.strip(_FILE_KINDS) and not node.knows_any(looked):
        _report(territory, node, path, at, fd, Seen(looked, stats), looked, [])  # files, as nearly always
        return []
    present: list[bool] = []
    there: list[bytes] = []
    for name, kind in zip(looked, found, strict=True):
        if kind == DIRECTORY:
            is_ours = bool(reader.watched(path, relative, [name]))
            if is_ours:
                there.append(name)
        else:
            child = node.child(name)
            if child is not None:
                territory.directories.cut(child)
            is_ours = kind in _FILES and name in ours
        present.append(is_ours)
    seen = Seen(looked, stats).chosen(present)
    absent = [name for name, is_ours in zip(looked, present, strict=True) if not is_ours]
    _report(territory, node, path, at, fd, seen, looked, absent)
    return unsure(territory, node, there) if there else there


def _report(
    territory: Territory, node: Node, path: bytes, at: int, fd: int, seen: Seen, looked: list[bytes], absent: list[bytes]
) -> None:
    """Reports what a look at some names of a directory, open at `fd`, has shown."""
    territory.unlinked.looked(node, looked, absent)
    territory.reports.names(node, path, at, seen, absent, territory.renames.births(node, fd, seen, looked))


def reconcile(
    territory: Territory, node: Node, name: bytes, *, arrived: bool, renamed: bool = False, links: Found | None = None
) -> Steps:
    """Makes the tree agree with the disk at a name that is or was a directory, whatever has happened there.

    `arrived`: it was created or moved there, so it is scanned even if it is the known directory. `renamed`: it was moved.
    `links`: see `scan`.
    """
    if not node.alive:
        return
    place = territory.place_of(node)
    parent = node.path()
    subject = Subject(join(parent, name), place, node, name)
    again = territory.doubts.remove(subject.path) or arrived
    if not territory.reader.watched(parent, place.relative(parent), [name]):
        _cut_child(territory, node, name)
        yield from look(territory, node, {name})  # a file's name may match where a directory of that name is pruned
        return
    at = territory.wall_ns()
    level: Level | None = None
    with territory.opener.attempt(subject) as opened:
        if opened.error is not None:
            _no_directory(territory, subject, node, opened.error, absent=opened.absent)
        elif not territory.is_away(place):
            territory.reports.names(node, parent, at, Seen([name], A_DIRECTORY), [])
            level = _enter(territory, subject, node, opened, again=again, renamed=renamed)
    if level is not None:
        yield from scan(territory, place, level, again=again, renamed=renamed, links=links)


def _enter(territory: Territory, subject: Subject, node: Node, opened: Opened, *, again: bool, renamed: bool) -> Level | None:
    """Enters a directory that was opened, and lists it, unless it is not to be scanned: it is known, or not followed, or another
    shard's. Raises OSError."""
    path, place, _, name = subject
    if path in territory.stops:
        return None  # another anchor begins here, and its owner notices a change of its identity
    if passes_over(territory, node, name, path):
        return None
    target = identity(opened.fd) if territory.follow and territory.disk.is_link(path) else None
    if target is not None and not territory.links.bounds.admits(node, name, target):
        _cut_child(territory, node, name)
        return None
    child = node.child(name)
    if not again and child is not None and child.linked == target and territory.directories.is_watched(opened.fd, child):
        return None
    entered = territory.directories.enter(node, name, opened.fd, target)
    names = list_directory(territory, place, entered, opened.fd, path, renamed=renamed)
    return Level(opened.take(), entered, path, names)


def scan(
    territory: Territory, place: Place, top: Level, *, again: bool = True, renamed: bool = False, links: Found | None = None
) -> Steps:
    """Lists everything below a directory that was just listed.

    What links lead to comes last, what is behind few links before what is behind many: there are bounds (`LinkBounds`).

    `again`: directories that are known and watched are listed too. Without it they are passed over: whoever came upon them first
    has listed them since they are watched, and goes on below them. `renamed`: all of it came here by a rename. `links`: what
    links lead to is added there, and left to the caller.
    """
    found = [] if links is None else links
    yield from scan_below(territory, place, top, found, again=again, renamed=renamed)
    while found and links is None:
        batch, found = sorted(found, key=lambda link: join(link[0].path(), link[1])), []
        for node, name in batch:
            yield from reconcile(territory, node, name, arrived=True, links=found)


def scan_again(territory: Territory, path: bytes) -> Steps:
    """Scans everything that is owned at and below a directory, because what is left out there is decided by other rules now."""
    for place in territory.places:
        node = place.find(path)
        if node is None or node.parent is None:
            continue
        level: Level | None = None
        at = node.path()
        with territory.opener.open(Subject(at, place, node.parent, node.name)) as opened:  # in doubt if that fails
            if opened.fd >= 0 and not territory.is_away(place) and not territory.directories.is_other(opened.fd, node):
                names = list_directory(territory, place, node, opened.fd, at)
                level = Level(opened.take(), node, at, names)
        if level is not None:
            yield from scan(territory, place, level)


def _no_directory(territory: Territory, subject: Subject, node: Node, error: OSError, *, absent: bool) -> None:
    """Looks at a name from its parent, because no directory of that name could be opened."""
    if isinstance(error, Unanswered):
        territory.doubts.add(subject, error)
        return
    if absent:
        _cut_child(territory, node, subject.name)
        if territory.follow:
            territory.links.unbar(node, subject.name)
    _look_from_above(territory, subject, node, error)


def _look_from_above(territory: Territory, subject: Subject, node: Node, error: OSError) -> None:
    """Reports what a name is as seen from its directory, because it could not be opened as a directory (`error`)."""
    _, place, _, name = subject
    parent = node.path()
    at, coarse = territory.wall_ns(), territory.disk.coarse_ns()
    with territory.opener.open(subject, parent) as opened:
        if opened.fd < 0:
            if opened.absent:
                _astray(territory, place, parent)
            return
        if territory.is_away(place):
            return
        relative = place.relative(parent)
        if territory.follow:
            territory.links.meet(node, opened.fd, relative, [name])
        seen = Seen([name], territory.reader.stats(parent, [name], opened.fd, coarse))
        kind = kinds(seen.stats)[0]
        if kind == DIRECTORY:
            territory.doubts.add(subject, error)
        is_ours = kind == DIRECTORY or (kind in _FILES and bool(territory.reader.kept(parent, relative, (name,))))
        territory.reports.names(node, parent, at, seen.chosen([is_ours]), [] if is_ours else [name])


def _cut_child(territory: Territory, node: Node, name: bytes) -> None:
    child = node.child(name)
    if child is not None:
        territory.directories.cut(child)


def _astray(territory: Territory, place: Place, path: bytes) -> None:
    """A path in the tree leads nowhere. A directory below the anchor cannot disappear without a hint. But the anchor itself can,
    and it can be back before it is compared. Unless the path below it is provably absent, the anchor must be scanned.
    """
    if not _is_proven_absent(territory, place, path):
        place.distrust()


def _is_proven_absent(territory: Territory, place: Place, path: bytes) -> bool:
    """Whether the anchor is still the directory that was scanned, and there is no directory at this path below it."""
    below = place.below(path)
    with territory.opener.quietly(place.anchor.path) as anchor:
        if anchor.fd < 0 or not below or territory.reader.filesystems.identity(anchor.fd) != place.identity:
            return False
        with territory.opener.quietly_below(path, below, anchor.fd) as opened:
            return opened.absent
    return False
