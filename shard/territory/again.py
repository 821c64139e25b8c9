"""Looks that the aggregator asks for: every name is answered, whatever is there, and whether it is a row at all.

The aggregator keeps asking until it has an answer, and no sync ends before (`owed`). It asks about other names of a file that
was changed by one of them, and about what an audit found to differ; so what is in the rows may be wrong in any way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..contract.wire.frames import Listing
from ..disk.calls import ABSENT
from ..stream.send import looks
from ..tree.nodes import Node
from .doubts import Place
from .territory import Steps, Territory


def look_again(territory: Territory, place: Place, directory: bytes, names: list[bytes]) -> Steps:
    """Looks at these names of a directory of the place (all, where the list is empty)."""
    node = place.find(directory)
    if node is None:
        yield from _unknown(territory, place, directory, names)
        return
    if not names:
        yield from territory.look(node, None)
        return
    kept = set(territory.reader.kept(directory, place.relative(directory), names))
    if kept:
        yield from territory.look(node, kept)
    pruned = []
    for name in names:
        if name in kept:
            continue
        if _watched(territory, place, directory, name):
            yield from territory.reconcile(node, name, arrived=False)
        else:
            pruned.append(name)
    _say_absent(territory, directory, pruned)


def _unknown(territory: Territory, place: Place, directory: bytes, names: list[bytes]) -> Steps:
    """There is no such directory as far as this shard knows: says so, or finds it."""
    if territory._off(place):
        return
    try:
        os.close(territory.slow.open(directory))
    except OSError as error:
        if error.errno in ABSENT:
            _say_nothing_there(territory, directory, names)
        return  # else it is in doubt
    above, name = os.path.split(directory)
    node: Node | None = None
    while len(above) >= len(place.anchor.path) and (node := place.find(above)) is None:
        above, name = os.path.split(above)
    if node is None:
        return  # the anchor's own scan is on its way
    if _watched(territory, place, above, name):
        yield from territory.reconcile(node, name, arrived=True)
    else:
        _say_nothing_there(territory, directory, names)


def _watched(territory: Territory, place: Place, directory: bytes, name: bytes) -> bool:
    return bool(territory.reader.watched(directory, place.relative(directory), [name]))


def _say_nothing_there(territory: Territory, directory: bytes, names: list[bytes]) -> None:
    if names:
        _say_absent(territory, directory, names)
    else:
        territory._emit(Listing(directory, territory.wall_ns(), []))


def _say_absent(territory: Territory, directory: bytes, names: Iterable[bytes]) -> None:
    for record in looks(directory, territory.wall_ns(), [], sorted(names)):
        territory._emit(record)
