"""Looks that the aggregator asks for. There is an answer for every requested name, whether or not it exists, and whether
or not it has a row.

The aggregator repeats its question until it has an answer, and no sync ends before that (`owed`). It asks about the
other names of a file that was changed by one of them, and about differences that an audit has found. So the rows may be
wrong in any way.
"""

from __future__ import annotations

import os

from ..contract.files.paths import join
from ..tree.nodes import Node
from .looking import look, reconcile
from .place import Place
from .territory import Steps, Territory


def look_again(territory: Territory, place: Place, directory: bytes, names: list[bytes]) -> Steps:
    """Looks at these names of a directory in the place, or at all names if the list is empty."""
    node = place.find(directory)
    if node is None:
        yield from _look_for(territory, place, directory, names)
        return
    if not names:
        yield from look(territory, node, None)
        return
    kept = set(territory.reader.kept(directory, place.relative(directory), names))
    if kept:
        yield from look(territory, node, kept)
    pruned = []
    for name in names:
        if name in kept:
            continue
        if _is_entered(territory, place, directory, name):
            yield from reconcile(territory, node, name, arrived=False)
        else:
            pruned.append(name)
    territory.reports.absent(directory, territory.wall_ns(), pruned)


def _look_for(territory: Territory, place: Place, directory: bytes, names: list[bytes]) -> Steps:
    """The shard knows no such directory: finds it, or reports that it does not exist."""
    if territory.is_away(place):
        return
    if place.missing and (territory.hides(place) or territory.is_virtual(place)):
        _say_nothing_there(territory, directory, names)  # the anchor may well be there, but nobody looks into it
        return
    with territory.opener.quietly(directory) as opened:
        there, absent = opened.fd >= 0, opened.absent
    if absent:
        _say_nothing_there(territory, directory, names)
    if not there:
        return  # if it is not absent, it is in doubt now
    above, name = os.path.split(directory)
    node: Node | None = None
    while len(above) >= len(place.anchor.path) and (node := place.find(above)) is None:
        above, name = os.path.split(above)
    if node is None:
        return  # the anchor's own scan is on its way
    if _is_entered(territory, place, above, name) and not territory.virtual.at(join(above, name)):
        yield from reconcile(territory, node, name, arrived=True)
    else:
        _say_nothing_there(territory, directory, names)


def _is_entered(territory: Territory, place: Place, directory: bytes, name: bytes) -> bool:
    return bool(territory.reader.watched(directory, place.relative(directory), [name]))


def _say_nothing_there(territory: Territory, directory: bytes, names: list[bytes]) -> None:
    if names:
        territory.reports.absent(directory, territory.wall_ns(), names)
    else:
        territory.reports.nothing_in(directory, territory.wall_ns())
