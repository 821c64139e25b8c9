"""What is at a name in a directory that can't be opened by itself: seen from above, by a look at the name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shardwatch.shard.contract.paths import join
from shardwatch.shard.contract.wire import DIRECTORY
from shardwatch.shard.disk import ABSENT, coarse_ns
from shardwatch.shard.doubts import Place
from shardwatch.shard.tree import Node

if TYPE_CHECKING:
    from shardwatch.shard.territory import Territory


def look_from_above(territory: Territory, place: Place, node: Node, name: bytes, error: OSError) -> None:
    """No directory of that name in `node` could be opened (`error`): says what is there, as seen from its parent."""
    parent = node.path()
    path = join(parent, name)
    at, coarse = territory.wall_ns(), coarse_ns()
    try:
        fd = territory.slow.open(parent)
    except OSError as above:
        if above.errno in ABSENT:
            territory._astray(place, parent)
        else:
            territory.doubts.add(path, place, node, name, above)
        return
    relative = place.relative(parent)
    try:
        if territory._off(place):
            return
        if territory._follow:
            territory.links.meet(node, fd, relative, [name])
        entry = territory.reader.names(parent, [name], fd, coarse)[0]
    except OSError as unknown:
        territory.doubts.add(path, place, node, name, unknown)
        return
    finally:
        os.close(fd)
    if entry is not None and entry[1] == DIRECTORY:
        territory.doubts.add(path, place, node, name, error)
    elif entry is not None and not territory.reader.kept(parent, relative, (name,)):
        entry = None
    territory._emit_looks(node, parent, at, [entry] if entry else [], [] if entry else [name])
