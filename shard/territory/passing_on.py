"""What a shard lets go and takes on when it goes on with another plan while it runs. What it keeps is not looked at again."""

from __future__ import annotations

from ..contract.files.paths import is_below
from ..contract.state.planfile import PartChange
from .place import Place
from .territory import Territory


def pass_on(territory: Territory, change: PartChange, stops: frozenset[bytes]) -> list[Place]:
    """Lets go what others own now, and owns what it is given. Idempotent.

    Args:
        stops: every anchor of the new plan.

    Returns:
        The places that it is given, which are to be scanned.
    """
    gone = {anchor.path for anchor in change.left}
    left = [place for place in territory.places if place.anchor.path in gone]
    for place in left:
        territory.directories.uproot(place)
    for place in territory.places:
        for anchor in change.cut:
            node = place.find(anchor.path)
            if node is not None and node.parent is not None:
                territory.directories.cut(node)
    territory.doubts.keep(lambda path, place: place not in left and not any(is_below(path, other.path) for other in change.cut))
    return territory.exchange(left, change.taken, stops)
