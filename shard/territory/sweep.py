"""Looks that nobody gave a hint for: at directories and links that have no watch, and at what could not be read before."""

from __future__ import annotations

import os

from ..disk.calls import ABSENT
from .territory import Steps, Territory


def sweep(territory: Territory) -> Steps:
    """One pass over all directories that have no watch. Sends only what differs from what was sent before."""
    doubts = territory.doubts
    for node in list(territory.swept):
        if not node.alive:
            territory.swept.pop(node, None)
            continue
        place = territory.places[node.anchor]
        path = node.path()
        try:
            fd = territory.slow.open(path)
        except OSError as error:
            if error.errno not in ABSENT:
                doubts.add(path, place, node.parent, node.name, error)
            continue
        try:
            if territory._off(place):
                continue
            territory._register(fd, node)  # room may have been made meanwhile
            names = territory._list(place, node, fd, path)
        except OSError as error:
            doubts.add(path, place, node.parent, node.name, error)
            continue
        finally:
            os.close(fd)
        yield
        for name in territory.unsure(node, names):
            yield from territory.reconcile(node, name, arrived=node.child(name) is None)
    yield from look_at_links(territory, unwatched=True)


def list_unlinked(territory: Territory) -> Steps:
    """Lists the directories in which a name had a hint and is not there (`unlinked`)."""
    for node in territory.unlinked.take():
        yield from territory.look(node, None)


def look_at_links(territory: Territory, *, unwatched: bool = False) -> Steps:
    """Looks at the links that lead to something else than at the last time; `unwatched`: only where their way has no watch."""
    for node, names in territory.links.changed(unwatched=unwatched):
        yield from territory.look(node, names)


def retry_links(territory: Territory) -> Steps:
    """Follows links that a bound had left out, as far as there is room by now."""
    for node, name in territory.links.retry():
        yield from territory.reconcile(node, name, arrived=True)


def retry_doubts(territory: Territory) -> Steps:
    """Tries again what could not be read."""
    for path, what in territory.doubts.items():
        if what.parent is None:
            yield from territory.scan_place(what.place)
        elif what.parent.alive:
            yield from territory.reconcile(what.parent, what.name, arrived=True)
        else:
            territory.doubts.remove(path)
    yield
