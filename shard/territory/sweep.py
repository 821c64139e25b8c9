"""Looks without a hint: at directories and links that have no watch, and at what could not be read before."""

from __future__ import annotations

from ..tree.nodes import Node
from .anchors import scan_anchor
from .doubts import Subject
from .looking import look, reconcile
from .scanning import list_directory, unsure
from .territory import Steps, Territory


def sweep(territory: Territory) -> Steps:
    """One pass over all directories that have no watch. Sends only what differs from what was sent before."""
    swept = territory.directories.swept
    for node in list(swept):
        if not node.alive:
            swept.remove(node)
            continue
        names = _list_swept(territory, node)
        if names is None:
            continue
        yield
        for name in unsure(territory, node, names):
            yield from reconcile(territory, node, name, arrived=node.child(name) is None)
    yield from look_at_links(territory, unwatched=True)


def _list_swept(territory: Territory, node: Node) -> list[bytes] | None:
    """Lists a directory. Returns the names that may be entered, or None if it can't be read or its parent has to report it."""
    place = territory.place_of(node)
    subject = Subject(node.path(), place, node.parent, node.name)
    with territory.opener.open(subject) as opened:
        if opened.fd < 0 or territory.is_away(place):
            return None
        territory.directories.register(opened.fd, node)  # a watch may have become free in the meantime
        return list_directory(territory, place, node, opened.fd, subject.path)
    return None


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
    for node, name in territory.links.retry():
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
