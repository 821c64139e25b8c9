"""Looks without a hint: at directories and links that have no watch, and at what could not be read before."""

from __future__ import annotations

from ..tree.nodes import Node
from .anchors import scan_anchor
from .doubts import Subject
from .looking import look, reconcile
from .scanning import list_directory, unsure
from .territory import Steps, Territory


def sweep(territory: Territory) -> Steps:
    """Lists all directories that have no watch. Sends only what differs from what was sent before."""
    for node in list(territory.directories.swept):
        if not node.alive:
            territory.directories.sweep_no_more(node)
            continue
        names = look_at_swept(territory, node, recalls=False)
        if names is not None:
            yield
            yield from enter_those_found(territory, node, names)
    yield from look_at_links(territory, unwatched=True)


def look_at_swept(territory: Territory, node: Node, *, recalls: bool) -> list[bytes] | None:
    """Looks at everything in a directory. Returns the names that may be entered, or None if it can't be read or its parent has to
    report it. `recalls`: see `list_directory`.
    """
    place = territory.place_of(node)
    subject = Subject(node.path(), place, node.parent, node.name)
    with territory.opener.open(subject) as opened:
        if opened.fd < 0 or territory.is_away(place):
            return None
        territory.directories.register(opened.fd, node)  # a watch may have become free in the meantime
        return list_directory(territory, place, node, opened.fd, subject.path, recalls=recalls and node.wd < 0)
    return None


def watch_if_possible(territory: Territory, node: Node) -> bool:
    """Watches a directory that has no watch. Returns False if none is left. The caller looks at it if it has a watch by then; if
    it can't be opened, its next look says why.
    """
    with territory.opener.quietly(node.path()) as opened:
        if opened.fd >= 0:
            territory.directories.register(opened.fd, node)
            return node.wd >= 0
    return True


def watch_instead(territory: Territory, node: Node, quiet: Node) -> Steps:
    """Watches a directory in which something changes instead of one in which nothing does. The one is polled before its watch
    ends, the other until it has one, and both are listed after that, so no change in between is missed.
    """
    territory.directories.give_up_watch(quiet)
    for one in (node, quiet):
        names = look_at_swept(territory, one, recalls=False)
        yield
        if names:
            yield from enter_those_found(territory, one, names)


def enter_those_found(territory: Territory, node: Node, names: list[bytes]) -> Steps:
    """Enters those subdirectories of a directory that was just looked at that are not known yet."""
    for name in unsure(territory, node, names):
        yield from reconcile(territory, node, name, arrived=node.child(name) is None)


def list_unlinked(territory: Territory) -> Steps:
    """Lists the directories in which a name had a hint and does not exist (`unlinked`)."""
    for node in territory.unlinked.take():
        yield from look(territory, node, None)


def look_at_links(territory: Territory, *, unwatched: bool = False) -> Steps:
    """Looks at links that lead to something else than the last time. `unwatched`: only at those whose way can't be watched."""
    for node, names in territory.links.changed(unwatched=unwatched):
        yield from look(territory, node, names)


def retry_links(territory: Territory) -> Steps:
    """Follows links that had been left out because of a bound, as far as there is room now."""
    for node, name in territory.links.bounds.retry():
        yield from reconcile(territory, node, name, arrived=True)


def retry_doubts(territory: Territory) -> Steps:
    """Tries again to read what could not be read."""
    for path, what in territory.doubts.items():
        if what.parent is None:
            yield from scan_anchor(territory, what.place)
        elif what.parent.alive:
            yield from reconcile(territory, what.parent, what.name, arrived=True)
        else:
            territory.doubts.remove(path)
    yield
